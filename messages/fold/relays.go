package fold

import (
	"strings"
	"time"

	"chive/messages/chivev1"
)

// Relay is what is known of one relay that this node connects to. Its name is
// opaque: random, for one boot.
type Relay struct {
	Guard    bool            `json:"guard,omitempty"`
	Sampled  time.Time       `json:"sampled,omitzero"`
	Reached  time.Time       `json:"reached,omitzero"`   // a connection to it opened, last
	Up       uint64          `json:"up,omitempty"`       // number of the event that tells so
	Lost     time.Time       `json:"lost,omitzero"`      // a connection to it that was open closed, last
	Answered uint64          `json:"answered,omitempty"` // number of the event that tells of either, the last
	Failed   time.Time       `json:"failed,omitzero"`    // the guard was found unreachable, last
	Down     uint64          `json:"down,omitempty"`     // number of the event that tells so
	Failures uint64          `json:"failures,omitempty"`
	Outcome  chivev1.Outcome `json:"outcome,omitempty"` // of the last failure
}

// opens notes that it was reached.
func (r *Relay) opens(at time.Time, number uint64) {
	switch {
	case number > r.Up: // the clock may have been set back
		r.Reached, r.Up = at, number
	case number == r.Up:
		r.Reached = latest(r.Reached, at)
	}
	r.Answered = max(r.Answered, number)
}

// away: was it found unreachable, and not reached since?
func (r *Relay) away() bool {
	return !r.Failed.IsZero() && (r.Down > r.Up || r.Down == r.Up && r.Failed.After(r.Reached))
}

// touched is when something was last heard of it.
func (r *Relay) touched() time.Time { return latest(r.Sampled, r.Reached, r.Lost, r.Failed) }

// Breaker is what the supervisor does about one dependency, a relay say.
type Breaker struct {
	State      string          `json:"state,omitempty"` // open, half-open or closed; "": it never opened
	Since      time.Time       `json:"since,omitzero"`
	RetryAfter time.Duration   `json:"retry_after,omitempty"` // once open
	InARow     uint32          `json:"in_a_row,omitempty"`
	Relay      string          `json:"relay,omitempty"` // opaque name, if it is about one
	Child      string          `json:"child,omitempty"` // kind/id of the last attempt
	Waits      string          `json:"waits,omitempty"` // what the supervisor said of the child last: backoff, down, up, …
	Attempt    uint32          `json:"attempt,omitempty"`
	Delay      time.Duration   `json:"delay,omitempty"`
	Told       time.Time       `json:"told,omitzero"` // when
	Exhausted  time.Time       `json:"exhausted,omitzero"`
	Outcome    chivev1.Outcome `json:"outcome,omitempty"` // of the last failure
}

func (b *Breaker) touched() time.Time { return latest(b.Since, b.Told, b.Exhausted) }

func latest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.After(first) {
			first = t
		}
	}
	return first
}

// relay is the relay of an opaque name.
func (n *Node) relay(name string) *Relay {
	r := entity(&n.Relays, name)
	if len(n.Relays) > 2*maxRelays {
		trim(n.Relays, maxRelays, func(r *Relay) (moment, bool) { return moment{at: r.touched()}, true })
	}
	return r
}

// reached: a connection to the relay opened.
func (n *Node) reached(name string, at time.Time, number uint64) {
	if name == "" {
		return
	}
	n.relay(name).opens(at, number)
}

// lost: a connection to the relay closed.
func (n *Node) lost(name string, at time.Time, number uint64) {
	if name == "" {
		return
	}
	r := n.relay(name)
	r.Lost, r.Answered = latest(r.Lost, at), max(r.Answered, number)
}

func (n *Node) guard(e *chivev1.Envelope, at time.Time) {
	if e.GetActorId() == "" {
		return
	}
	r := n.relay(e.GetActorId())
	r.Guard = true
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_GuardSampled:
		r.Sampled = at
	case *chivev1.Envelope_GuardReachable:
		r.opens(at, e.GetSequence())
	case *chivev1.Envelope_GuardUnreachable:
		r.Failed, r.Down, r.Outcome = at, e.GetSequence(), body.GuardUnreachable.GetOutcome()
		r.Failures++
	}
}

func (n *Node) supervisor(e *chivev1.Envelope, at time.Time) {
	b := entity(&n.Breakers, e.GetActorId())
	if e.GetCorrelationId() != "" {
		b.Relay = e.GetCorrelationId()
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_BreakerOpened:
		o := body.BreakerOpened
		b.State, b.Since, b.RetryAfter, b.InARow = "open", at, o.GetRetryAfter().AsDuration(), o.GetInARow()
		b.Child, b.Outcome = o.GetChild(), o.GetOutcome()
	case *chivev1.Envelope_BreakerHalfOpened:
		b.State, b.Since, b.RetryAfter = "half-open", at, 0
	case *chivev1.Envelope_BreakerClosed:
		b.State, b.Since, b.RetryAfter, b.InARow = "closed", at, 0, 0
	case *chivev1.Envelope_SupervisorStateChanged:
		s := body.SupervisorStateChanged
		b.Child, b.Waits, b.Attempt, b.Told = s.GetChild(), s.GetState(), s.GetAttempt(), at
		b.Delay, b.Outcome = s.GetDelay().AsDuration(), s.GetOutcome()
	case *chivev1.Envelope_RetriesExhausted:
		x := body.RetriesExhausted
		b.Child, b.Exhausted, b.Outcome = x.GetChild(), at, x.GetOutcome()
	case *chivev1.Envelope_InputQuarantined:
		b.Child, b.Waits, b.Told = body.InputQuarantined.GetChild(), "quarantined", at
		b.Delay = body.InputQuarantined.GetLasts().AsDuration()
	}
	if len(n.Breakers) > 2*maxRelays {
		trim(n.Breakers, maxRelays, func(b *Breaker) (moment, bool) { return moment{at: b.touched()}, true })
	}
}

// ConnectionOf is the id of the connection that a supervisor's child names; ""
// if it is another kind of child.
func ConnectionOf(child string) string {
	id, ok := strings.CutPrefix(child, "connection/")
	if !ok {
		return ""
	}
	return id
}
