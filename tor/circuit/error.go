package circuit

import (
	"errors"
	"fmt"

	"chive/tor/cell"
)

// Error is why a circuit had to end. It unwraps to one of the sentinels below
// or to the error of the layer that failed.
type Error struct {
	Reason cell.DestroyReason // what a DESTROY would say
	Hop    int                // hop it happened at, from 1; 0 when not known
	Err    error
}

func (e *Error) Error() string {
	if e.Hop == 0 {
		return "circuit: " + e.Err.Error()
	}
	return fmt.Sprintf("circuit: hop %d: %v", e.Hop, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// What an Error can unwrap to, besides the errors of tor/handshake and
// tor/cell.
var (
	ErrUnrecognized = errors.New("relay cell that no layer recognises")
	ErrUnexpected   = errors.New("cell that is not allowed in this state")
	ErrWindow       = errors.New("flow-control window overrun")
	ErrSendme       = errors.New("SENDME that does not match what was sent")
	ErrDestroyed    = errors.New("destroyed by the far side")
	ErrTruncated    = errors.New("truncated by a relay on the path")
	ErrEmptyData    = errors.New("DATA cell without data")
	ErrPadding      = errors.New("padding that nobody asked for")
	ErrStreamID     = errors.New("cell for a stream that does not exist")
	ErrClosed       = errors.New("circuit is closed")
	ErrNotOpen      = errors.New("circuit is not open")
	ErrNoStreamID   = errors.New("no stream id is free")
	ErrNoDirectory  = errors.New("no directory is asked over a conflux set")
	// ErrNoCongestionControl: a leg of a conflux set cannot be without.
	ErrNoCongestionControl = errors.New("the exit grants no congestion control")
	ErrNoStream            = errors.New("no such stream")
)

func (c *Circuit) violation(hop int, err error) error {
	return c.fail(&Error{Reason: cell.DestroyProtocol, Hop: hop, Err: err})
}

func (c *Circuit) fail(err *Error) error {
	c.state = Closed
	if c.failed == nil {
		c.failed = err // the first reason is the one that counts
	}
	return err
}
