package supervisor

import (
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor/retry"
)

// State names what happened to a child or a breaker.
type State string

// The states. Breaker states have no child name.
const (
	StateUp        State = "up"        // the child said it is healthy
	StateDown      State = "down"      // a child that was up failed
	StateBackoff   State = "backoff"   // waiting before the next attempt
	StateExhausted State = "exhausted" // the retries were in vain; a backoff at the longest wait follows
	StateOpen      State = "open"      // child: waiting for the breaker; breaker: opened
	StateHalfOpen  State = "half-open" // breaker
	StateClosed    State = "closed"    // breaker
	StateGone      State = "gone"      // the child is no longer supervised
)

// StateChanged tells a change, for events.
type StateChanged struct {
	Child   string // name; "" for a change of a breaker
	Kind    string // of the strategy
	Key     string
	State   State
	Attempt int           // failures in a row
	Delay   time.Duration // until the next attempt, for backoff, exhausted and open
	Err     error         // what the child failed of, or nil
	Site    string        // the type of Err and, if it panicked, where; never the value
	Breaker retry.Change  // for a change of a breaker
}

func (c *Children) tell(sl *slot, state State, delay time.Duration, err error) {
	c.o.OnChange(StateChanged{
		Child: sl.Name, Kind: sl.strategy.Kind, Key: sl.Key, State: state, Attempt: sl.failures, Delay: delay,
		Err: err, Site: sl.site,
	})
}

// Event is the change as an event about the actor id; child is what it says
// of the child, outcome what the child failed of. Neither may name a relay.
func (s StateChanged) Event(id, child string, outcome chivev1.Outcome) *chivev1.Envelope {
	const kind = chivev1.Kind_KIND_SUPERVISOR
	switch {
	case s.Child == "":
		return BreakerEvent(id, child, s.Breaker, outcome, nil)
	case s.State == StateExhausted:
		return messages.Event(kind, id, &chivev1.RetriesExhausted{
			Child: child, Attempts: uint32(s.Attempt), Delay: messages.Took(s.Delay), Outcome: outcome,
		})
	}
	e := &chivev1.SupervisorStateChanged{Child: child, State: string(s.State), Attempt: uint32(s.Attempt), Outcome: outcome}
	if s.Delay > 0 {
		e.Delay = messages.Took(s.Delay)
	}
	return messages.Event(kind, id, e)
}

// BreakerEvent is a breaker's change as an event about the actor id; child
// names the last attempt, outcome how it failed, relay (forensic) what the
// breaker guards, or nil.
func BreakerEvent(id, child string, c retry.Change, outcome chivev1.Outcome, relay []byte) *chivev1.Envelope {
	const kind = chivev1.Kind_KIND_SUPERVISOR
	switch c.To {
	case retry.Open:
		return messages.Event(kind, id, &chivev1.BreakerOpened{
			Child: child, InARow: uint32(c.InARow), Failed: uint32(c.Failed), Results: uint32(c.Results),
			RetryAfter: messages.Took(c.RetryAfter), Outcome: outcome, Relay: relay,
		})
	case retry.HalfOpen:
		return messages.Event(kind, id, &chivev1.BreakerHalfOpened{Child: child, Relay: relay})
	default:
		return messages.Event(kind, id, &chivev1.BreakerClosed{Child: child, Relay: relay})
	}
}

// Event is the quarantine's report as an event about the actor id; child is
// what the input crashed.
func (s SetAside) Event(id, child string) *chivev1.Envelope {
	return messages.Event(chivev1.Kind_KIND_SUPERVISOR, id, &chivev1.InputQuarantined{
		Child: child, Input: s.Kind, Crashes: uint32(s.Crashes), Lasts: messages.Took(s.For),
		Outcome: chivev1.Outcome_OUTCOME_QUARANTINED,
	})
}
