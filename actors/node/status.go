package node

import (
	"maps"
	"sync"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Status is what a node is doing: counts only, so that it may be shown anywhere.
type Status struct {
	Node          string            `json:"node"`
	Fleet         string            `json:"fleet"`
	Version       string            `json:"version"`
	Started       time.Time         `json:"started"`
	Bootstrap     int               `json:"bootstrap_percent"`
	Phase         string            `json:"phase"`
	Summary       string            `json:"summary"`
	Connections   int               `json:"connections_open"`
	Circuits      int               `json:"circuits_open"`
	Building      int               `json:"circuits_building"`
	BuildTimeout  int64             `json:"circuit_build_timeout_ms,omitempty"`
	BuildLearned  bool              `json:"circuit_build_timeout_learned,omitempty"`
	Streams       int               `json:"streams_open"`
	Waiting       int               `json:"streams_waiting"`
	CircuitEnds   map[string]uint64 `json:"circuit_outcomes"`
	StreamEnds    map[string]uint64 `json:"stream_outcomes"`
	ValidUntil    time.Time         `json:"consensus_valid_until,omitzero"`
	Lacks         string            `json:"required_protocols_missing,omitempty"` // the network is not used for that
	EventsDropped uint64            `json:"events_dropped"`
	Revision      uint64            `json:"config_revision"`
	NatsURL       string            `json:"nats_url,omitempty"`
	Proxy         string            `json:"upstream_proxy,omitempty"` // how it fails; "" if it works or there is none
	Draining      bool              `json:"draining,omitempty"`       // takes no new streams
	Trouble       *Trouble          `json:"trouble,omitempty"`        // nil: none that is known
}

// status is the fold of all events since the node started.
type status struct {
	mu    sync.Mutex // protects the fields below
	state fold.Node
	ended time.Time // a stream, the last that did
}

func newStatus() *status { return &status{} }

func (s *status) apply(e *chivev1.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Apply(e)
	if e.GetStreamEnded() != nil {
		s.ended = time.Now() // no clock that may be set
	}
}

// idle: is no stream open or waiting, and has none ended for so long?
func (s *status) idle(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	tally := s.state.Tally()
	return tally.Streams+tally.Waiting == 0 && time.Since(s.ended) >= d
}

// copied is the state as it is now. Those who emit events wait meanwhile, so no
// more than copying is done here.
func (s *status) copied() *fold.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Clone()
}

func (s *status) snapshot() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, tally := &s.state, s.state.Tally()
	out := Status{
		Started: n.Started, Bootstrap: int(n.Percent), Summary: n.Summary,
		Connections: tally.Connections, Circuits: tally.Circuits, Building: tally.Building,
		Streams: tally.Streams, Waiting: tally.Waiting, ValidUntil: n.ValidUntil, Lacks: n.Lacks,
		BuildTimeout: n.BuildTimeout.Timeout.Milliseconds(), BuildLearned: n.BuildTimeout.Learned,
		CircuitEnds: map[string]uint64{}, StreamEnds: map[string]uint64{},
	}
	if n.Phase != chivev1.BootstrapPhase_BOOTSTRAP_PHASE_UNSPECIFIED {
		out.Phase = messages.PhaseName(n.Phase)
	}
	out.troubled(n.Trouble(), n.Phase)
	maps.Copy(out.CircuitEnds, n.CircuitEnds)
	maps.Copy(out.StreamEnds, n.StreamEnds)
	return out
}
