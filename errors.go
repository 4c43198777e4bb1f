package chive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"chive/actors/kernel"
	"chive/actors/node"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
)

// The kinds of an Error, for errors.Is.
var (
	ErrRefused     = errors.New("the target refuses the connection")
	ErrNotFound    = errors.New("the name or address is not known")
	ErrUnreachable = errors.New("the target cannot be reached")
	ErrNotAllowed  = errors.New("not allowed, by this node's rules or those of exits")
	ErrNotReady    = errors.New("the node has no way into the network yet")
	ErrBusy        = errors.New("the node is at a limit of its own")
	ErrTimeout     = errors.New("too slow")
	ErrClosed      = errors.New("the client is closed")
	ErrFailed      = errors.New("circuits failed")

	ErrNotPublished = errors.New("clients cannot find the onion service yet")
)

// ErrReset is what reads and writes of a connection give that was cut off.
var ErrReset error = syscall.ECONNRESET

var _ net.Error = (*Error)(nil)

// Error is why a connection or a question came to nothing.
type Error struct {
	// Reason names it as events and docs/events.md do, such as "exit-policy".
	Reason string

	kind  error // one of the above; nil: of an onion service
	cause error // what a context says, or an *OnionError; nil: nothing
}

// Error names no target.
func (e *Error) Error() string {
	text := "chive: "
	switch {
	case e.kind != nil && e.cause != nil:
		return text + e.kind.Error() + ": " + e.cause.Error()
	case e.cause != nil:
		return text + e.cause.Error()
	}
	return text + e.kind.Error() + " (" + e.Reason + ")"
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Timeout: it was too slow.
func (e *Error) Timeout() bool {
	var onion *OnionError
	return e.kind == ErrTimeout || errors.Is(e.cause, context.DeadlineExceeded) || errors.As(e.cause, &onion) && onion.Code == OnionTimeout
}

// Temporary is what net.Error asks for: the same may work later.
func (e *Error) Temporary() bool {
	return e.Timeout() || e.kind == ErrNotReady || e.kind == ErrNotPublished || e.kind == ErrBusy || e.kind == ErrFailed
}

// OnionCode is why an onion service is not reached, by the codes of Tor's SOCKS
// extension (proposal 304).
type OnionCode uint8

// The codes.
const (
	OnionNotFound         OnionCode = 0xF0 // no directory has its descriptor: it is down, or there is none
	OnionInvalid          OnionCode = 0xF1 // its descriptor breaks the rules
	OnionIntroFailed      OnionCode = 0xF2 // no introduction point was of use
	OnionRendezvousFailed OnionCode = 0xF3 // it did not come to the rendezvous
	OnionAuthMissing      OnionCode = 0xF4 // it is for authorised clients
	OnionAuthWrong        OnionCode = 0xF5 // the client's key is not the right one
	OnionBadAddress       OnionCode = 0xF6 // not the address of an onion service of version 3
	OnionTimeout          OnionCode = 0xF7 // every introduction point was too slow
)

var onionTexts = map[OnionCode]string{
	OnionNotFound: "no directory has its descriptor", OnionInvalid: "its descriptor is not valid",
	OnionIntroFailed: "no introduction point was of use", OnionRendezvousFailed: "it did not come to the rendezvous",
	OnionAuthMissing: "it is for authorised clients", OnionAuthWrong: "the key for it is not the right one",
	OnionBadAddress: "not a valid address", OnionTimeout: "every introduction point was too slow",
}

// OnionError says why an onion service is not reached.
type OnionError struct{ Code OnionCode }

// Error names the cause, and no address.
func (e *OnionError) Error() string {
	return fmt.Sprintf("onion service: %s (%X)", onionTexts[e.Code], uint8(e.Code))
}

// kinds are those of all outcomes that a request can have; of others it is ErrFailed.
var kinds = map[chivev1.Outcome]error{
	chivev1.Outcome_OUTCOME_TARGET_REFUSED:     ErrRefused,
	chivev1.Outcome_OUTCOME_STREAM_RESET:       ErrRefused,
	chivev1.Outcome_OUTCOME_RESOLVE_FAILED:     ErrNotFound,
	chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE: ErrUnreachable,
	chivev1.Outcome_OUTCOME_REFUSED:            ErrNotAllowed,
	chivev1.Outcome_OUTCOME_EXIT_POLICY:        ErrNotAllowed,
	chivev1.Outcome_OUTCOME_PROTOCOLS_MISSING:  ErrNotAllowed,
	chivev1.Outcome_OUTCOME_NO_DIRECTORY:       ErrNotReady,
	chivev1.Outcome_OUTCOME_NO_PATH:            ErrNotReady,
	chivev1.Outcome_OUTCOME_BACKOFF:            ErrNotReady,
	chivev1.Outcome_OUTCOME_PROXY_FAILED:       ErrNotReady,
	chivev1.Outcome_OUTCOME_PROXY_REFUSED:      ErrNotReady,
	chivev1.Outcome_OUTCOME_MACHINE_FAILED:     ErrNotReady,
	chivev1.Outcome_OUTCOME_OVERLOADED:         ErrBusy,
	chivev1.Outcome_OUTCOME_TIMEOUT:            ErrTimeout,
	chivev1.Outcome_OUTCOME_SHUTDOWN:           ErrClosed,
}

// explain makes an Error of what the node says. What the system says stays, and so does
// what a context says of a node that is ready.
func (c *Client) explain(err error) error {
	var refused *node.RefusedError
	switch {
	case errors.As(err, &refused):
		return errorOf(refused.Outcome)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		if !c.isReady() {
			return c.late(err)
		}
	case errors.Is(err, kernel.ErrStopped):
		return errorOf(chivev1.Outcome_OUTCOME_SHUTDOWN)
	}
	return err
}

// late is what is said when ctx ended before the node was ready.
func (c *Client) late(ctx error) error {
	return &Error{Reason: messages.OutcomeName(chivev1.Outcome_OUTCOME_NO_DIRECTORY), kind: ErrNotReady, cause: ctx}
}

func errorOf(o chivev1.Outcome) *Error {
	e := &Error{Reason: messages.OutcomeName(o)}
	if code := OnionCode(outcome.Reply(o)); onionTexts[code] != "" {
		e.cause = &OnionError{code}
		return e
	}
	if e.kind = kinds[o]; e.kind == nil {
		e.kind = ErrFailed
	}
	return e
}
