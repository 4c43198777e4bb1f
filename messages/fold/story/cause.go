package story

import (
	"slices"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// chain follows an end to its root, the nearest first.
func (l *Log) chain(e *chivev1.Envelope) []*chivev1.Envelope {
	var out []*chivev1.Envelope
	for e != nil && len(out) < most {
		next := l.because(e)
		if next == nil || slices.Contains(out, next) {
			break
		}
		out = append(out, next)
		e = next
	}
	return out
}

// because is the event that an end followed from; nil if it is a root, as far as
// is known.
func (l *Log) because(e *chivev1.Envelope) *chivev1.Envelope {
	if cause := l.byID[e.GetCauseId()]; cause != nil && foreign(e, cause) {
		return cause
	}
	out := endOf(e)
	switch out {
	case chivev1.Outcome_OUTCOME_UNSPECIFIED, chivev1.Outcome_OUTCOME_OK, chivev1.Outcome_OUTCOME_CANCELLED:
		return nil
	case chivev1.Outcome_OUTCOME_QUARANTINED:
		return l.before(e, 0, func(x *chivev1.Envelope) bool { return x.GetInputQuarantined() != nil })
	case chivev1.Outcome_OUTCOME_NO_DIRECTORY:
		return l.before(e, 0, func(x *chivev1.Envelope) bool { return x.GetBootstrapAdvanced() != nil })
	}
	if carrier := l.carrierEnd(e); carrier != nil {
		return carrier
	}
	if messages.OutcomeName(out) == "overloaded" {
		return l.before(e, atOnce, func(x *chivev1.Envelope) bool { return messages.Name(x) == "memory-pressure" })
	}
	switch out {
	case chivev1.Outcome_OUTCOME_SHUTDOWN:
		return l.before(e, 0, func(x *chivev1.Envelope) bool { return x.GetNodeStopping() != nil })
	case chivev1.Outcome_OUTCOME_INTERNAL:
		return l.before(e, atOnce, func(x *chivev1.Envelope) bool {
			return x.GetActorFailed() != nil && (!foreign(e, x) || x.GetKind() == chivev1.Kind_KIND_NODE)
		})
	}
	return nil
}

func foreign(a, b *chivev1.Envelope) bool {
	return a.GetKind() != b.GetKind() || a.GetActorId() != b.GetActorId()
}

// before is the latest event before e that is so, at most so long before; 0: any
// time.
func (l *Log) before(e *chivev1.Envelope, within time.Duration, is func(*chivev1.Envelope) bool) *chivev1.Envelope {
	for _, x := range slices.Backward(l.events) {
		if x.GetSequence() >= e.GetSequence() || !is(x) {
			continue
		}
		if within > 0 && timeOf(e).Sub(timeOf(x)) > within {
			return nil
		}
		return x
	}
	return nil
}

// carrierEnd is the end of what carried e's subject, if it ended so and then.
// That of a stream must not have been said by the exit: only what the circuit
// tells its streams counts, and the stream was on it.
func (l *Log) carrierEnd(e *chivev1.Envelope) *chivev1.Envelope {
	var carrier Subject
	switch e.GetKind() {
	case chivev1.Kind_KIND_STREAM:
		carrier = Subject{chivev1.Kind_KIND_CIRCUIT, l.circuitAt(e)}
	case chivev1.Kind_KIND_CIRCUIT:
		carrier = Subject{chivev1.Kind_KIND_CONNECTION, l.connectionOf(e.GetActorId())}
	}
	if carrier.ID == "" {
		return nil
	}
	end := l.end(carrier)
	if end == nil || endOf(end) != endOf(e) || timeOf(end).Sub(timeOf(e)).Abs() > atOnce {
		return nil
	}
	return end
}

// circuitAt is the circuit that a stream was on when it ended, or that gave it
// back last.
func (l *Log) circuitAt(e *chivev1.Envelope) string {
	on := ""
	for _, x := range l.actors[Subject{e.GetKind(), e.GetActorId()}] {
		if x.GetSequence() >= e.GetSequence() {
			break
		}
		if id := x.GetStreamAttached().GetCircuitId(); id != "" {
			on = id
		}
	}
	return on
}

// leavings are the ends of a stream on a circuit: it was given back, or ended
// there.
func (l *Log) leavings(stream, circuit string) []*chivev1.Envelope {
	var out []*chivev1.Envelope
	on := ""
	for _, x := range l.actors[Subject{chivev1.Kind_KIND_STREAM, stream}] {
		if id := x.GetStreamAttached().GetCircuitId(); id != "" {
			on = id
		}
		if on == circuit && (x.GetStreamDetached() != nil || x.GetStreamEnded() != nil) {
			out = append(out, x)
			on = ""
		}
	}
	return out
}

// ledTo are the events in others that followed from the subject's.
func (l *Log) ledTo(s Subject) []*chivev1.Envelope {
	var out []*chivev1.Envelope
	for _, e := range l.actors[s] {
		out = append(out, l.effects[e.GetId()]...)
	}
	switch s.Kind {
	case chivev1.Kind_KIND_CIRCUIT:
		for _, stream := range l.on[s] {
			out = append(out, l.leavings(stream, s.ID)...)
		}
	case chivev1.Kind_KIND_CONNECTION:
		out = append(out, l.about[s.ID]...)
		for _, circuit := range l.on[s] {
			c := Subject{chivev1.Kind_KIND_CIRCUIT, circuit}
			if end := l.end(c); end != nil {
				out = append(out, end)
				if l.carrierEnd(end) != nil { // else what became of its streams is not this connection's doing
					out = append(out, l.ledTo(c)...)
				}
			}
		}
	}
	return slices.DeleteFunc(out, func(e *chivev1.Envelope) bool { return e.GetKind() == s.Kind && e.GetActorId() == s.ID })
}
