package story

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// Story is why something happened.
type Story struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	State   string    `json:"state"`             // of its machine, or node-ended
	Outcome string    `json:"outcome,omitempty"` // once it has ended, but with its node
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"` // if with its node: when the last event of that was
	Summary string    `json:"summary"`
	Hint    string    `json:"hint,omitempty"` // what to do about it

	Because   []Step `json:"because"`   // what it followed from, each from the next; the last is the root
	Happened  []Step `json:"happened"`  // to it and to what carried it, in order
	Meanwhile []Step `json:"meanwhile"` // what failed while it waited for a circuit
	LedTo     []Step `json:"led_to"`    // what followed from it, in order
	Carried   []Step `json:"carried"`   // how else what it carried ended
	Missing   string `json:"missing,omitempty"`
}

// Step is one event, or several alike, in words.
type Step struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	ID    string    `json:"id"`
	Event string    `json:"event"`           // "circuit-closed"
	Ref   string    `json:"event_id"`        // of its envelope
	Count int       `json:"count,omitempty"` // more than one: the last of so many alike
	Text  string    `json:"text"`
	Relay string    `json:"relay,omitempty"` // of the introduction point it is about; only where somebody knows

	sequence uint64
}

// stateNodeEnded is of what its node's end ended.
const stateNodeEnded = "node-ended"

// atOnce is how far apart two ends may be to be one: a carrier tells those it
// carries, and each writes its own event.
const atOnce = 5 * time.Second

// most is how many steps of one kind a story has.
const most = 40

func (l *Log) step(e *chivev1.Envelope) Step {
	return Step{
		Time: timeOf(e), Kind: kindWord(e.GetKind()), ID: e.GetActorId(), Event: messages.Name(e), Ref: e.GetId(),
		Text: l.say(e), sequence: e.GetSequence(),
	}
}

func (l *Log) steps(events []*chivev1.Envelope) []Step {
	slices.SortStableFunc(events, func(a, b *chivev1.Envelope) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) })
	events = slices.Compact(events)
	out := []Step{}
	for _, e := range events {
		out = append(out, l.step(e))
	}
	if len(out) > 2*most { // the beginning and the end of it
		out = slices.Delete(out, most, len(out)-most)
	}
	return out
}

// Tell tells the story of a subject; nil if no event is about it.
func (l *Log) Tell(s Subject) *Story {
	own := l.actors[s]
	if len(own) == 0 {
		return nil
	}
	st := &Story{
		Kind: messages.KindToken(s.Kind), ID: s.ID, State: l.state(s), Began: timeOf(own[0]),
		Because: []Step{}, Meanwhile: []Step{},
	}
	end := l.end(s)
	if end != nil {
		st.Outcome, st.Ended = messages.OutcomeName(endOf(end)), timeOf(end)
	}
	root := end
	for _, e := range l.chain(end) {
		st.Because = append(st.Because, l.step(e))
		root = e
	}
	if st.Hint = l.after(root); st.Hint == "" {
		st.Hint = hint(root, end)
	}
	st.Happened = l.steps(append(slices.Clone(own), l.context(s)...))
	if len(st.Because) == 0 {
		st.Meanwhile = l.meanwhile(s, end)
	}
	if st.Hint == "" {
		st.Hint = hint(l.failing(st.Meanwhile), nil)
	}
	led, carried := l.ledTo(s)
	st.LedTo, st.Carried = l.steps(led), l.steps(carried)
	st.Missing = l.missing(s)
	st.Summary = l.summary(s, st, end)
	if l.endedWithNode(s, end) {
		st.State, st.Ended = stateNodeEnded, l.last()
	}
	return st
}

// hint is what can be done about the root of the matter, else about the end.
func hint(root, end *chivev1.Envelope) string {
	for _, e := range []*chivev1.Envelope{root, end} {
		if text := hints[messages.OutcomeName(endOf(e))]; e != nil && text != "" {
			return text
		}
	}
	return ""
}

func (l *Log) summary(s Subject, st *Story, end *chivev1.Envelope) string {
	name := st.Kind + " " + st.ID
	switch {
	case s.Kind == chivev1.Kind_KIND_GUARD:
		return fmt.Sprintf("guard %s is %s", st.ID, st.State)
	case l.endedWithNode(s, end):
		how := unstopped
		if slices.ContainsFunc(l.events, func(e *chivev1.Envelope) bool { return e.GetNodeStopping() != nil }) {
			how = "its node was stopped"
		}
		return fmt.Sprintf("%s was %s when %s; the last event of that node came %s after it began", name, st.State, how, span(l.last().Sub(st.Began)))
	case end == nil:
		return fmt.Sprintf("%s is %s, %s after it began", name, st.State, span(l.last().Sub(st.Began)))
	}
	verb := "failed"
	if !bad(endOf(end)) {
		verb = "ended"
	}
	return fmt.Sprintf("%s %s after %s: %s", name, verb, span(st.Ended.Sub(st.Began)), l.ended(end))
}

// endedWithNode says whether something that has no end of its own is gone all the same. A
// guard is a relay, and stays.
func (l *Log) endedWithNode(s Subject, end *chivev1.Envelope) bool {
	return l.over && end == nil && s.Kind != chivev1.Kind_KIND_GUARD
}

// last is the time of the latest event.
func (l *Log) last() time.Time { return timeOf(l.events[len(l.events)-1]) }

// missing says what this log cannot tell.
func (l *Log) missing(s Subject) string {
	switch l.first(s).GetEvent().(type) {
	case *chivev1.Envelope_StreamRequested, *chivev1.Envelope_CircuitLaunched, *chivev1.Envelope_ConnectionDialled:
	default:
		if s.Kind != chivev1.Kind_KIND_GUARD {
			return "its beginning is not in the history"
		}
	}
	own := l.actors[s]
	for _, e := range l.events {
		if e.GetEventsDropped() != nil && e.GetSequence() > own[0].GetSequence() && e.GetSequence() < own[len(own)-1].GetSequence() {
			return "events were lost meanwhile"
		}
	}
	return ""
}

// circuitsOf are the circuits that a stream was attached to, in order.
func (l *Log) circuitsOf(stream string) []string {
	var out []string
	for _, e := range l.actors[Subject{chivev1.Kind_KIND_STREAM, stream}] {
		if id := e.GetStreamAttached().GetCircuitId(); id != "" {
			out = append(out, id)
		}
	}
	return out
}

// connected says whether a stream ever was.
func (l *Log) connected(stream string) bool {
	return slices.ContainsFunc(l.actors[Subject{chivev1.Kind_KIND_STREAM, stream}], func(e *chivev1.Envelope) bool {
		return e.GetStreamConnected() != nil
	})
}

// connectionOf is the connection of a circuit; "" if its launch is not told.
func (l *Log) connectionOf(circuit string) string {
	for _, e := range l.actors[Subject{chivev1.Kind_KIND_CIRCUIT, circuit}] {
		if id := e.GetCircuitLaunched().GetConnectionId(); id != "" {
			return id
		}
	}
	return ""
}

// relayOf is the opaque name of a connection's relay; "" if it is not told.
func (l *Log) relayOf(connection string) string {
	for _, e := range l.actors[Subject{chivev1.Kind_KIND_CONNECTION, connection}] {
		if e.GetCorrelationId() != "" {
			return e.GetCorrelationId()
		}
	}
	return ""
}
