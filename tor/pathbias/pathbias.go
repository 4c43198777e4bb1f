// Package pathbias counts, for each guard, how many circuits through it came to be and
// carried something (path-spec §7). A guard that lets only those circuits live whose
// other end its friends hold fails the others, and these counts show it.
//
// It is an alarm and nothing more: no count changes which guard is used. Whoever can
// make circuits fail further out could else choose a client's guard (rule 0).
//
//	                     ┌─ Unbuilt: one attempt
//	second hop answered ─┤
//	                     └─ Built: attempt, success ─► unused ── Ended ──► whole, or collapsed
//	                                                     │ Used: one use
//	                                                     └──► in use ── Ended ──► whole and a success, or unusable
//
// Only from the second hop's answer on does a circuit count: what fails before is the
// guard's connection or the guard alone, and tells nothing of other relays. Circuits that
// are open count as successes until they end.
package pathbias

import "chive/tor/netdoc"

// Counts are of one guard. They are no whole numbers: old ones are scaled down.
type Counts struct {
	Attempts  float64 `json:"attempts"`  // circuits whose second hop answered
	Built     float64 `json:"built"`     // and that were built
	Whole     float64 `json:"whole"`     // and that ended as we wanted
	Collapsed float64 `json:"collapsed"` // ended by the far side before anything used them
	Unusable  float64 `json:"unusable"`  // nothing answered on them
	Timeouts  float64 `json:"timeouts"`  // were not built in time
	Uses      float64 `json:"uses"`      // circuits that were used
	Used      float64 `json:"used"`      // and on which something answered
}

// Valid reports whether counts can be such.
func (c Counts) Valid() bool {
	for _, n := range []float64{c.Attempts, c.Built, c.Whole, c.Collapsed, c.Unusable, c.Timeouts, c.Uses, c.Used} {
		if n < 0 || n > 1e12 {
			return false
		}
	}
	return true
}

// Level is how bad a rate is.
type Level string

// The levels, least to worst. Circuits that were used have no Warn, as in C tor.
const (
	Notice  Level = "notice"
	Warn    Level = "warn"
	Extreme Level = "extreme"
)

// Alarm tells that a rate fell below a level's, once a level and process.
type Alarm struct {
	Guard  netdoc.Digest
	Level  Level
	Use    bool // of circuits that were used; else of those that were built
	Counts Counts
	// Successes of Attempts: open circuits are among both.
	Successes, Attempts float64
}

// End is how a built circuit ended.
type End uint8

// The ends.
const (
	ByUs     End = iota // we closed it; on one in use something had answered
	Lost                // the far side, or its connection, ended it; likewise
	Unusable            // it was used, and nothing answered
	Unknown             // this node stops, or failed: it tells nothing
)

// maxGuards bounds the guards that are counted: the sample of a client is smaller.
const maxGuards = 256

// Book is the counts of all guards. It is not safe for concurrent use.
type Book struct {
	params   Params
	guards   map[netdoc.Digest]*guard
	circuits map[string]*circuit // built ones
}

type guard struct {
	id netdoc.Digest
	Counts
	told struct{ notice, warn, extreme, noticeUse, extremeUse bool }

	unused, inUse float64 // open circuits
}

type circuit struct {
	guard *guard
	used  bool
}

// New goes on with the counts of before; nil: with none.
func New(counts map[netdoc.Digest]Counts, p Params) *Book {
	b := &Book{params: p, guards: map[netdoc.Digest]*guard{}, circuits: map[string]*circuit{}}
	for id, c := range counts {
		if len(b.guards) < maxGuards {
			b.guards[id] = &guard{id: id, Counts: c}
		}
	}
	return b
}

// SetParams changes the thresholds, from the next circuit on.
func (b *Book) SetParams(p Params) { b.params = p }

// Counts are what is to be kept: open circuits count as successes, as whoever reads them
// will not hear of their end.
func (b *Book) Counts() map[netdoc.Digest]Counts {
	out := make(map[netdoc.Digest]Counts, len(b.guards))
	for id, g := range b.guards {
		c := g.Counts
		c.Whole += g.unused + g.inUse
		c.Used += g.inUse
		out[id] = c
	}
	return out
}

// Forget drops what was counted of a relay that is no guard any more.
func (b *Book) Forget(id netdoc.Digest) { delete(b.guards, id) }

func (b *Book) guard(id netdoc.Digest) *guard {
	g := b.guards[id]
	if g == nil {
		if len(b.guards) >= maxGuards {
			b.forgetLeast()
		}
		g = &guard{id: id}
		b.guards[id] = g
	}
	return g
}

// forgetLeast drops the guard of which least is known.
func (b *Book) forgetLeast() {
	var least netdoc.Digest
	for id, g := range b.guards {
		if l := b.guards[least]; l == nil || g.Attempts < l.Attempts {
			least = id
		}
	}
	delete(b.guards, least)
}

// Built: a circuit was built, in time or only to measure how long it takes.
func (b *Book) Built(id string, guardID netdoc.Digest) *Alarm {
	g := b.guard(guardID)
	alarm := b.attempt(g)
	g.Built++
	g.unused++
	b.circuits[id] = &circuit{guard: g}
	return alarm
}

// Unbuilt: a circuit failed, for whatever reason but our own wish, after its second hop
// had answered.
func (b *Book) Unbuilt(guardID netdoc.Digest) *Alarm { return b.attempt(b.guard(guardID)) }

// TimedOut: a circuit was later than its timeout. It is told with the others only.
func (b *Book) TimedOut(guardID netdoc.Digest) { b.guard(guardID).Timeouts++ }

// attempt counts one, after a look at those before.
func (b *Book) attempt(g *guard) *Alarm {
	alarm := b.lookAtCircuits(g)
	if g.Attempts > float64(b.params.ScaleCircuits) {
		g.scaleCircuits(b.params.Ratio)
	}
	g.Attempts++
	return alarm
}

// Used: a built circuit gets its first stream.
func (b *Book) Used(id string) *Alarm {
	c := b.circuits[id]
	if c == nil || c.used {
		return nil
	}
	c.used = true
	g := c.guard
	alarm := b.lookAtUses(g)
	if g.Uses > float64(b.params.ScaleUses) {
		g.scaleUses(b.params.Ratio)
	}
	g.Uses++
	g.unused--
	g.inUse++
	return alarm
}

// Ended: a built circuit is no more. Others are not known, and change nothing.
func (b *Book) Ended(id string, how End) {
	c := b.circuits[id]
	if c == nil {
		return
	}
	delete(b.circuits, id)
	g := c.guard
	if !c.used {
		g.unused--
		if how == Lost {
			g.Collapsed++
		} else {
			g.Whole++
		}
		return
	}
	g.inUse--
	if how == Unusable {
		g.Unusable++
		return
	}
	g.Whole++
	g.Used++
}
