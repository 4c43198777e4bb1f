package node

import (
	"sync"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
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
	Streams       int               `json:"streams_open"`
	Waiting       int               `json:"streams_waiting"`
	CircuitEnds   map[string]uint64 `json:"circuit_outcomes"`
	StreamEnds    map[string]uint64 `json:"stream_outcomes"`
	ValidUntil    time.Time         `json:"consensus_valid_until,omitzero"`
	EventsDropped uint64            `json:"events_dropped"`
	Revision      uint64            `json:"config_revision"`
	NatsURL       string            `json:"nats_url,omitempty"`
}

// status is the fold of the events behind Status.
type status struct {
	mu      sync.Mutex // protects the fields below
	s       Status
	open    map[string]bool // circuits: true once open
	streams map[string]bool // true once connected
	phase   chivev1.BootstrapPhase
}

func newStatus() *status {
	return &status{
		s:    Status{CircuitEnds: map[string]uint64{}, StreamEnds: map[string]uint64{}},
		open: map[string]bool{}, streams: map[string]bool{},
	}
}

func (s *status) apply(e *chivev1.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.GetActorId()
	switch ev := e.GetEvent().(type) {
	case *chivev1.Envelope_NodeStarted:
		s.s.Started = e.GetTime().AsTime()
	case *chivev1.Envelope_BootstrapAdvanced:
		if b := ev.BootstrapAdvanced; b.GetPhase() > s.phase {
			s.phase = b.GetPhase()
			s.s.Bootstrap, s.s.Phase, s.s.Summary = int(b.GetPercent()), messages.PhaseName(b.GetPhase()), b.GetSummary()
		}
	case *chivev1.Envelope_ConnectionOpened:
		s.s.Connections++
	case *chivev1.Envelope_ConnectionClosed:
		s.s.Connections--
	case *chivev1.Envelope_CircuitLaunched:
		s.open[id] = false
	case *chivev1.Envelope_CircuitOpened:
		s.open[id] = true
	case *chivev1.Envelope_CircuitFailed:
		delete(s.open, id)
		s.s.CircuitEnds[messages.OutcomeName(ev.CircuitFailed.GetOutcome())]++
	case *chivev1.Envelope_CircuitClosed:
		delete(s.open, id)
		s.s.CircuitEnds[messages.OutcomeName(ev.CircuitClosed.GetOutcome())]++
	case *chivev1.Envelope_StreamRequested:
		s.streams[id] = false
	case *chivev1.Envelope_StreamConnected:
		s.streams[id] = true
	case *chivev1.Envelope_StreamEnded:
		delete(s.streams, id)
		s.s.StreamEnds[messages.OutcomeName(ev.StreamEnded.GetOutcome())]++
	case *chivev1.Envelope_DocumentVerified:
		if ev.DocumentVerified.GetKind() == chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS {
			s.s.ValidUntil = ev.DocumentVerified.GetValidUntil().AsTime()
		}
	}
}

func (s *status) snapshot() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.s
	out.CircuitEnds, out.StreamEnds = map[string]uint64{}, map[string]uint64{}
	for k, v := range s.s.CircuitEnds {
		out.CircuitEnds[k] = v
	}
	for k, v := range s.s.StreamEnds {
		out.StreamEnds[k] = v
	}
	for _, open := range s.open {
		if open {
			out.Circuits++
		} else {
			out.Building++
		}
	}
	for _, connected := range s.streams {
		if connected {
			out.Streams++
		} else {
			out.Waiting++
		}
	}
	return out
}
