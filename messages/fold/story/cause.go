package story

import (
	"slices"
	"time"

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
	if failed := l.onlyFailure(e); failed != nil {
		return failed
	}
	if out == chivev1.Outcome_OUTCOME_OVERLOADED {
		return l.before(e, atOnce, func(x *chivev1.Envelope) bool { return x.GetMemoryPressure().GetOver() })
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
	if end == nil || endOf(end) != outcomeOf(e) || timeOf(end).Sub(timeOf(e)).Abs() > atOnce {
		return nil
	}
	return end
}

// onlyFailure is the connection that failed as a stream did that never had a
// circuit: a circuit that gets no connection leaves no event, but only a
// connection can end so. Nil if there was none meanwhile, or more than one.
func (l *Log) onlyFailure(e *chivev1.Envelope) *chivev1.Envelope {
	s := Subject{e.GetKind(), e.GetActorId()}
	if s.Kind != chivev1.Kind_KIND_STREAM || len(l.circuitsOf(s.ID)) > 0 || !ofConnections(endOf(e)) {
		return nil
	}
	var found *chivev1.Envelope
	for _, x := range l.events {
		if x.GetSequence() >= e.GetSequence() {
			break
		}
		if x.GetSequence() < l.first(s).GetSequence() || x.GetConnectionFailed() == nil || endOf(x) != endOf(e) {
			continue
		}
		if found != nil {
			return nil
		}
		found = x
	}
	return found
}

// ofConnections says whether only a connection to a relay ends so.
func ofConnections(o chivev1.Outcome) bool {
	switch o {
	case chivev1.Outcome_OUTCOME_CONNECT_REFUSED, chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE, chivev1.Outcome_OUTCOME_TLS_FAILED,
		chivev1.Outcome_OUTCOME_LINK_PROTOCOL, chivev1.Outcome_OUTCOME_RELAY_IDENTITY, chivev1.Outcome_OUTCOME_CERT_EXPIRED,
		chivev1.Outcome_OUTCOME_PROXY_FAILED, chivev1.Outcome_OUTCOME_PROXY_REFUSED,
		chivev1.Outcome_OUTCOME_MACHINE_FAILED:
		return true
	}
	return false
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

// ledTo are the events in others that followed from the subject's; carried are
// the ends of what it carried that did not.
func (l *Log) ledTo(s Subject) (led, carried []*chivev1.Envelope) {
	for _, e := range l.actors[s] {
		led = append(led, l.effects[e.GetId()]...)
	}
	if s.Kind == chivev1.Kind_KIND_CONNECTION {
		led = append(led, l.about[s.ID]...)
	}
	for _, id := range l.on[s] {
		switch s.Kind {
		case chivev1.Kind_KIND_CIRCUIT:
			for _, leaving := range l.leavings(id, s.ID) {
				sort(leaving, l.carrierEnd(leaving) != nil, &led, &carried)
			}
		case chivev1.Kind_KIND_CONNECTION:
			c := Subject{chivev1.Kind_KIND_CIRCUIT, id}
			end := l.end(c)
			if end == nil {
				continue
			}
			lost := l.carrierEnd(end) != nil
			sort(end, lost, &led, &carried)
			if lost {
				streams, _ := l.ledTo(c)
				led = append(led, streams...)
			}
		}
	}
	own := func(e *chivev1.Envelope) bool { return e.GetKind() == s.Kind && e.GetActorId() == s.ID }
	return slices.DeleteFunc(led, own), slices.DeleteFunc(carried, own)
}

func sort(e *chivev1.Envelope, followed bool, led, carried *[]*chivev1.Envelope) {
	if followed {
		*led = append(*led, e)
	} else {
		*carried = append(*carried, e)
	}
}

// after tells what became of the relay whose connection broke: whether the next
// one to it could be made; "" if there was none within a minute.
func (l *Log) after(e *chivev1.Envelope) string {
	if e.GetConnectionClosed() == nil || endOf(e) != chivev1.Outcome_OUTCOME_CONNECTION_LOST || e.GetCorrelationId() == "" {
		return ""
	}
	for _, x := range l.events {
		if x.GetSequence() <= e.GetSequence() || x.GetKind() != e.GetKind() || x.GetCorrelationId() != e.GetCorrelationId() {
			continue
		}
		if timeOf(x).Sub(timeOf(e)) > time.Minute {
			return ""
		}
		switch {
		case x.GetConnectionFailed() != nil:
			return "the next connection to that relay failed, too: " + l.ended(x)
		case x.GetConnectionOpened() != nil:
			return "the next connection to that relay opened " + span(timeOf(x).Sub(timeOf(e))) + " later"
		}
	}
	return ""
}
