package fleet

import (
	"slices"
	"sync"
	"time"

	"chive/messages/chivev1"
)

// Gauge counts circuit builds: all since the node started, and those that began in a
// trial. It is fed with the node's events, from any goroutine.
type Gauge struct {
	mu     sync.Mutex // protects the fields below
	built  uint64
	failed uint64
	trial  *trialCount
	open   map[string]bool // being built, general purpose; did it begin in the trial?
}

type trialCount struct {
	built, failed int
	took          []time.Duration
}

// maxOpen bounds the circuits that are followed.
const maxOpen = 4096

// NewGauge has counted nothing.
func NewGauge() *Gauge { return &Gauge{open: map[string]bool{}} }

// See takes an event.
func (g *Gauge) See(e *chivev1.Envelope) {
	switch b := e.GetEvent().(type) {
	case *chivev1.Envelope_CircuitLaunched:
		if b.CircuitLaunched.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL {
			g.launched(e.GetActorId())
		}
	case *chivev1.Envelope_CircuitOpened:
		g.done(e.GetActorId(), true, b.CircuitOpened.GetTook().AsDuration())
	case *chivev1.Envelope_CircuitFailed:
		if ours(b.CircuitFailed.GetOutcome()) {
			g.forget(e.GetActorId())
			return
		}
		g.done(e.GetActorId(), false, 0)
	}
}

// ours: did the node itself end the build?
func ours(out chivev1.Outcome) bool {
	switch out {
	case chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_REPLACED,
		chivev1.Outcome_OUTCOME_IDLE, chivev1.Outcome_OUTCOME_OVERLOADED:
		return true
	}
	return false
}

func (g *Gauge) launched(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.open) < maxOpen {
		g.open[id] = g.trial != nil
	}
}

func (g *Gauge) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, id)
}

func (g *Gauge) done(id string, built bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	inTrial, known := g.open[id]
	if !known {
		return
	}
	delete(g.open, id)
	if built {
		g.built++
	} else {
		g.failed++
	}
	if !inTrial || g.trial == nil {
		return
	}
	if built {
		g.trial.built++
		g.trial.took = append(g.trial.took, took)
	} else {
		g.trial.failed++
	}
}

// Totals are the builds since the node started.
func (g *Gauge) Totals() (built, failed uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.built, g.failed
}

// begin starts to count for a trial; what is being built already does not count.
func (g *Gauge) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trial = &trialCount{}
	for id := range g.open {
		g.open[id] = false
	}
}

func (g *Gauge) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trial = nil
}

// health is what a trial has shown so far.
type health struct {
	builds  int
	success float64       // share of builds
	median  time.Duration // of those that succeeded
}

func (g *Gauge) health() (h health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.trial
	if t == nil {
		return h
	}
	h.builds = t.built + t.failed
	if h.builds > 0 {
		h.success = float64(t.built) / float64(h.builds)
	}
	if len(t.took) > 0 {
		sorted := slices.Sorted(slices.Values(t.took))
		h.median = sorted[len(sorted)/2]
	}
	return h
}
