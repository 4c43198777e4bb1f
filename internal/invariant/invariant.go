// Package invariant checks what must hold in the event log of any run: it is
// the oracle of the integration tests. The log must have the forensic fields,
// as an in-process observer sees them.
package invariant

import (
	"fmt"

	"chive/messages"
	"chive/messages/chivev1"
)

// Violation is one broken rule.
type Violation struct {
	Event string // id of the event that broke it; "" at the end of the log
	Rule  string
}

func (v Violation) String() string { return v.Event + ": " + v.Rule }

type circuit struct {
	open, over bool
	purpose    chivev1.Purpose
	isolation  string
	dirty      bool
	streams    map[string]bool // attached now
}

type stream struct {
	over      bool
	purpose   chivev1.Purpose
	isolation string
	on        string // circuit
}

type checker struct {
	found       []Violation
	connections map[string]bool // true while open
	dialling    map[string]bool
	circuits    map[string]*circuit
	streams     map[string]*stream
	next        uint64
	dropped     bool
}

// Check reads a whole log, from the node's start to its stop.
func Check(log []*chivev1.Envelope) []Violation {
	c := &checker{
		connections: map[string]bool{}, dialling: map[string]bool{},
		circuits: map[string]*circuit{}, streams: map[string]*stream{},
	}
	for _, e := range log {
		c.event(e)
	}
	c.end()
	return c.found
}

func (c *checker) say(e *chivev1.Envelope, format string, args ...any) {
	v := Violation{Rule: fmt.Sprintf(format, args...)}
	if e != nil {
		v.Event = e.GetId() + " " + messages.Name(e)
	}
	c.found = append(c.found, v)
}

func (c *checker) event(e *chivev1.Envelope) {
	if c.next != 0 && e.GetSequence() != c.next && !c.dropped {
		c.say(e, "sequence %d, want %d", e.GetSequence(), c.next)
	}
	c.next = e.GetSequence() + 1
	id := e.GetActorId()
	switch e.GetEvent().(type) {
	case *chivev1.Envelope_EventsDropped:
		c.dropped = true
	case *chivev1.Envelope_ConnectionDialled:
		c.dialling[id] = true
	case *chivev1.Envelope_ConnectionOpened:
		if !c.dialling[id] {
			c.say(e, "opened without being dialled")
		}
		delete(c.dialling, id)
		c.connections[id] = true
	case *chivev1.Envelope_ConnectionFailed:
		if !c.dialling[id] {
			c.say(e, "failed without being dialled")
		}
		delete(c.dialling, id)
	case *chivev1.Envelope_ConnectionClosed:
		if !c.connections[id] {
			c.say(e, "closed without being open")
		}
		c.connections[id] = false
	default:
		c.circuitEvent(e, id)
	}
}

func (c *checker) circuitEvent(e *chivev1.Envelope, id string) {
	if l := e.GetCircuitLaunched(); l != nil {
		c.launched(e, id, l)
		return
	}
	if e.GetKind() != chivev1.Kind_KIND_CIRCUIT {
		c.streamEvent(e, id)
		return
	}
	k := c.circuits[id]
	if k == nil || k.over {
		c.say(e, "circuit was never launched, or is over")
		return
	}
	switch ev := e.GetEvent().(type) {
	case *chivev1.Envelope_CircuitOpened:
		k.open = true
	case *chivev1.Envelope_CircuitDirtied:
		if k.dirty {
			c.say(e, "dirtied twice")
		}
		k.dirty, k.isolation = true, ev.CircuitDirtied.GetIsolation()
	case *chivev1.Envelope_CircuitFailed:
		if k.open {
			c.say(e, "an open circuit closes, it does not fail")
		}
		k.over = true
	case *chivev1.Envelope_CircuitClosed:
		if !k.open {
			c.say(e, "closed without being open")
		}
		if len(k.streams) > 0 {
			c.say(e, "closed with %d streams on it", len(k.streams))
		}
		k.open, k.over = false, true
	}
}

func (c *checker) launched(e *chivev1.Envelope, id string, l *chivev1.CircuitLaunched) {
	if c.circuits[id] != nil {
		c.say(e, "launched twice")
	}
	if !c.connections[l.GetConnectionId()] {
		c.say(e, "launched on a connection that is not open")
	}
	if want := l.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL; want && l.GetHops() != 3 {
		c.say(e, "a general circuit of %d hops", l.GetHops())
	}
	seen := map[string]bool{}
	for _, hop := range l.GetPath() {
		if seen[string(hop)] {
			c.say(e, "a relay stands in the path twice")
		}
		seen[string(hop)] = true
	}
	if len(seen) != int(l.GetHops()) {
		c.say(e, "path of %d relays, %d hops", len(seen), l.GetHops())
	}
	c.circuits[id] = &circuit{purpose: l.GetPurpose(), streams: map[string]bool{}}
}

func (c *checker) streamEvent(e *chivev1.Envelope, id string) {
	if r := e.GetStreamRequested(); r != nil {
		if c.streams[id] != nil {
			c.say(e, "requested twice")
		}
		c.streams[id] = &stream{purpose: r.GetPurpose(), isolation: r.GetIsolation()}
		return
	}
	if e.GetKind() != chivev1.Kind_KIND_STREAM {
		return
	}
	s := c.streams[id]
	if s == nil || s.over {
		c.say(e, "stream was never requested, or is over")
		return
	}
	switch ev := e.GetEvent().(type) {
	case *chivev1.Envelope_StreamAttached:
		c.attached(e, id, s, ev.StreamAttached.GetCircuitId())
	case *chivev1.Envelope_StreamConnected:
		if s.on == "" {
			c.say(e, "connected without a circuit")
		}
	case *chivev1.Envelope_StreamDetached:
		c.detach(id, s)
	case *chivev1.Envelope_StreamEnded:
		c.detach(id, s)
		s.over = true
	}
}

func (c *checker) attached(e *chivev1.Envelope, id string, s *stream, on string) {
	if s.on != "" {
		c.say(e, "attached to two circuits at once")
	}
	s.on = on
	k := c.circuits[on]
	switch {
	case k == nil || !k.open:
		c.say(e, "attached to a circuit that is not open")
		return
	case k.purpose != s.purpose:
		c.say(e, "attached to a circuit of another purpose")
	case k.purpose == chivev1.Purpose_PURPOSE_GENERAL && (!k.dirty || k.isolation != s.isolation):
		c.say(e, "isolation mixed: stream %s on circuit %s", s.isolation, k.isolation)
	}
	k.streams[id] = true
}

func (c *checker) detach(id string, s *stream) {
	if k := c.circuits[s.on]; k != nil {
		delete(k.streams, id)
	}
	s.on = ""
}

// end: nothing is left open.
func (c *checker) end() {
	for id := range c.dialling {
		c.say(nil, "connection %s was never decided", id)
	}
	for id, open := range c.connections {
		if open {
			c.say(nil, "connection %s was never closed", id)
		}
	}
	for id, k := range c.circuits {
		if !k.over {
			c.say(nil, "circuit %s never ended", id)
		}
	}
	for id, s := range c.streams {
		if !s.over {
			c.say(nil, "stream %s never ended", id)
		}
	}
}
