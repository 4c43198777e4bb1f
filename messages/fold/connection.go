package fold

import (
	"time"

	"chive/messages/chivev1"
)

// ConnectionState is where a connection is in its life.
type ConnectionState uint8

// The states of a connection; see the package's diagram.
const (
	ConnectionNone ConnectionState = iota
	ConnectionDialled
	ConnectionOpen
	ConnectionFailed
	ConnectionClosed
)

func (s ConnectionState) String() string {
	return [...]string{"none", "dialled", "open", "failed", "closed"}[s]
}

// Connection is a TLS link to a relay as its events tell it. The zero value is
// one of which nothing is known.
type Connection struct {
	ID      string
	State   ConnectionState
	Purpose chivev1.Purpose
	Attempt uint32
	Since   time.Time       // of the state
	Outcome chivev1.Outcome // once failed or closed
}

// Ended says whether the connection is gone.
func (c *Connection) Ended() bool { return c.State == ConnectionFailed || c.State == ConnectionClosed }

// Apply folds one event about this connection in. After an error c is as
// before.
func (c *Connection) Apply(e *chivev1.Envelope) error {
	if err := check(e, chivev1.Kind_KIND_CONNECTION, c.ID, c.State); err != nil {
		return err
	}
	next := *c
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ActorFailed:
		return nil
	case *chivev1.Envelope_ConnectionDialled:
		if c.State != ConnectionNone && c.State != ConnectionFailed {
			return refuse(e, c.State, "")
		}
		if c.State == ConnectionFailed && body.ConnectionDialled.GetAttempt() <= c.Attempt {
			return refuse(e, c.State, "the attempt does not count up")
		}
		next = Connection{
			ID: e.GetActorId(), State: ConnectionDialled,
			Purpose: body.ConnectionDialled.GetPurpose(), Attempt: body.ConnectionDialled.GetAttempt(),
		}
	case *chivev1.Envelope_ConnectionOpened:
		if c.State != ConnectionDialled {
			return refuse(e, c.State, "")
		}
		next.State = ConnectionOpen
	case *chivev1.Envelope_ConnectionFailed:
		if c.State != ConnectionDialled {
			return refuse(e, c.State, "")
		}
		next.State, next.Outcome = ConnectionFailed, body.ConnectionFailed.GetOutcome()
	case *chivev1.Envelope_ConnectionClosed:
		if c.State != ConnectionOpen {
			return refuse(e, c.State, "")
		}
		next.State, next.Outcome = ConnectionClosed, body.ConnectionClosed.GetOutcome()
	default:
		return refuse(e, c.State, "it is not a connection's event")
	}
	next.Since = e.GetTime().AsTime()
	*c = next
	return nil
}
