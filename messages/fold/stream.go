package fold

import (
	"fmt"
	"time"

	"chive/messages/chivev1"
)

// StreamState is where a stream is in its life.
type StreamState uint8

// The states of a stream; see the package's diagram.
const (
	StreamNone StreamState = iota
	StreamWaiting
	StreamAttached
	StreamConnected
	StreamEnded
)

func (s StreamState) String() string {
	return [...]string{"none", "waiting", "attached", "connected", "ended"}[s]
}

// Stream is a stream as its events tell it. The zero value is one of which
// nothing is known.
type Stream struct {
	ID        string
	State     StreamState
	Purpose   chivev1.Purpose
	Isolation string
	Circuit   string // actor id, while attached or connected
	Attempt   uint32
	Since     time.Time       // of the state
	Outcome   chivev1.Outcome // once ended
}

// Ended says whether the stream is gone.
func (s *Stream) Ended() bool { return s.State == StreamEnded }

// OnCircuit says whether a circuit carries the stream.
func (s *Stream) OnCircuit() bool { return s.State == StreamAttached || s.State == StreamConnected }

// Apply folds one event about this stream in. After an error s is as before.
func (s *Stream) Apply(e *chivev1.Envelope) error {
	if err := check(e, chivev1.Kind_KIND_STREAM, s.ID, s.State); err != nil {
		return err
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ActorFailed:
		return nil
	case *chivev1.Envelope_StreamRequested:
		if s.State != StreamNone {
			return refuse(e, s.State, "")
		}
		*s = Stream{
			ID: e.GetActorId(), Purpose: body.StreamRequested.GetPurpose(), Isolation: body.StreamRequested.GetIsolation(),
		}
		s.enter(StreamWaiting, e)
	case *chivev1.Envelope_StreamAttached:
		return s.attached(e, body.StreamAttached)
	case *chivev1.Envelope_StreamConnected:
		if s.State != StreamAttached {
			return refuse(e, s.State, "")
		}
		s.enter(StreamConnected, e)
	case *chivev1.Envelope_StreamDetached:
		if !s.OnCircuit() {
			return refuse(e, s.State, "")
		}
		if from := body.StreamDetached.GetCircuitId(); from != s.Circuit {
			return refuse(e, s.State, fmt.Sprintf("from circuit %s, it is on %s", from, s.Circuit))
		}
		s.Circuit = ""
		s.enter(StreamWaiting, e)
	case *chivev1.Envelope_StreamEnded:
		if s.State == StreamNone || s.State == StreamEnded {
			return refuse(e, s.State, "")
		}
		s.Outcome, s.Circuit = body.StreamEnded.GetOutcome(), ""
		s.enter(StreamEnded, e)
	default:
		return refuse(e, s.State, "it is not a stream's event")
	}
	return nil
}

func (s *Stream) enter(state StreamState, e *chivev1.Envelope) {
	s.State, s.Since = state, e.GetTime().AsTime()
}

func (s *Stream) attached(e *chivev1.Envelope, body *chivev1.StreamAttached) error {
	switch {
	case s.State != StreamWaiting:
		return refuse(e, s.State, "")
	case body.GetCircuitId() == "":
		return refuse(e, s.State, "to no circuit")
	case body.GetAttempt() <= s.Attempt:
		return refuse(e, s.State, "the attempt does not count up")
	}
	s.Circuit, s.Attempt = body.GetCircuitId(), body.GetAttempt()
	s.enter(StreamAttached, e)
	return nil
}
