// Package guard keeps the guards of one client: a small ordered sample, chosen
// by weight, of which the first that can be reached is used. It is a part of
// guard-spec: sampling, confirming, lifetimes and retry schedules; the full
// specification is work to come.
//
// The state changes by what this client saw itself: a view of the network
// (Update), and whether an outgoing connection to the guard could be made
// (Reached, Failed). No method takes anything that happened further out on a
// circuit, so no remote party can choose a guard (rule 0).
//
//	sampled ── Reached ──► confirmed (first in order, for 48 to 60 days)
//	   │ ▲
//	   ▼ │ retry time over
//	unreachable
package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// Parameters of guard-spec appendix A.1 that the consensus does not name.
const (
	sampledLife    = 120 * 24 * time.Hour // GUARD_LIFETIME of one never confirmed
	confirmedLife  = 48 * 24 * time.Hour  // and of one confirmed, plus up to confirmedExtra
	confirmedExtra = 12 * 24 * time.Hour
	unlistedLife   = 20 * 24 * time.Hour // REMOVE_UNLISTED_GUARDS_AFTER
	maxSample      = 60                  // MAX_SAMPLE_SIZE
	defaultPrimary = 3                   // N_PRIMARY_GUARDS
	networkDown    = 10 * time.Second    // all primaries failed: how soon they are tried again
	stateVersion   = 1
	maxStateBytes  = 1 << 20
)

// Guard is one sampled relay.
type Guard struct {
	Identity  netdoc.Digest `json:"identity"`
	Sampled   time.Time     `json:"sampled"`
	Confirmed time.Time     `json:"confirmed,omitzero"` // first reached
	Expires   time.Time     `json:"expires"`
	Unlisted  time.Time     `json:"unlisted,omitzero"` // since when no consensus lists it as a guard

	failingSince time.Time // zero: not known to be unreachable
	lastTry      time.Time
}

// Set is the guards of one client, in order of preference. It is not safe for
// concurrent use.
type Set struct {
	guards  []*Guard
	primary int
	rng     *rand.Rand
}

// New makes an empty set that draws from rng.
func New(rng *rand.Rand) *Set { return &Set{rng: rng, primary: defaultPrimary} }

// Update takes a new view of the network: guards too old or too long unlisted
// are dropped and the sample is filled up. It returns the newly sampled.
func (s *Set) Update(x *path.Index, params netdoc.Params, now time.Time) []netdoc.Digest {
	s.primary = int(params.Get("guard-n-primary-guards", defaultPrimary, 1, 10))
	s.guards = slices.DeleteFunc(s.guards, func(g *Guard) bool {
		if r, ok := x.ByIdentity(g.Identity); ok && r.CanGuard() {
			g.Unlisted = time.Time{}
		} else if g.Unlisted.IsZero() {
			g.Unlisted = now
		}
		return now.After(g.Expires) || !g.Unlisted.IsZero() && now.Sub(g.Unlisted) > unlistedLife
	})
	var added []netdoc.Digest
	for s.listed() < s.primary {
		id, ok := s.sample(x, now)
		if !ok {
			break
		}
		added = append(added, id)
	}
	return added
}

// Widen samples one guard more, when those there are cannot be reached.
func (s *Set) Widen(x *path.Index, now time.Time) (netdoc.Digest, bool) { return s.sample(x, now) }

func (s *Set) sample(x *path.Index, now time.Time) (netdoc.Digest, bool) {
	if len(s.guards) >= maxSample {
		return netdoc.Digest{}, false
	}
	r, err := x.PickGuard(s.rng, func(r *path.Relay) bool { return s.find(r.Identity) != nil })
	if err != nil {
		return netdoc.Digest{}, false
	}
	// Times on disk are blurred, so that they do not tell when this client
	// was used first (guard-spec §4.2).
	sampled := now.Add(-time.Duration(s.rng.Int64N(int64(sampledLife / 10)))).Truncate(time.Hour)
	s.guards = append(s.guards, &Guard{Identity: r.Identity, Sampled: sampled, Expires: sampled.Add(sampledLife)})
	return r.Identity, true
}

func (s *Set) find(id netdoc.Digest) *Guard {
	for _, g := range s.guards {
		if g.Identity == id {
			return g
		}
	}
	return nil
}

func (s *Set) listed() int {
	n := 0
	for _, g := range s.guards {
		if g.Unlisted.IsZero() {
			n++
		}
	}
	return n
}

// Usable lists the guards to build through now, best first: confirmed ones in
// the order of their confirmation, then the others as sampled; those that
// failed only when their retry time has come. If every one failed, the network
// is likelier to be down than all of them, so the primaries come again soon.
func (s *Set) Usable(now time.Time) []netdoc.Digest {
	var out []netdoc.Digest
	listed := 0
	for _, g := range s.guards {
		if !g.Unlisted.IsZero() {
			continue
		}
		listed++
		if g.failingSince.IsZero() || now.Sub(g.lastTry) >= retryAfter(now.Sub(g.failingSince), listed <= s.primary) {
			out = append(out, g.Identity)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, g := range s.guards {
		if g.Unlisted.IsZero() && now.Sub(g.lastTry) >= networkDown && len(out) < s.primary {
			out = append(out, g.Identity)
		}
	}
	return out
}

// retryAfter is guard-spec §4.6: how long after a try the next may come, by
// how long the guard has been failing.
func retryAfter(failing time.Duration, primary bool) time.Duration {
	pick := func(p, other time.Duration) time.Duration {
		if primary {
			return p
		}
		return other
	}
	switch {
	case failing < 6*time.Hour:
		return pick(10*time.Minute, time.Hour)
	case failing < 4*24*time.Hour:
		return pick(90*time.Minute, 4*time.Hour)
	case failing < 7*24*time.Hour:
		return pick(4*time.Hour, 18*time.Hour)
	default:
		return pick(9*time.Hour, 36*time.Hour)
	}
}

// Reached: the outgoing connection to the guard was made. It reports whether
// the guard is confirmed by it, so that the state should be saved. If every
// guard had failed, it was the network that was down, and the others may be
// tried again at once (guard-spec §4.9).
func (s *Set) Reached(id netdoc.Digest, now time.Time) (confirmed bool) {
	g := s.find(id)
	if g == nil {
		return false
	}
	if s.allFailed() {
		s.RetryNow()
	}
	g.failingSince, g.lastTry = time.Time{}, now
	if !g.Confirmed.IsZero() {
		return false
	}
	g.Confirmed = now.Truncate(time.Hour)
	g.Expires = g.Confirmed.Add(confirmedLife + time.Duration(s.rng.Int64N(int64(confirmedExtra))))
	slices.SortStableFunc(s.guards, func(a, b *Guard) int {
		switch {
		case a.Confirmed.IsZero() && b.Confirmed.IsZero():
			return 0
		case a.Confirmed.IsZero():
			return 1
		case b.Confirmed.IsZero():
			return -1
		default:
			return a.Confirmed.Compare(b.Confirmed)
		}
	})
	return true
}

// allFailed: did every listed guard fail when it was last tried?
func (s *Set) allFailed() bool {
	return !slices.ContainsFunc(s.guards, func(g *Guard) bool { return g.Unlisted.IsZero() && g.failingSince.IsZero() })
}

// Failed: the outgoing connection to the guard was tried and failed.
func (s *Set) Failed(id netdoc.Digest, now time.Time) {
	g := s.find(id)
	if g == nil {
		return
	}
	if g.failingSince.IsZero() {
		g.failingSince = now
	}
	g.lastTry = now
}

// RetryNow forgets every failure: all guards may be tried at once.
func (s *Set) RetryNow() {
	for _, g := range s.guards {
		g.failingSince, g.lastTry = time.Time{}, time.Time{}
	}
}

// Guards is the sample in order of preference; reachability is not kept on
// disk, as it says nothing about another day.
func (s *Set) Guards() []Guard {
	out := make([]Guard, len(s.guards))
	for i, g := range s.guards {
		out[i] = *g
	}
	return out
}

type document struct {
	Version int      `json:"version"`
	Guards  []*Guard `json:"guards"`
}

// Marshal writes the state for the disk.
func (s *Set) Marshal() ([]byte, error) {
	return json.MarshalIndent(document{stateVersion, s.guards}, "", " ")
}

// ErrState means that a stored state cannot be used.
var ErrState = errors.New("guard state")

// Unmarshal replaces the guards by those of a stored state. On error the set
// is unchanged.
func (s *Set) Unmarshal(b []byte) error {
	if len(b) > maxStateBytes {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrState, len(b), maxStateBytes)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if d.Version != stateVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrState, d.Version, stateVersion)
	}
	seen := map[netdoc.Digest]bool{}
	for _, g := range d.Guards {
		if g == nil || g.Identity.IsZero() || seen[g.Identity] || g.Expires.Before(g.Sampled) || len(d.Guards) > maxSample {
			return fmt.Errorf("%w: impossible list", ErrState)
		}
		seen[g.Identity] = true
	}
	s.guards = d.Guards
	return nil
}
