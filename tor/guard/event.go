package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"chive/tor/netdoc"
)

// Names of selections (guard-spec §2). A caller's filter may name others.
const (
	Default    = "" // in use unless the filter leaves too few
	Restricted = "restricted"
)

// Guard is one sampled relay, as far as it is kept on disk.
type Guard struct {
	Identity  netdoc.Digest `json:"identity"`
	Selection string        `json:"selection,omitzero"` // whose sample it is in
	Sampled   time.Time     `json:"sampled"`
	Confirmed time.Time     `json:"confirmed,omitzero"` // a circuit opened through it
	Expires   time.Time     `json:"expires"`            // by the lifetimes of then; those of now count
	Unlisted  time.Time     `json:"unlisted,omitzero"`  // since when no consensus lists it as a guard
}

// Kind says what an Event tells.
type Kind uint8

// The kinds. Those up to Removed are of the state on disk.
const (
	Sampled   Kind = iota + 1 // At, Expires; last in its selection
	Confirmed                 // At, Expires; it keeps its place
	Unlisted                  // At
	Listed
	Removed // Reason

	Selected  // Selection is the one in use
	Tried     // At: a circuit through it is launched
	Reached   // At: the outgoing connection was made
	Failed    // At: the outgoing connection was tried and failed
	Retriable // worth a try again; Reason
)

// Reason says why a guard was removed, or is worth a try again.
type Reason string

// The reasons.
const (
	Expired     Reason = "expired"        // its life is over
	GoneTooLong Reason = "unlisted"       // no consensus had it for too long
	TimeCame    Reason = "schedule"       // its retry time has come
	AllDown     Reason = "all-down"       // nothing is left that did not fail
	Back        Reason = "back"           // something worked after a time without network
	Asked       Reason = "asked"          // the operator asked
	Woken       Reason = "woken"          // the machine slept, or its clock was set
	NetChanged  Reason = "network-change" // the machine has other addresses
)

// Event is one change of the state.
type Event struct {
	Kind      Kind
	Guard     netdoc.Digest
	Selection string
	At        time.Time
	Expires   time.Time
	Reason    Reason
}

// Kept reports whether the event is of the state that outlives the process.
func (e Event) Kept() bool { return e.Kind >= Sampled && e.Kind <= Removed }

// ErrEvent means that an event cannot follow those before.
var ErrEvent = errors.New("guard event")

// List is the sampled guards of all selections, in the order of their sampling. A guard
// that is confirmed keeps its place: one that was used only because better ones were
// blocked for a time would else come before them as long as it lives (proposal 310; C tor
// since 0.4.4).
type List []Guard

// Apply changes the list by one event that is Kept; others change nothing.
func (l *List) Apply(e Event) error {
	if !e.Kept() {
		return nil
	}
	at := l.index(e.Selection, e.Guard)
	if at < 0 != (e.Kind == Sampled) {
		return fmt.Errorf("%w: kind %d of a guard that was not there, or was", ErrEvent, e.Kind)
	}
	switch e.Kind {
	case Sampled:
		if len(*l) >= maxList {
			return fmt.Errorf("%w: more than %d guards", ErrEvent, maxList)
		}
		*l = append(*l, Guard{Identity: e.Guard, Selection: e.Selection, Sampled: e.At, Expires: e.Expires})
	case Confirmed:
		g := &(*l)[at]
		g.Confirmed, g.Expires = e.At, e.Expires
	case Unlisted:
		(*l)[at].Unlisted = e.At
	case Listed:
		(*l)[at].Unlisted = time.Time{}
	case Removed:
		*l = slices.Delete(*l, at, at+1)
	}
	return nil
}

func (l *List) index(selection string, id netdoc.Digest) int {
	return slices.IndexFunc(*l, func(g Guard) bool { return g.Identity == id && g.Selection == selection })
}

const (
	stateVersion  = 1
	maxStateBytes = 1 << 20
	maxList       = 4 * maxSampleSize
)

type document struct {
	Version int  `json:"version"`
	Guards  List `json:"guards"`
}

// ErrState means that a stored state cannot be used.
var ErrState = errors.New("guard state")

// ParseList reads the form that a list has on disk, of this chive or an earlier one. That
// had the confirmed guards first, by their confirmation: the order of sampling, which it did
// not keep, is then that of the list, as C tor has it with its states of before (it takes
// confirmed_idx where there is no sampled_idx).
func ParseList(b []byte) (List, error) {
	if len(b) > maxStateBytes {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrState, len(b), maxStateBytes)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if d.Version != stateVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrState, d.Version, stateVersion)
	}
	type key struct {
		selection string
		id        netdoc.Digest
	}
	seen := map[key]bool{}
	for _, g := range d.Guards {
		k := key{g.Selection, g.Identity}
		if g.Identity.IsZero() || seen[k] || g.Expires.Before(g.Sampled) || len(g.Selection) > 64 || len(d.Guards) > maxList {
			return nil, fmt.Errorf("%w: impossible list", ErrState)
		}
		seen[k] = true
	}
	return d.Guards, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
