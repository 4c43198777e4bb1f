package fold

import (
	"cmp"
	"slices"
	"time"

	"chive/messages"
)

// CircuitView is one circuit for people and scripts: what its own events say,
// joined with those of its streams and its connection. The field names are the
// JSON that chive circuits prints; times that are not known are left out.
type CircuitView struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // building, open, failed or closed
	Purpose    string    `json:"purpose"`
	Hops       uint32    `json:"hops"`    // asked for; 0 of a conflux set
	Reached    uint32    `json:"reached"` // built
	Connection string    `json:"connection,omitempty"`
	Relay      string    `json:"relay,omitempty"`     // opaque name of the first hop
	Isolation  string    `json:"isolation,omitempty"` // opaque name of the group its streams are of
	Streams    int       `json:"streams"`             // on it now, or over its life once closed
	Launched   time.Time `json:"launched,omitzero"`
	Opened     time.Time `json:"opened,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	BuildMS    int64     `json:"build_ms,omitempty"`
	CellsIn    uint64    `json:"cells_in,omitempty"`
	CellsOut   uint64    `json:"cells_out,omitempty"`
	FailedHop  uint32    `json:"failed_hop,omitempty"`
	Outcome    string    `json:"outcome,omitempty"`

	Set      string `json:"set,omitempty"`      // the conflux set it is a leg of
	Legs     uint32 `json:"legs,omitempty"`     // of a conflux set: linked
	Wanted   uint32 `json:"wanted,omitempty"`   // of a conflux set: legs it wants
	Switches uint64 `json:"switches,omitempty"` // of a conflux set, once closed: from leg to leg, both ways
}

// StreamView is one stream.
type StreamView struct {
	ID        string    `json:"id"`
	State     string    `json:"state"` // waiting, attached, connected or ended
	Purpose   string    `json:"purpose"`
	Isolation string    `json:"isolation,omitempty"`
	Circuit   string    `json:"circuit,omitempty"` // that carries it, or did last
	Attempts  uint32    `json:"attempts"`
	Listener  string    `json:"listener,omitempty"`
	Requested time.Time `json:"requested,omitzero"`
	Connected time.Time `json:"connected,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	ConnectMS int64     `json:"connect_ms,omitempty"`
	BytesIn   uint64    `json:"bytes_in,omitempty"`  // once ended, in steps of 1 KiB
	BytesOut  uint64    `json:"bytes_out,omitempty"` // likewise
	Outcome   string    `json:"outcome,omitempty"`
}

// ConnectionView is one connection to a relay.
type ConnectionView struct {
	ID          string    `json:"id"`
	State       string    `json:"state"` // dialled, open, failed or closed
	Purpose     string    `json:"purpose"`
	Attempt     uint32    `json:"attempt"`
	Relay       string    `json:"relay,omitempty"` // opaque name, for one boot
	Circuits    int       `json:"circuits"`        // on it now, or over its life once closed
	Streams     int       `json:"streams"`         // on those, now
	Dialled     time.Time `json:"dialled,omitzero"`
	Opened      time.Time `json:"opened,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	TookMS      int64     `json:"took_ms,omitempty"` // to open, or until it failed
	LinkVersion uint32    `json:"link_version,omitempty"`
	ClockSkewS  int64     `json:"clock_skew_s,omitempty"` // theirs minus ours
	Outcome     string    `json:"outcome,omitempty"`
}

// GuardView is one guard. Its name is opaque and lasts for one boot: relay
// identities are forensic and in no projection.
type GuardView struct {
	ID          string    `json:"id"`
	State       string    `json:"state"` // sampled, reachable or unreachable
	Since       time.Time `json:"since,omitzero"`
	Connections int       `json:"connections"` // open now
	Circuits    int       `json:"circuits"`    // building or open now
	Failures    uint64    `json:"failures"`    // since the node started
	Outcome     string    `json:"outcome,omitempty"`
	Breaker     string    `json:"breaker,omitempty"`     // open or half-open
	RetryAfter  time.Time `json:"retry_after,omitzero"`  // while the breaker is open
	LastReached time.Time `json:"last_reached,omitzero"` // a connection opened
	LastFailed  time.Time `json:"last_failed,omitzero"`
}

// CircuitViews lists the circuits, the oldest first; the ended ones too if all.
func (n *Node) CircuitViews(all bool) []CircuitView {
	streams := n.streamsOn()
	out := []CircuitView{}
	for _, c := range n.Circuits {
		if c.Ended() && !all {
			continue
		}
		v := CircuitView{
			ID: c.ID, State: c.State.String(), Purpose: messages.PurposeName(c.Purpose), Hops: c.Hops, Reached: c.Reached,
			Connection: c.Circuit.Connection, Isolation: c.Isolation, Streams: streams[c.ID],
			Launched: c.Launched, Opened: c.Opened, Ended: c.Gone, BuildMS: c.Took.Milliseconds(),
			CellsIn: c.CellsIn, CellsOut: c.CellsOut, FailedHop: c.FailedHop,
			Set: c.Circuit.Set, Legs: c.Legs, Wanted: c.Wanted, Switches: c.Switches,
		}
		if k := n.Connections[v.Connection]; k != nil {
			v.Relay = k.Relay
		}
		if c.Ended() {
			v.Streams, v.Outcome = int(c.Streams), messages.OutcomeName(c.Outcome)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b CircuitView) int {
		return order(a.ID, b.ID, latest(a.Launched, a.Opened, a.Ended), latest(b.Launched, b.Opened, b.Ended), a.Launched, b.Launched)
	})
	return out
}

// order is the oldest first by when it began, else by what is known.
func order(a, b string, aKnown, bKnown, aBegan, bBegan time.Time) int {
	if !aBegan.IsZero() {
		aKnown = aBegan
	}
	if !bBegan.IsZero() {
		bKnown = bBegan
	}
	return cmp.Or(aKnown.Compare(bKnown), cmp.Compare(a, b))
}

// streamsOn counts the streams on each circuit.
func (n *Node) streamsOn() map[string]int {
	on := map[string]int{}
	for _, s := range n.Streams {
		if s.OnCircuit() {
			on[s.Circuit]++
		}
	}
	return on
}

// StreamViews lists the streams, the oldest first; the ended ones too if all.
func (n *Node) StreamViews(all bool) []StreamView {
	out := []StreamView{}
	for _, s := range n.Streams {
		if s.Ended() && !all {
			continue
		}
		v := StreamView{
			ID: s.ID, State: s.State.String(), Purpose: messages.PurposeName(s.Purpose), Isolation: s.Isolation,
			Circuit: s.LastCircuit, Attempts: s.Attempt, Listener: s.Listener,
			Requested: s.Requested, Connected: s.Connected, Ended: s.Gone, ConnectMS: s.Took.Milliseconds(),
			BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		}
		if s.Ended() {
			v.Outcome = messages.OutcomeName(s.Outcome)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b StreamView) int {
		return order(a.ID, b.ID, latest(a.Connected, a.Ended), latest(b.Connected, b.Ended), a.Requested, b.Requested)
	})
	return out
}

// ConnectionViews lists the connections, the oldest first; the ended ones too
// if all.
func (n *Node) ConnectionViews(all bool) []ConnectionView {
	circuits, streams := n.onConnections()
	out := []ConnectionView{}
	for _, k := range n.Connections {
		if k.Ended() && !all {
			continue
		}
		v := ConnectionView{
			ID: k.ID, State: k.State.String(), Purpose: messages.PurposeName(k.Purpose), Attempt: k.Attempt, Relay: k.Relay,
			Circuits: circuits[k.ID], Streams: streams[k.ID], Dialled: k.Dialled, Opened: k.Opened, Ended: k.Gone,
			TookMS: k.Took.Milliseconds(), LinkVersion: k.LinkVersion, ClockSkewS: int64(k.ClockSkew / time.Second),
		}
		if k.Ended() {
			v.Circuits, v.Outcome = int(k.Circuits), messages.OutcomeName(k.Outcome)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b ConnectionView) int {
		return order(a.ID, b.ID, latest(a.Opened, a.Ended), latest(b.Opened, b.Ended), a.Dialled, b.Dialled)
	})
	return out
}

// onConnections counts the circuits that are not over on each connection, and
// the streams on those.
func (n *Node) onConnections() (circuits, streams map[string]int) {
	on := n.streamsOn()
	circuits, streams = map[string]int{}, map[string]int{}
	for _, c := range n.Circuits {
		if !c.Ended() {
			circuits[c.Circuit.Connection]++
			streams[c.Circuit.Connection] += on[c.ID]
		}
	}
	return circuits, streams
}

// GuardViews lists the guards that this log speaks of, by name.
func (n *Node) GuardViews() []GuardView {
	circuits, _ := n.onConnections()
	out := []GuardView{}
	for name, r := range n.Relays {
		if !r.Guard {
			continue
		}
		v := GuardView{ID: name, State: "sampled", Since: r.Sampled, Failures: r.Failures, LastReached: r.Reached, LastFailed: r.Failed}
		switch {
		case r.away():
			v.State, v.Since, v.Outcome = "unreachable", r.Failed, messages.OutcomeName(r.Outcome)
		case !r.Reached.IsZero():
			v.State, v.Since = "reachable", r.Reached
		}
		for id, k := range n.Connections {
			if k.Relay == name && k.State == ConnectionOpen {
				v.Connections++
				v.Circuits += circuits[id]
			}
		}
		if b := n.breakerOf(name); b != nil && b.State != "" && b.State != "closed" {
			v.Breaker = b.State
			if b.State == "open" {
				v.RetryAfter = b.Since.Add(b.RetryAfter)
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b GuardView) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Tally is how many there are of what a status shows.
type Tally struct {
	Connections, Circuits, Building, Streams, Waiting int
}

// Tally counts what is open, being built and waiting.
func (n *Node) Tally() Tally {
	var t Tally
	for _, k := range n.Connections {
		if k.State == ConnectionOpen {
			t.Connections++
		}
	}
	for _, c := range n.Circuits {
		if c.IsSet() {
			continue // its legs count
		}
		switch c.State {
		case CircuitBuilding:
			t.Building++
		case CircuitOpen:
			t.Circuits++
		}
	}
	for _, s := range n.Streams {
		switch s.State {
		case StreamWaiting, StreamAttached:
			t.Waiting++
		case StreamConnected:
			t.Streams++
		}
	}
	return t
}

// breakerOf is the latest breaker about a relay: a part of the node that
// started anew has a new one.
func (n *Node) breakerOf(relay string) *Breaker {
	var found *Breaker
	var id string
	for name, b := range n.Breakers {
		if b.Relay == relay && (found == nil || cmp.Or(b.touched().Compare(found.touched()), cmp.Compare(name, id)) > 0) {
			found, id = b, name
		}
	}
	return found
}
