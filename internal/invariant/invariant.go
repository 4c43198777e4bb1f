// Package invariant checks what must hold in the event log of any run: it is
// the oracle of the integration tests. The log must have the forensic fields,
// as an in-process observer sees them.
//
// What one connection, circuit or stream may do is fold's; the rules between
// them are here:
//
//   - sequences have no gap but what an EventsDropped right behind it tells;
//   - what began has ended when the log ends, unless it was cut while running;
//   - circuits are launched on open connections;
//   - paths have the shape of their purpose, and the second and third hops of those to onion
//     services are of the second and third layers of guards, while those are used;
//   - a circuit that was built ahead gets its purpose once, before it carried anything, and
//     keeps the hops it has;
//   - circuits have congestion control if their last hop granted it, by ntor-v3, and count
//     the hops with Counter Galois Onion, each of which granted it too;
//   - an onion service of the node's has no two introduction points at one relay, and no
//     descriptor without one;
//   - it is told to be up because somebody met it since that was last said or denied, steps are
//     made only while it is broken, and it is healed only of what was told;
//   - a circuit that joined an onion service carries streams to that service alone;
//   - streams are on open circuits of their purpose, all detached before the circuit
//     closes;
//   - legs of a conflux set end at one exit and share no other relay, carry no streams of
//     their own, and end before their set does;
//   - no circuit ever carries two streams that must be isolated from each other, a stream
//     isolates by the same wherever it goes, and the epoch of none is to come.
//
// After dropped events only what cannot come from the hole is told.
//
// What holds between nodes that share an onion service is Publishers'.
package invariant

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
	"chive/tor/isolation"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// shapes are those of tor/path.
var shapes = map[chivev1.Purpose]path.Purpose{
	chivev1.Purpose_PURPOSE_GENERAL: path.ForExit, chivev1.Purpose_PURPOSE_DIRECTORY: path.ForDirectory,
	chivev1.Purpose_PURPOSE_ONION_DIRECTORY: path.ForOnionDirectory, chivev1.Purpose_PURPOSE_INTRODUCTION: path.ForIntroduction,
	chivev1.Purpose_PURPOSE_RENDEZVOUS: path.ForRendezvous, chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY: path.ForServiceDirectory,
	chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION: path.ForServiceIntroduction,
	chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS:   path.ForServiceRendezvous,
	chivev1.Purpose_PURPOSE_ONION_STEM:           path.ForStem,
}

// Violation is one broken rule.
type Violation struct {
	Event string // id and name of the event that broke it; "" at the end of the log
	Rule  string
}

func (v Violation) String() string { return v.Event + ": " + v.Rule }

type circuit struct {
	fold.Circuit
	streams map[string]bool // attached now
	path    [][]byte
	legs    []string // of a conflux set, that were launched
	linked  []string // of those, that are
	granted bool     // the hop reached last granted congestion control
	cgo     uint32   // hops reached with Counter Galois Onion
	carried isolation.Circuit
	onion   string // whose streams it carries, of one that joined an onion service
}

type stream struct {
	fold.Stream
	token *isolation.Token // of its last attachment
	host  string           // of its target
}

type checker struct {
	found       []Violation
	connections map[string]*fold.Connection
	circuits    map[string]*circuit
	streams     map[string]*stream
	health      map[string]*health           // of services that the node hosts
	points      map[string]map[string]uint64 // introduction points that are listed and up, by service and relay
	renewals    uint64
	layers      layers
	last        uint64 // sequence
	dropped     bool   // the log has a hole
	running     bool   // the log was cut
}

// Option says what kind of log it is.
type Option func(*checker)

// Running is for a log cut while the node ran: nothing need have ended.
func Running() Option { return func(c *checker) { c.running = true } }

// Check reads a whole log of one boot, from the node's start to its stop.
func Check(log []*chivev1.Envelope, options ...Option) []Violation {
	c := &checker{
		connections: map[string]*fold.Connection{}, circuits: map[string]*circuit{}, streams: map[string]*stream{}, points: map[string]map[string]uint64{}, health: map[string]*health{},
	}
	for _, option := range options {
		option(c)
	}
	for _, e := range log {
		c.sequence(e)
		switch e.GetKind() {
		case chivev1.Kind_KIND_CONNECTION:
			c.connection(e)
		case chivev1.Kind_KIND_CIRCUIT:
			c.circuit(e)
		case chivev1.Kind_KIND_STREAM:
			c.stream(e)
		case chivev1.Kind_KIND_ONION:
			c.layers.apply(e)
		case chivev1.Kind_KIND_HOSTING:
			c.hosting(e)
		case chivev1.Kind_KIND_NODE:
			if e.GetCircuitsRenewed() != nil {
				c.renewals++
			}
		}
	}
	if !c.running && !c.dropped {
		c.end()
	}
	return c.found
}

func (c *checker) say(e *chivev1.Envelope, format string, args ...any) {
	v := Violation{Rule: fmt.Sprintf(format, args...)}
	if e != nil {
		v.Event = e.GetId() + " " + messages.Name(e)
	}
	c.found = append(c.found, v)
}

// missing is say for what a hole in the log can explain.
func (c *checker) missing(e *chivev1.Envelope, format string, args ...any) {
	if !c.dropped {
		c.say(e, format, args...)
	}
}

func (c *checker) sequence(e *chivev1.Envelope) {
	want := c.last + 1
	if c.last == 0 {
		want = e.GetSequence() // a log may begin late
	}
	c.last = e.GetSequence()
	if e.GetSequence() == want {
		return // also a drop that only NATS suffered
	}
	if d := e.GetEventsDropped(); d != nil && e.GetSequence()-want == d.GetCount() {
		c.dropped = true
		return
	}
	c.say(e, "sequence %d, want %d", e.GetSequence(), want)
}

// known is the folded actor of an event, new if it is not known.
func known[T any](all map[string]*T, id string) *T {
	if all[id] == nil {
		all[id] = new(T)
	}
	return all[id]
}

func (c *checker) connection(e *chivev1.Envelope) {
	if err := known(c.connections, e.GetActorId()).Apply(e); err != nil {
		c.missing(e, "%v", err)
	}
}

func (c *checker) circuit(e *chivev1.Envelope) {
	k := known(c.circuits, e.GetActorId())
	if err := k.Apply(e); err != nil {
		c.missing(e, "%v", err)
		return
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_CircuitLaunched:
		k.streams = map[string]bool{}
		k.path = body.CircuitLaunched.GetPath()
		c.launched(e, body.CircuitLaunched)
	case *chivev1.Envelope_CircuitAssigned:
		c.assigned(e, k, body.CircuitAssigned)
	case *chivev1.Envelope_CircuitSetLaunched:
		k.streams = map[string]bool{}
	case *chivev1.Envelope_CircuitLegLinked:
		c.linked(e, k, body.CircuitLegLinked.GetCircuitId())
	case *chivev1.Envelope_CircuitLegLost:
		lost := body.CircuitLegLost.GetCircuitId()
		k.linked = slices.DeleteFunc(k.linked, func(id string) bool { return id == lost })
	case *chivev1.Envelope_CircuitFailed:
		c.legsEnded(e, k)
	case *chivev1.Envelope_CircuitExtended:
		x := body.CircuitExtended
		if k.granted = x.GetCongestionControl(); k.granted && x.GetHandshake() != "ntor-v3" {
			c.say(e, "congestion control granted by %s", x.GetHandshake())
		}
		if x.GetCgo() {
			k.cgo++
			if !k.granted {
				c.say(e, "Counter Galois Onion without congestion control")
			}
		}
	case *chivev1.Envelope_CircuitOpened:
		if has := body.CircuitOpened.GetCongestionControl(); has != k.granted {
			c.missing(e, "congestion control: %v, which the last hop granted: %v", has, k.granted)
		}
		if n := body.CircuitOpened.GetCgoHops(); n != k.cgo {
			c.missing(e, "%d hops with Counter Galois Onion, and %d were reached", n, k.cgo)
		}
	case *chivev1.Envelope_CircuitClosed:
		if len(k.streams) > 0 {
			c.missing(e, "closed with %d streams on it", len(k.streams))
		}
		c.legsEnded(e, k)
	}
}

func (c *checker) launched(e *chivev1.Envelope, l *chivev1.CircuitLaunched) {
	if on := known(c.connections, l.GetConnectionId()); on.State != fold.ConnectionOpen {
		c.missing(e, "launched on connection %s, which is %v", l.GetConnectionId(), on.State)
	}
	if l.GetOneHop() != (l.GetHops() == 1) {
		c.say(e, "%d hops, called one hop: %v", l.GetHops(), l.GetOneHop())
	}
	if id := l.GetSetId(); id != "" {
		if set := c.circuits[id]; set == nil || !set.IsSet() || set.Ended() {
			c.missing(e, "launched for conflux set %s, which is none or over", id)
		} else {
			set.legs = append(set.legs, e.GetActorId())
		}
	}
	c.shaped(e, l.GetPurpose(), l.GetHops(), l.GetPath())
}

// shaped checks a path.
func (c *checker) shaped(e *chivev1.Envelope, p chivev1.Purpose, hops uint32, relays [][]byte) {
	if len(relays) != int(hops) {
		c.say(e, "path of %d relays, %d hops", len(relays), hops)
		return
	}
	ids := make([]netdoc.Digest, len(relays))
	for i, hop := range relays {
		copy(ids[i][:], hop)
	}
	purpose, known := shapes[p]
	if !known {
		c.say(e, "a circuit for nothing that is known")
		return
	}
	if err := c.layers.check(e, purpose, ids); err != nil {
		c.say(e, "%s: %v", messages.PurposeName(p), err)
	}
}

// assigned checks what a circuit becomes that was built ahead.
func (c *checker) assigned(e *chivev1.Envelope, k *circuit, a *chivev1.CircuitAssigned) {
	if k.Dirty || len(k.streams) > 0 {
		c.say(e, "assigned after it was used")
	}
	if k.path != nil && (len(a.GetPath()) < len(k.path) || !slices.EqualFunc(k.path, a.GetPath()[:len(k.path)], bytes.Equal)) {
		c.say(e, "other hops than it was built over")
	}
	k.path = a.GetPath()
	c.shaped(e, a.GetPurpose(), a.GetHops(), a.GetPath())
}

func (c *checker) stream(e *chivev1.Envelope) {
	s := known(c.streams, e.GetActorId())
	before := s.Circuit
	if r := e.GetStreamRequested(); r != nil {
		s.host, _, _ = strings.Cut(r.GetTarget(), ":")
	}
	if err := s.Apply(e); err != nil {
		c.missing(e, "%v", err)
		return
	}
	if before == s.Circuit {
		return
	}
	if k := c.circuits[before]; k != nil {
		delete(k.streams, s.ID)
	}
	if s.Circuit != "" {
		c.attached(e, s)
	}
}

func (c *checker) attached(e *chivev1.Envelope, s *stream) {
	k := c.circuits[s.Circuit]
	if k == nil || k.State != fold.CircuitOpen {
		c.missing(e, "attached to a circuit that is not open")
		return
	}
	k.streams[s.ID] = true
	if k.Set != "" {
		c.say(e, "attached to a leg of a conflux set")
	}
	if k.Purpose != s.Purpose {
		c.say(e, "a %s stream on a %s circuit", messages.PurposeName(s.Purpose), messages.PurposeName(k.Purpose))
		return
	}
	switch k.Purpose {
	case chivev1.Purpose_PURPOSE_GENERAL:
	case chivev1.Purpose_PURPOSE_RENDEZVOUS:
		address := s.host[max(0, len(s.host)-len("x.onion")-55):]
		if k.onion != "" && k.onion != address {
			c.say(e, "on a circuit with another onion service")
		}
		k.onion = address
	default:
		return
	}
	if !k.Dirty {
		c.missing(e, "attached to a circuit that was not dirtied")
	}
	c.isolated(e, k, s)
}

// isolated checks a stream against all that its circuit carried. What a hole in the log
// swallowed can only hide a violation.
func (c *checker) isolated(e *chivev1.Envelope, k *circuit, s *stream) {
	a := e.GetStreamAttached()
	values, ok := isolation.ValuesOf(a.GetIsolation())
	if !ok {
		c.say(e, "its isolation is not told")
		return
	}
	t := &isolation.Token{Flags: isolation.Flags(a.GetIsolates()), Values: values}
	switch {
	case t.Name() != s.Isolation:
		c.say(e, "isolates otherwise than when it was requested: %s, not %s", t.Name(), s.Isolation)
	case s.token != nil && *s.token != *t:
		c.say(e, "isolates otherwise than on its last circuit")
	case t.Values[isolation.Epoch] > c.renewals:
		c.missing(e, "in epoch %d after %d renewals", t.Values[isolation.Epoch], c.renewals)
	case !k.carried.Fits(t):
		c.say(e, "isolation mixed: stream of %s, on a circuit that was dirtied by one of %s", s.Isolation, k.Isolation)
	}
	s.token = t
	k.carried.Join(t)
}

// end: nothing is left.
func (c *checker) end() {
	for _, id := range slices.Sorted(maps.Keys(c.connections)) {
		if k := c.connections[id]; k.ID != "" && !k.Ended() {
			c.say(nil, "connection %s never ended: it is %v", id, k.State)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.circuits)) {
		if k := c.circuits[id]; k.ID != "" && !k.Ended() {
			c.say(nil, "circuit %s never ended: it is %v", id, k.State)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.streams)) {
		if s := c.streams[id]; s.ID != "" && !s.Ended() {
			c.say(nil, "stream %s never ended: it is %v", id, s.State)
		}
	}
}
