package fold

import (
	"time"

	"chive/messages/chivev1"
)

// ConnectionLife is a connection with what its events say besides its state.
type ConnectionLife struct {
	Connection
	Relay       string        `json:",omitempty"` // opaque name of the relay, for one boot; "": not told
	Dialled     time.Time     `json:",omitzero"`
	Opened      time.Time     `json:",omitzero"`
	Gone        time.Time     `json:",omitzero"`  // when it failed or closed
	Number      uint64        `json:",omitempty"` // of the event that tells so
	Took        time.Duration `json:",omitzero"`  // from dialled to opened or failed
	LinkVersion uint32        `json:",omitempty"`
	ClockSkew   time.Duration `json:",omitzero"`
	Circuits    uint32        `json:",omitempty"` // it carried, once closed
}

// CircuitLife is a circuit with what its events say besides its state.
type CircuitLife struct {
	Circuit
	Launched  time.Time     `json:",omitzero"`
	Opened    time.Time     `json:",omitzero"`
	Dirtied   time.Time     `json:",omitzero"`
	Gone      time.Time     `json:",omitzero"`  // when it failed or closed
	Number    uint64        `json:",omitempty"` // of the event that tells so
	Took      time.Duration `json:",omitzero"`  // to build, or until it failed
	FailedHop uint32        `json:",omitempty"` // from 1; 0: unknown
	Streams   uint32        `json:",omitempty"` // it carried, once closed
	CellsIn   uint64        `json:",omitempty"`
	CellsOut  uint64        `json:",omitempty"`
	Switches  uint64        `json:",omitempty"` // of a conflux set, both ways, once closed
}

// StreamLife is a stream with what its events say besides its state.
type StreamLife struct {
	Stream
	Listener    string        `json:",omitempty"`
	LastCircuit string        `json:",omitempty"` // that it was attached to last
	Requested   time.Time     `json:",omitzero"`
	Connected   time.Time     `json:",omitzero"`
	Gone        time.Time     `json:",omitzero"`
	Number      uint64        `json:",omitempty"` // of the event that tells so
	Took        time.Duration `json:",omitzero"`  // from requested to connected
	BytesIn     uint64        `json:",omitempty"`
	BytesOut    uint64        `json:",omitempty"`
}

func (n *Node) connection(e *chivev1.Envelope, at time.Time) {
	if e.GetActorFailed() != nil || e.GetActorId() == "" {
		return // what follows from it is told by its own event
	}
	k := entity(&n.Connections, e.GetActorId())
	was := k.Ended()
	if k.Connection.Apply(e) != nil { // its beginning, or a part, is not in this log
		k.ID, k.Since = e.GetActorId(), at
	}
	if e.GetCorrelationId() != "" {
		k.Relay = e.GetCorrelationId()
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ConnectionDialled:
		k.Dialled, k.Gone, k.Number = at, time.Time{}, 0
	case *chivev1.Envelope_ConnectionOpened:
		o := body.ConnectionOpened
		k.State, k.Opened, k.Took = ConnectionOpen, at, o.GetTook().AsDuration()
		k.LinkVersion, k.ClockSkew = o.GetLinkVersion(), o.GetClockSkew().AsDuration()
		n.reached(k.Relay, at, e.GetSequence())
	case *chivev1.Envelope_ConnectionFailed:
		f := body.ConnectionFailed
		k.State, k.Outcome, k.Gone, k.Number, k.Took = ConnectionFailed, f.GetOutcome(), at, e.GetSequence(), f.GetTook().AsDuration()
	case *chivev1.Envelope_ConnectionClosed:
		c := body.ConnectionClosed
		k.State, k.Outcome, k.Gone, k.Number, k.Circuits = ConnectionClosed, c.GetOutcome(), at, e.GetSequence(), c.GetCircuits()
		n.lost(k.Relay, at, e.GetSequence())
	}
	if k.Ended() && !was {
		count(&n.ConnectionEnds, k.Outcome)
		n.over(0)
	}
}

func (n *Node) circuit(e *chivev1.Envelope, at time.Time) {
	if e.GetActorFailed() != nil || e.GetActorId() == "" {
		return
	}
	c := entity(&n.Circuits, e.GetActorId())
	was := c.Ended()
	if c.Circuit.Apply(e) != nil {
		c.ID, c.Since = e.GetActorId(), at
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_CircuitLaunched:
		c.Launched = at
	case *chivev1.Envelope_CircuitSetLaunched:
		c.Launched = at
	case *chivev1.Envelope_CircuitSetLinked:
		c.State, c.Opened, c.Took = CircuitOpen, at, body.CircuitSetLinked.GetTook().AsDuration()
	case *chivev1.Envelope_CircuitExtended:
		c.Reached = max(c.Reached, body.CircuitExtended.GetHop())
		if c.State == CircuitNone {
			c.State = CircuitBuilding
		}
	case *chivev1.Envelope_CircuitOpened:
		o := body.CircuitOpened
		c.State, c.Opened, c.Took = CircuitOpen, at, o.GetTook().AsDuration()
		c.Hops, c.Reached = o.GetHops(), o.GetHops()
		n.through(c, at, e.GetSequence())
	case *chivev1.Envelope_CircuitAssigned:
		c.Purpose, c.Hops = body.CircuitAssigned.GetPurpose(), body.CircuitAssigned.GetHops()
	case *chivev1.Envelope_CircuitDirtied:
		c.Dirty, c.Isolation, c.Dirtied = true, body.CircuitDirtied.GetIsolation(), at
		c.State = CircuitOpen
	case *chivev1.Envelope_CircuitFailed:
		f := body.CircuitFailed
		c.State, c.Outcome, c.Gone, c.Number = CircuitFailed, f.GetOutcome(), at, e.GetSequence()
		c.Took, c.FailedHop = f.GetTook().AsDuration(), f.GetHop()
	case *chivev1.Envelope_CircuitClosed:
		x := body.CircuitClosed
		c.State, c.Outcome, c.Gone, c.Number = CircuitClosed, x.GetOutcome(), at, e.GetSequence()
		c.Streams, c.CellsIn, c.CellsOut = x.GetStreams(), x.GetCellsIn(), x.GetCellsOut()
		c.Switches = x.GetSwitchesIn() + x.GetSwitchesOut()
		n.through(c, at, e.GetSequence())
	}
	if c.Ended() && !was {
		if !c.IsSet() { // its legs count
			count(&n.CircuitEnds, c.Outcome)
		}
		n.over(1)
	}
}

// through notes that a circuit worked, if it goes through the network.
func (n *Node) through(c *CircuitLife, at time.Time, number uint64) {
	if c.through() {
		n.Through, n.ThroughNumber = latest(n.Through, at), max(n.ThroughNumber, number)
	}
}

func (n *Node) stream(e *chivev1.Envelope, at time.Time) {
	if e.GetActorFailed() != nil || e.GetActorId() == "" {
		return
	}
	s := entity(&n.Streams, e.GetActorId())
	was := s.Ended()
	if s.Stream.Apply(e) != nil {
		s.ID, s.Since = e.GetActorId(), at
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_StreamRequested:
		s.Requested, s.Listener = at, body.StreamRequested.GetListenerId()
	case *chivev1.Envelope_StreamAttached:
		a := body.StreamAttached
		s.State, s.Circuit, s.Attempt, s.LastCircuit = StreamAttached, a.GetCircuitId(), a.GetAttempt(), a.GetCircuitId()
	case *chivev1.Envelope_StreamConnected:
		s.State, s.Connected, s.Took = StreamConnected, at, body.StreamConnected.GetTook().AsDuration()
	case *chivev1.Envelope_StreamDetached:
		s.State, s.Circuit = StreamWaiting, ""
	case *chivev1.Envelope_StreamEnded:
		x := body.StreamEnded
		s.State, s.Circuit, s.Outcome, s.Gone, s.Number = StreamEnded, "", x.GetOutcome(), at, e.GetSequence()
		s.BytesIn, s.BytesOut = x.GetBytesIn(), x.GetBytesOut()
	}
	if s.Ended() && !was {
		count(&n.StreamEnds, s.Outcome)
		n.over(2)
	}
}
