package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Category is the kind of an error, which decides whether trying again can
// help.
type Category uint8

// The categories.
const (
	Internal      Category = iota // a defect of our own, or an error nobody classified
	Connection                    // the other side refused, or the connection broke
	Circuit                       // a circuit was not built, or broke
	Directory                     // a directory did not give a document
	Protocol                      // the other side broke the protocol
	Crypto                        // something did not verify
	Configuration                 // the settings are wrong
	Timeout                       // the other side was too slow
	Network                       // the network is down, or has no route
	categories    = iota
)

var categoryNames = [categories]string{
	"internal", "connection", "circuit", "directory", "protocol", "crypto", "configuration", "timeout", "network",
}

func (c Category) String() string {
	if c < categories {
		return categoryNames[c]
	}
	return fmt.Sprintf("category %d", uint8(c))
}

// Retryable reports whether trying again can help against such an error:
// true for connection, circuit, directory, timeout and network.
func (c Category) Retryable() bool { return retryable.Has(c) }

// Categories is a set of categories.
type Categories uint16

// retryable are the categories that a policy may name.
var retryable = Set(Connection, Circuit, Directory, Timeout, Network)

// Set is the set of the given categories.
func Set(members ...Category) Categories {
	var s Categories
	for _, c := range members {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in the set.
func (s Categories) Has(c Category) bool { return c < categories && s&(1<<c) != 0 }

// Without is the set less the given categories.
func (s Categories) Without(members ...Category) Categories { return s &^ Set(members...) }

func (s Categories) String() string {
	var names []string
	for c := range Category(categories) {
		if s.Has(c) {
			names = append(names, c.String())
		}
	}
	return strings.Join(names, " ")
}

// Error gives an error its category.
type Error struct {
	Category Category
	Err      error
	// After is how long the other side asked us to stay away; 0 if it did not.
	// A Retrier waits at least so long, up to its policy's Max.
	After time.Duration
}

// Wrap gives err a category; nil stays nil.
func Wrap(c Category, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Category: c, Err: err}
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %v", e.Category, e.Err) }

// Unwrap gives the error itself.
func (e *Error) Unwrap() error { return e.Err }

// CategoryOf is the category of an error, from what is in its chain:
//
//   - a panic, or the first category that trying again cannot help, however
//     deep it is wrapped in others that it could;
//   - else the outermost category given by Wrap;
//   - else what the error types of the standard library and of this package say:
//     timeouts, refused and
//     broken connections, network errors, certificates that do not verify;
//   - else Internal.
func CategoryOf(err error) Category {
	given, final := Internal, false
	found := false
	walk(err, func(err error) bool {
		var c Category
		switch e := err.(type) {
		case *Error:
			c = e.Category
		case *PanicError:
			c = Internal
		default:
			return true
		}
		if !found || !c.Retryable() {
			given = c
		}
		found, final = true, !c.Retryable()
		return !final
	})
	if found {
		return given
	}
	return standard(err)
}

// standard classifies the errors of the standard library.
func standard(err error) Category {
	var (
		netErr   net.Error
		opErr    *net.OpError
		dnsErr   *net.DNSError
		certErr  *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
	)
	switch {
	case err == nil:
		return Internal
	case errors.As(err, &certErr), errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		return Crypto
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	case errors.Is(err, ErrOpen), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, syscall.ECONNABORTED):
		return Connection
	case errors.As(err, &dnsErr), errors.As(err, &opErr),
		errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return Network
	}
	return Internal
}

// cancelled reports whether an error means that the asker went away.
func cancelled(err error) bool { return errors.Is(err, context.Canceled) }

// afterOf is the longest stay-away that the chain asks for.
func afterOf(err error) time.Duration {
	var after time.Duration
	walk(err, func(err error) bool {
		if e, ok := err.(*Error); ok {
			after = max(after, e.After)
		}
		return true
	})
	return after
}

// walk calls f for every error of the chain, outermost first, until f returns
// false.
func walk(err error, f func(error) bool) bool {
	for err != nil {
		if !f(err) {
			return false
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				if !walk(each, f) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}
