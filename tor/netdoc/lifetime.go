package netdoc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// ReasonablyLive is how long before valid-after and after valid-until a consensus may still be used to build
// circuits when no better one can be had (dir-spec 5.1; C tor applies it on both sides).
const ReasonablyLive = 24 * time.Hour

// MaxCertSkew is how far in the future a certificate may have been published and still count: a day of clock
// error, the same measure as ReasonablyLive (dir-spec 3.1 leaves the number open).
const MaxCertSkew = 24 * time.Hour

// Errors of CheckTime, wrapped in a *TimeError.
var (
	ErrNotYetValid = errors.New("not yet valid")
	ErrExpired     = errors.New("expired")
)

// TimeError says by how much a document is out of its time.
type TimeError struct {
	Err   error     // ErrNotYetValid or ErrExpired
	Bound time.Time // valid-after or valid-until, without the tolerance
	Now   time.Time
}

func (e *TimeError) Error() string {
	if errors.Is(e.Err, ErrNotYetValid) {
		return fmt.Sprintf("%v: valid from %s, %v from now", e.Err, formatTime(e.Bound), e.Bound.Sub(e.Now))
	}
	return fmt.Sprintf("%v: valid until %s, %v ago", e.Err, formatTime(e.Bound), e.Now.Sub(e.Bound))
}

func (e *TimeError) Unwrap() error { return e.Err }

// checkTime accepts now in [from-pre, until+post].
func checkTime(now, from, until time.Time, pre, post time.Duration) error {
	if now.Before(from.Add(-pre)) {
		return &TimeError{ErrNotYetValid, from, now}
	}
	if now.After(until.Add(post)) {
		return &TimeError{ErrExpired, until, now}
	}
	return nil
}

// CheckTime reports whether now lies between valid-after minus pre and valid-until plus post. The error wraps
// ErrNotYetValid or ErrExpired. With zero tolerances it asks whether the consensus is "live", with ReasonablyLive
// whether it is "reasonably live" (dir-spec 5.1).
func (c *Consensus) CheckTime(now time.Time, pre, post time.Duration) error {
	return checkTime(now, c.ValidAfter, c.ValidUntil, pre, post)
}

// CheckTime reports whether the certificate counts at now: published no later than MaxCertSkew from now, and not
// past its expiry.
func (a *AuthCert) CheckTime(now time.Time) error {
	return checkTime(now, a.Published, a.Expires, MaxCertSkew, 0)
}

// RefreshTime picks when to fetch the consensus that follows c: uniformly between 3/4 of a freshness interval
// after fresh-until and 7/8 of what is then left until valid-until, so that clients do not swarm the caches
// (dir-spec 5.1). A consensus whose life is too short for that (test networks) gives a moment between fresh-until
// and valid-until. The error is the random source's.
func RefreshTime(c *Consensus, random io.Reader) (time.Time, error) {
	start := c.FreshUntil.Add(c.FreshUntil.Sub(c.ValidAfter) * 3 / 4)
	if !start.Before(c.ValidUntil) {
		start = c.FreshUntil
	}
	span := c.ValidUntil.Sub(start) * 7 / 8
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return time.Time{}, fmt.Errorf("choose the next consensus download time: %w", err)
	}
	if span <= 0 {
		return start, nil
	}
	// The bias of the remainder does not matter: a span of hours is below 2^-20 of the range.
	return start.Add(time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(span))), nil
}

const timeLayout = "2006-01-02 15:04:05"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// parseTime reads "YYYY-MM-DD" and "HH:MM:SS", UTC.
func parseTime(args *fields) (time.Time, bool) {
	date, clock := args.next(), args.next()
	if len(date) != 10 || len(clock) != 8 {
		return time.Time{}, false
	}
	t, err := time.Parse(timeLayout, string(date)+" "+string(clock))
	return t, err == nil
}
