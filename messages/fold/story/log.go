package story

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Subject is what a story is about.
type Subject struct {
	Kind chivev1.Kind
	ID   string
}

// Log is the events of one boot of one node, so that stories can be told.
type Log struct {
	events  []*chivev1.Envelope
	actors  map[Subject][]*chivev1.Envelope
	byID    map[string]*chivev1.Envelope
	effects map[string][]*chivev1.Envelope // by cause id, in other actors
	on      map[Subject][]string           // ids of what it carries: a circuit's streams, a connection's circuits
	carried map[[2]Subject]bool            // what is in on
	legs    map[string][]string            // circuits by the conflux set they are legs of
	about   map[string][]*chivev1.Envelope // supervisor events by the connection they speak of
	over    bool                           // the node does not run any more
}

// NewLog takes the events of one boot. They may come in any order, and some may
// be missing.
func NewLog(events []*chivev1.Envelope) *Log {
	l := &Log{
		events: slices.Clone(events), actors: map[Subject][]*chivev1.Envelope{}, byID: map[string]*chivev1.Envelope{},
		effects: map[string][]*chivev1.Envelope{}, on: map[Subject][]string{}, carried: map[[2]Subject]bool{}, about: map[string][]*chivev1.Envelope{}, legs: map[string][]string{},
	}
	slices.SortStableFunc(l.events, func(a, b *chivev1.Envelope) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) })
	l.events = slices.CompactFunc(l.events, func(a, b *chivev1.Envelope) bool {
		return a.GetSequence() == b.GetSequence() && a.GetId() == b.GetId()
	})
	for _, e := range l.events {
		s := Subject{e.GetKind(), e.GetActorId()}
		l.actors[s] = append(l.actors[s], e)
		l.byID[e.GetId()] = e
		l.link(e, s)
	}
	return l
}

// NodeEnded says that the node of these events does not run any more: what had not ended by
// the last of them ended with it.
func (l *Log) NodeEnded() { l.over = true }

func (l *Log) link(e *chivev1.Envelope, s Subject) {
	if cause := l.byID[e.GetCauseId()]; cause != nil && (cause.GetKind() != s.Kind || cause.GetActorId() != s.ID) {
		l.effects[e.GetCauseId()] = append(l.effects[e.GetCauseId()], e)
	}
	carrier := Subject{}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_StreamAttached:
		carrier = Subject{chivev1.Kind_KIND_CIRCUIT, body.StreamAttached.GetCircuitId()}
	case *chivev1.Envelope_CircuitLaunched:
		carrier = Subject{chivev1.Kind_KIND_CONNECTION, body.CircuitLaunched.GetConnectionId()}
		if set := body.CircuitLaunched.GetSetId(); set != "" && set != s.ID {
			l.legs[set] = append(l.legs[set], s.ID)
		}
	case *chivev1.Envelope_SupervisorStateChanged:
		l.speak(e, body.SupervisorStateChanged.GetChild())
	case *chivev1.Envelope_BreakerOpened:
		l.speak(e, body.BreakerOpened.GetChild())
	case *chivev1.Envelope_BreakerClosed:
		l.speak(e, body.BreakerClosed.GetChild())
	case *chivev1.Envelope_RetriesExhausted:
		l.speak(e, body.RetriesExhausted.GetChild())
	case *chivev1.Envelope_InputQuarantined:
		l.speak(e, body.InputQuarantined.GetChild())
	}
	if pair := [2]Subject{carrier, s}; carrier.ID != "" && !l.carried[pair] {
		l.carried[pair] = true
		l.on[carrier] = append(l.on[carrier], s.ID)
	}
}

func (l *Log) speak(e *chivev1.Envelope, child string) {
	if id := fold.ConnectionOf(child); id != "" {
		l.about[id] = append(l.about[id], e)
	}
}

// Has says whether there is any event about the subject.
func (l *Log) Has(s Subject) bool { return len(l.actors[s]) > 0 }

// Find lists the subjects of a kind whose id begins so, by id.
func (l *Log) Find(kind chivev1.Kind, prefix string) []Subject {
	var out []Subject
	for s := range l.actors {
		if s.Kind == kind && s.ID != "" && strings.HasPrefix(s.ID, prefix) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Subject) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// LastFailed is the subject of that kind that came to a bad end last; false if
// none did.
func (l *Log) LastFailed(kind chivev1.Kind) (Subject, bool) {
	for _, e := range slices.Backward(l.events) {
		if e.GetKind() == kind && bad(endOf(e)) {
			return Subject{kind, e.GetActorId()}, true
		}
	}
	return Subject{}, false
}

// endOf is the outcome that a terminal event tells; 0 for other events. A guard
// that cannot be reached is at an end, too, for now.
func endOf(e *chivev1.Envelope) chivev1.Outcome {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_StreamEnded:
		return body.StreamEnded.GetOutcome()
	case *chivev1.Envelope_CircuitFailed:
		return body.CircuitFailed.GetOutcome()
	case *chivev1.Envelope_CircuitClosed:
		return body.CircuitClosed.GetOutcome()
	case *chivev1.Envelope_ConnectionFailed:
		return body.ConnectionFailed.GetOutcome()
	case *chivev1.Envelope_ConnectionClosed:
		return body.ConnectionClosed.GetOutcome()
	case *chivev1.Envelope_GuardUnreachable:
		return body.GuardUnreachable.GetOutcome()
	}
	return chivev1.Outcome_OUTCOME_UNSPECIFIED
}

// outcomeOf is the outcome of an end, or of a stream's end on one circuit.
func outcomeOf(e *chivev1.Envelope) chivev1.Outcome {
	if d := e.GetStreamDetached(); d != nil {
		return d.GetOutcome()
	}
	return endOf(e)
}

// bad says whether something that ended so did not do its work.
func bad(o chivev1.Outcome) bool {
	switch o {
	case chivev1.Outcome_OUTCOME_UNSPECIFIED, chivev1.Outcome_OUTCOME_OK, chivev1.Outcome_OUTCOME_CANCELLED,
		chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_IDLE, chivev1.Outcome_OUTCOME_REPLACED:
		return false
	}
	return true
}

// first and last are the first and last event of a subject; nil if there is none.
func (l *Log) first(s Subject) *chivev1.Envelope {
	if all := l.actors[s]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// end is the terminal event of a subject; nil if there is none.
func (l *Log) end(s Subject) *chivev1.Envelope {
	for _, e := range slices.Backward(l.actors[s]) {
		if endOf(e) != chivev1.Outcome_OUTCOME_UNSPECIFIED {
			return e
		}
	}
	return nil
}

func timeOf(e *chivev1.Envelope) time.Time { return e.GetTime().AsTime() }
