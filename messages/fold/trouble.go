package fold

import (
	"time"

	"chive/messages/chivev1"
)

// Trouble is what keeps a node from the network, whatever its bootstrap once came to.
type Trouble struct {
	What    string          // no-relay, no-guard or no-circuit
	Since   time.Time       // when there last was one; when the node started, if there never was
	Outcome chivev1.Outcome // of the latest try
}

// What troubles there are.
const (
	NoRelay   = "no-relay"   // no relay answers, and no guards are known yet
	NoGuard   = "no-guard"   // no guard answers
	NoCircuit = "no-circuit" // a guard answers, and no circuit through the network can be built
)

// How many tries in vain it takes, with nothing that works meanwhile: one relay that is away,
// or all circuits over one, are no trouble of the network.
const (
	connectionsInVain = 3
	circuitsInVain    = 5
	// circuitsTried is how long circuits must have failed for, unless they are more than are
	// remembered: all over one connection fail at once when it is lost.
	circuitsTried = 10 * time.Second
)

// Text says in words what it is.
func (t *Trouble) Text() string {
	if t.Outcome == chivev1.Outcome_OUTCOME_MACHINE_FAILED {
		return "this machine cannot make connections"
	}
	switch t.What {
	case NoRelay:
		return "no relay answers"
	case NoGuard:
		return "no guard answers"
	}
	return "no circuit can be built"
}

// tries are what was tried since something last worked. What came after what is told by the
// numbers of events: the clock may be set back.
type tries struct {
	worked      time.Time // last
	until       uint64    // the number of that
	open        bool      // it works
	failed      int
	first, last moment // failure
	why         chivev1.Outcome
}

// moment is when an event was, and its number.
type moment struct {
	at     time.Time
	number uint64
}

func (t *tries) works(at time.Time, number uint64) {
	t.worked, t.until = latest(t.worked, at), max(t.until, number)
}

// fails counts a failure, unless nothing can be told from it. It comes after all that works.
func (t *tries) fails(at time.Time, number uint64, why chivev1.Outcome) {
	switch why {
	case chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_INTERNAL:
		return
	}
	if number <= t.until {
		return
	}
	t.failed++
	if t.failed == 1 || number < t.first.number {
		t.first = moment{at, number}
	}
	if number > t.last.number {
		t.last, t.why = moment{at, number}, why
	}
}

// long: have they failed for so long? A clock that was set back meanwhile cannot tell, and
// those that fail at once are over by then.
func (t *tries) long(d time.Duration) bool {
	took := t.last.at.Sub(t.first.at)
	return took >= d || took < 0
}

// Trouble is what keeps the node from the network now; nil: nothing that is known.
func (n *Node) Trouble() *Trouble {
	guarded := false
	for _, r := range n.Relays {
		guarded = guarded || r.Guard
	}
	if t := n.dials(guarded); !t.open && t.failed >= connectionsInVain {
		if guarded {
			return n.trouble(NoGuard, t)
		}
		return n.trouble(NoRelay, t)
	}
	if t := n.builds(); !t.open && t.failed >= circuitsInVain && (t.long(circuitsTried) || t.failed >= n.retain()) {
		return n.trouble(NoCircuit, t)
	}
	return nil
}

func (n *Node) trouble(what string, t tries) *Trouble {
	since := latest(n.Started, t.worked)
	if since.After(t.first.at) {
		since = t.first.at // the clock was set back
	}
	return &Trouble{What: what, Since: since, Outcome: t.why}
}

// dials are the tries to reach a relay, or a guard: once guards are known, other relays that
// answer are of no use.
func (n *Node) dials(guards bool) (t tries) {
	counts := func(name string) bool { return !guards || n.Relays[name] != nil && n.Relays[name].Guard }
	for name, r := range n.Relays {
		if counts(name) {
			t.works(latest(r.Reached, r.Lost), r.Answered)
		}
	}
	for _, k := range n.Connections {
		if !counts(k.Relay) {
			continue
		}
		t.open = t.open || k.State == ConnectionOpen
		if k.State == ConnectionClosed {
			t.works(k.Gone, k.Number)
		}
	}
	for _, k := range n.Connections {
		if k.State == ConnectionFailed && counts(k.Relay) {
			t.fails(k.Gone, k.Number, k.Outcome)
		}
	}
	return t
}

// builds are the tries to build a circuit through the network.
func (n *Node) builds() (t tries) {
	t.works(n.Through, n.ThroughNumber)
	for _, c := range n.Circuits {
		t.open = t.open || c.through() && c.State == CircuitOpen
	}
	for _, c := range n.Circuits {
		// Of the relays at the end of others, some are named by who is on the other side.
		if c.State == CircuitFailed && c.Purpose == chivev1.Purpose_PURPOSE_GENERAL && c.Hops > 1 {
			t.fails(c.Gone, c.Number, c.Outcome)
		}
	}
	return t
}

// through: does, or did, the circuit go through the network?
func (c *CircuitLife) through() bool { return c.Hops > 1 && !c.IsSet() }
