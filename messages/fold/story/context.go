package story

import (
	"cmp"
	"slices"
	"time"

	"chive/messages/chivev1"
)

// context are the events of what carried the subject that belong to its story:
// how the carrier came to be, and its end if that came while it mattered.
func (l *Log) context(s Subject) []*chivev1.Envelope {
	var out []*chivev1.Envelope
	until := l.last()
	if end := l.end(s); end != nil {
		until = timeOf(end).Add(atOnce)
	}
	switch s.Kind {
	case chivev1.Kind_KIND_STREAM:
		for _, circuit := range l.circuitsOf(s.ID) {
			out = append(out, l.carrier(Subject{chivev1.Kind_KIND_CIRCUIT, circuit}, until)...)
			out = append(out, l.below(circuit, until)...)
		}
	case chivev1.Kind_KIND_CIRCUIT:
		out = l.below(s.ID, until)
	case chivev1.Kind_KIND_CONNECTION:
		out = l.relay(l.relayOf(s.ID), timeOf(l.first(s)), until)
	case chivev1.Kind_KIND_GUARD:
		out = l.relay(s.ID, time.Time{}, until)
	}
	return out
}

// below are the events of what carries a circuit: its connection, or the legs of a conflux
// set and theirs.
func (l *Log) below(circuit string, until time.Time) []*chivev1.Envelope {
	out := l.carrier(Subject{chivev1.Kind_KIND_CONNECTION, l.connectionOf(circuit)}, until)
	for _, leg := range l.legs[circuit] {
		out = append(out, l.carrier(Subject{chivev1.Kind_KIND_CIRCUIT, leg}, until)...)
		out = append(out, l.carrier(Subject{chivev1.Kind_KIND_CONNECTION, l.connectionOf(leg)}, until)...)
	}
	return out
}

// carrier are the events of a carrier that those it carries care about.
func (l *Log) carrier(s Subject, until time.Time) []*chivev1.Envelope {
	var out []*chivev1.Envelope
	for _, e := range l.actors[s] {
		if timeOf(e).After(until) || e.GetCircuitDirtied() != nil || e.GetCircuitExtended() != nil {
			continue
		}
		out = append(out, e)
	}
	return out
}

// earlier is how long before a connection what happened to its relay matters.
const earlier = 10 * time.Minute

// relay are the events about one relay: failed connections, breakers, the guard.
func (l *Log) relay(name string, from, until time.Time) []*chivev1.Envelope {
	if name == "" {
		return nil
	}
	if !from.IsZero() {
		from = from.Add(-earlier)
	}
	var out []*chivev1.Envelope
	for _, e := range l.events {
		if timeOf(e).Before(from) || timeOf(e).After(until) {
			continue
		}
		about := e.GetCorrelationId() == name || e.GetKind() == chivev1.Kind_KIND_GUARD && e.GetActorId() == name
		switch e.GetKind() {
		case chivev1.Kind_KIND_CONNECTION:
			if from.IsZero() { // the guard's own story has all its connections
				about = about && e.GetConnectionDialled() == nil
			} else {
				about = about && e.GetConnectionFailed() != nil
			}
		case chivev1.Kind_KIND_GUARD, chivev1.Kind_KIND_SUPERVISOR:
		default:
			about = false
		}
		if about {
			out = append(out, e)
		}
	}
	return out
}

// meanwhile is what failed while a stream waited for a circuit: from when it
// began to wait until it ended, or until now.
func (l *Log) meanwhile(s Subject, end *chivev1.Envelope) []Step {
	out := []Step{}
	if s.Kind != chivev1.Kind_KIND_STREAM {
		return out
	}
	var waits *chivev1.Envelope // the event that it began to wait with
	for _, e := range l.actors[s] {
		switch {
		case e.GetStreamRequested() != nil || e.GetStreamDetached() != nil:
			waits = e
		case e.GetStreamAttached() != nil:
			waits = nil
		}
	}
	switch {
	case waits == nil:
		return out
	case end != nil && !waited(endOf(end)):
		return out
	}
	from := timeOf(waits)
	if endOf(end) == chivev1.Outcome_OUTCOME_BACKOFF {
		from = from.Add(-earlier) // what it was not tried for is older
	}
	return l.failures(from, end)
}

// waited says whether that end may be for want of a circuit.
func waited(o chivev1.Outcome) bool {
	switch o {
	case chivev1.Outcome_OUTCOME_REFUSED, chivev1.Outcome_OUTCOME_QUARANTINED, chivev1.Outcome_OUTCOME_SHUTDOWN:
		return false
	}
	return bad(o)
}

// failures are the failures of the parts that make circuits, alike ones as one
// step, the latest of them.
func (l *Log) failures(from time.Time, end *chivev1.Envelope) []Step {
	type like struct {
		event   string
		outcome chivev1.Outcome
	}
	found := map[like]Step{}
	for _, e := range l.events {
		if end != nil && e.GetSequence() > end.GetSequence() || !hinders(e) {
			continue
		}
		if timeOf(e).Before(from) && !l.lasts(e, from) {
			continue
		}
		st := l.step(e)
		alike := like{st.Event, endOf(e)}
		st.Count = found[alike].Count + 1
		found[alike] = st
	}
	out := []Step{}
	for _, st := range found {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Step) int { return cmp.Compare(a.sequence, b.sequence) })
	return out
}

// lasts says whether a guard that was found unreachable not long before still
// was so at that time: no connection to it had opened.
func (l *Log) lasts(e *chivev1.Envelope, until time.Time) bool {
	if e.GetGuardUnreachable() == nil || until.Sub(timeOf(e)) > earlier {
		return false
	}
	for _, x := range l.events {
		if timeOf(x).After(until) {
			break
		}
		if x.GetSequence() > e.GetSequence() && x.GetConnectionOpened() != nil && x.GetCorrelationId() == e.GetActorId() {
			return false
		}
	}
	return true
}

// failing is the latest connection that failed meanwhile; nil if none did.
func (l *Log) failing(meanwhile []Step) *chivev1.Envelope {
	for _, st := range slices.Backward(meanwhile) {
		if e := l.byID[st.Ref]; e.GetConnectionFailed() != nil {
			return e
		}
	}
	return nil
}

func hinders(e *chivev1.Envelope) bool {
	switch e.GetEvent().(type) {
	case *chivev1.Envelope_ConnectionFailed, *chivev1.Envelope_CircuitFailed, *chivev1.Envelope_GuardUnreachable,
		*chivev1.Envelope_BreakerOpened, *chivev1.Envelope_RetriesExhausted, *chivev1.Envelope_InputQuarantined,
		*chivev1.Envelope_DocumentRejected, *chivev1.Envelope_ActorFailed:
		return true
	case *chivev1.Envelope_ConnectionClosed:
		return bad(endOf(e))
	case *chivev1.Envelope_ProtocolsMissing:
		return e.GetProtocolsMissing().GetRequired() != ""
	}
	return false
}
