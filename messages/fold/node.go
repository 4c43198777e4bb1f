package fold

import (
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// DefaultRetain is how many ended connections, circuits and streams a Node
// remembers, of each.
const DefaultRetain = 64

// maxRelays bounds the relays a Node remembers something of.
const maxRelays = 512

// Node is a whole node as its events tell it. The zero value is one of which
// nothing is known. It is what chive status, chive circuits and their like show,
// in the running node and, over the history on disk, of any moment in the past.
//
// Unlike the strict machines of this package it takes every event: a log whose
// beginning is gone, or that has a hole, still tells the rest. The order of
// events about different actors does not matter; about one actor it does. Its
// JSON form is a snapshot: folding the rest into it gives what folding all gives.
type Node struct {
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Stopped time.Time `json:"stopped,omitzero"` // when it began to stop
	Last    time.Time `json:"last,omitzero"`    // of the latest event

	Events  uint64 `json:"events"`            // folded in
	Dropped uint64 `json:"dropped,omitempty"` // that this log does not have

	Phase      chivev1.BootstrapPhase `json:"phase,omitempty"`
	Percent    uint32                 `json:"percent,omitempty"`
	Summary    string                 `json:"summary,omitempty"`
	ValidUntil time.Time              `json:"valid_until,omitzero"` // of the consensus
	Lacks      string                 `json:"lacks,omitempty"`      // protocols that the network requires and the node has not

	BuildTimeout  BuildTimeout `json:"build_timeout,omitzero"`
	Through       time.Time    `json:"through,omitzero"`         // when a circuit through the network opened, or one that was open closed, last
	ThroughNumber uint64       `json:"through_number,omitempty"` // of the event that tells so

	Connections map[string]*ConnectionLife `json:"connections,omitempty"`
	Circuits    map[string]*CircuitLife    `json:"circuits,omitempty"`
	Streams     map[string]*StreamLife     `json:"streams,omitempty"`
	Relays      map[string]*Relay          `json:"relays,omitempty"`
	Breakers    map[string]*Breaker        `json:"breakers,omitempty"`
	Listeners   map[string]*Listener       `json:"listeners,omitempty"`
	Config      Config                     `json:"config"`

	// How many ended, by outcome.
	ConnectionEnds map[string]uint64 `json:"connection_ends,omitempty"`
	CircuitEnds    map[string]uint64 `json:"circuit_ends,omitempty"`
	StreamEnds     map[string]uint64 `json:"stream_ends,omitempty"`

	// Retain is how many ended ones of each kind are remembered; 0: DefaultRetain.
	Retain int `json:"-"`

	ended [3]int // of connections, circuits and streams, about: what makes a trim worth while
}

// Listener is where applications come in.
type Listener struct {
	Protocol string    `json:"protocol"`
	Loopback bool      `json:"loopback"`
	Open     bool      `json:"open"`
	Since    time.Time `json:"since"`
}

// BuildTimeout is how long a circuit may take to be built.
type BuildTimeout struct {
	Timeout  time.Duration `json:"timeout"`
	Close    time.Duration `json:"close"` // until then a late one is measured
	Learned  bool          `json:"learned,omitempty"`
	Circuits uint32        `json:"circuits,omitempty"` // that it was learned from
}

// Config is what became of the configuration.
type Config struct {
	Revision uint64    `json:"revision"` // in force; 0: what the node started with
	Mouth    string    `json:"mouth,omitempty"`
	Applied  time.Time `json:"applied,omitzero"`
	Options  string    `json:"options,omitempty"` // that the revision changed
	Waiting  string    `json:"waiting,omitempty"` // for a restart
	Rejected uint64    `json:"rejected,omitempty"`
	Refused  time.Time `json:"refused,omitzero"` // the last rejection
	Stage    string    `json:"stage,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// Apply folds one event in.
func (n *Node) Apply(e *chivev1.Envelope) {
	at := e.GetTime().AsTime()
	n.Events++
	if at.After(n.Last) {
		n.Last = at
	}
	switch e.GetKind() {
	case chivev1.Kind_KIND_NODE:
		n.node(e, at)
	case chivev1.Kind_KIND_CONNECTION:
		n.connection(e, at)
	case chivev1.Kind_KIND_CIRCUIT:
		n.circuit(e, at)
	case chivev1.Kind_KIND_STREAM:
		n.stream(e, at)
	case chivev1.Kind_KIND_GUARD:
		n.guard(e, at)
	case chivev1.Kind_KIND_SUPERVISOR:
		n.supervisor(e, at)
	case chivev1.Kind_KIND_LISTENER:
		n.listener(e, at)
	case chivev1.Kind_KIND_CONFIG:
		n.config(e, at)
	case chivev1.Kind_KIND_DIRECTORY:
		if v := e.GetDocumentVerified(); v.GetKind() == chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS {
			n.ValidUntil = v.GetValidUntil().AsTime()
		}
		if m := e.GetProtocolsMissing(); m != nil {
			n.Lacks = m.GetRequired()
		}
	}
}

func (n *Node) node(e *chivev1.Envelope, at time.Time) {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_NodeStarted:
		n.Name, n.Version, n.Started = e.GetNode(), body.NodeStarted.GetVersion(), at
	case *chivev1.Envelope_NodeStopping:
		n.Stopped = at
	case *chivev1.Envelope_BuildTimeoutSet:
		b := body.BuildTimeoutSet
		n.BuildTimeout = BuildTimeout{b.GetTimeout().AsDuration(), b.GetClose().AsDuration(), b.GetLearned(), b.GetCircuits()}
	case *chivev1.Envelope_EventsDropped:
		n.Dropped = max(n.Dropped, body.EventsDropped.GetTotal())
	case *chivev1.Envelope_BootstrapAdvanced:
		if b := body.BootstrapAdvanced; b.GetPhase() > n.Phase {
			n.Phase, n.Percent, n.Summary = b.GetPhase(), b.GetPercent(), b.GetSummary()
		}
	}
}

func (n *Node) listener(e *chivev1.Envelope, at time.Time) {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ListenerOpened:
		entity(&n.Listeners, e.GetActorId()).set(body.ListenerOpened, at)
	case *chivev1.Envelope_ListenerClosed:
		delete(n.Listeners, e.GetActorId())
	}
}

func (l *Listener) set(o *chivev1.ListenerOpened, at time.Time) {
	*l = Listener{Protocol: o.GetProtocol(), Loopback: o.GetLoopback(), Open: true, Since: at}
}

func (n *Node) config(e *chivev1.Envelope, at time.Time) {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ConfigApplied:
		a := body.ConfigApplied
		n.Config.Revision, n.Config.Mouth, n.Config.Applied = a.GetRevision(), a.GetMouth(), at
		n.Config.Options, n.Config.Waiting = a.GetOptions(), a.GetWaiting()
	case *chivev1.Envelope_ConfigRejected:
		r := body.ConfigRejected
		n.Config.Rejected++
		n.Config.Refused, n.Config.Stage, n.Config.Reason = at, r.GetStage(), r.GetReason()
	}
}

// entity is the folded actor of an id, new if it is not known.
func entity[T any](all *map[string]*T, id string) *T {
	if *all == nil {
		*all = map[string]*T{}
	}
	x := (*all)[id]
	if x == nil {
		x = new(T)
		(*all)[id] = x
	}
	return x
}

func count(all *map[string]uint64, o chivev1.Outcome) {
	if *all == nil {
		*all = map[string]uint64{}
	}
	(*all)[messages.OutcomeName(o)]++
}
