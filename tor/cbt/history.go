package cbt

import (
	"errors"
	"fmt"
	"slices"
)

const (
	// Observed is how many circuits a history remembers (path-spec §2.4.1).
	Observed = 1000
	binMs    = 10
	// maxMs is the longest time that counts, in ms; C tor's INT32_MAX less its
	// mark for abandoned circuits.
	maxMs = 1<<31 - 3
)

// Time is one entry of a history: milliseconds, or Abandoned.
type Time int32

// Abandoned is a circuit that was not built when the close cutoff came.
const Abandoned Time = -1

// Kind is what an event of a history tells.
type Kind uint8

// The kinds of event.
const (
	Measured Kind = iota + 1 // a circuit was built, or abandoned
	Reset                    // the network changed, or the user asked: the history begins anew
)

// Event changes a history.
type Event struct {
	Kind      Kind    `json:"kind"`
	Time      Time    `json:"ms,omitempty"`         // Measured
	TimeoutMs float64 `json:"timeout_ms,omitempty"` // Reset: until enough is known; 0: the initial one
	CloseMs   float64 `json:"close_ms,omitempty"`
}

// History is what was measured. The zero value is empty.
type History struct {
	Times     []Time  `json:"times"` // oldest first, at most Observed
	TimeoutMs float64 `json:"timeout_ms,omitempty"`
	CloseMs   float64 `json:"close_ms,omitempty"`
}

// ErrHistory is wrapped by what refuses an event or a history that cannot be.
var ErrHistory = errors.New("cbt: impossible history")

// Apply folds one event in; it fails, changing nothing, for one that no
// Estimator makes.
func (h *History) Apply(e Event) error {
	switch e.Kind {
	case Measured:
		if !e.Time.valid() {
			return fmt.Errorf("%w: a build time of %d ms", ErrHistory, e.Time)
		}
		if len(h.Times) >= Observed {
			h.Times = slices.Delete(h.Times, 0, len(h.Times)-Observed+1)
		}
		h.Times = append(h.Times, e.Time)
	case Reset:
		next := History{TimeoutMs: e.TimeoutMs, CloseMs: e.CloseMs}
		if err := next.Check(); err != nil {
			return err
		}
		*h = next
	default:
		return fmt.Errorf("%w: an event of kind %d", ErrHistory, e.Kind)
	}
	return nil
}

// Check says what is impossible in a history that was read.
func (h *History) Check() error {
	if len(h.Times) > Observed {
		return fmt.Errorf("%w: %d circuits", ErrHistory, len(h.Times))
	}
	for _, t := range h.Times {
		if !t.valid() {
			return fmt.Errorf("%w: a build time of %d ms", ErrHistory, t)
		}
	}
	if !(h.TimeoutMs >= 0 && h.TimeoutMs <= maxMs && h.CloseMs >= h.TimeoutMs && h.CloseMs <= maxMs) {
		return fmt.Errorf("%w: timeouts of %v and %v ms", ErrHistory, h.TimeoutMs, h.CloseMs)
	}
	return nil
}

// Clone is a copy that shares nothing.
func (h *History) Clone() History {
	c := *h
	c.Times = slices.Clone(h.Times)
	return c
}

func (t Time) valid() bool { return t == Abandoned || t >= 0 && t <= maxMs }

// rounded is the middle of the bin that a time falls into.
func rounded(ms int64) Time { return Time(min(ms, maxMs-binMs)/binMs*binMs + binMs/2) }
