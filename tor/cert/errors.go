package cert

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers match with errors.Is.
var (
	// ErrMalformed: the bytes are not a certificate of the expected kind.
	ErrMalformed = errors.New("cert: malformed certificate")
	// ErrExtension: an extension that affects validity is not understood.
	ErrExtension = errors.New("cert: unknown extension that affects validation")
	// ErrSignature: not signed by the key that should have signed it.
	ErrSignature = errors.New("cert: bad signature")
	// ErrKey: a certified or signing key is of the wrong kind or size, or
	// not the one that it must be.
	ErrKey = errors.New("cert: wrong key")
	// ErrExpired: outside its validity; the error is an *ExpiredError.
	ErrExpired = errors.New("cert: outside its validity")
)

// ExpiredError says which certificate was outside its validity, and when.
type ExpiredError struct {
	Name      string    // the certificate's name in the specification
	NotBefore time.Time // zero if the kind has no start of validity
	NotAfter  time.Time
	Now       time.Time // the time it was checked for
}

func (e *ExpiredError) Error() string {
	const layout = "2006-01-02 15:04:05 MST"
	if !e.NotBefore.IsZero() && e.Now.Before(e.NotBefore) {
		return fmt.Sprintf("cert: %s is valid only from %s (checked for %s)",
			e.Name, e.NotBefore.UTC().Format(layout), e.Now.UTC().Format(layout))
	}
	return fmt.Sprintf("cert: %s expired at %s (checked for %s)",
		e.Name, e.NotAfter.UTC().Format(layout), e.Now.UTC().Format(layout))
}

// Is makes errors.Is(err, ErrExpired) true.
func (e *ExpiredError) Is(target error) bool { return target == ErrExpired }
