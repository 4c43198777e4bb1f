package circuits

import (
	"slices"

	"chive/tor/isolation"
)

// places finds the circuits that could take a stream without looking at all.
type places struct {
	clean map[*record]struct{} // no stream has used them yet; open or being built
	used  map[isolation.Key][]*record
	kinds map[isolation.Flags]int // of those used, how many isolate by what
}

func newPlaces() places {
	return places{clean: map[*record]struct{}{}, used: map[isolation.Key][]*record{}, kinds: map[isolation.Flags]int{}}
}

// carries notes that a stream goes on a circuit.
func (p *places) carries(r *record, t *isolation.Token) {
	p.forget(r)
	r.isolation.Join(t)
	key := r.isolation.Key()
	p.used[key] = append(p.used[key], r)
	p.kinds[key.Isolates]++
}

func (p *places) forget(r *record) {
	delete(p.clean, r)
	key := r.isolation.Key()
	i := slices.Index(p.used[key], r)
	if i < 0 {
		return
	}
	if p.used[key] = slices.Delete(p.used[key], i, i+1); len(p.used[key]) == 0 {
		delete(p.used, key)
	}
	if p.kinds[key.Isolates]--; p.kinds[key.Isolates] == 0 {
		delete(p.kinds, key.Isolates)
	}
}

// best is the used circuit that a stream fits, and that would do, in which it adds least
// to what is mixed: others fit there longest. Among equal ones it is the one used first.
func (p *places) best(t *isolation.Token, would func(*record) bool) (best *record) {
	for kind := range p.kinds {
		for _, r := range p.used[t.Key(kind)] {
			if r.isolation.Fits(t) && would(r) && (best == nil || better(r, best, t)) {
				best = r
			}
		}
	}
	return best
}

func better(r, than *record, t *isolation.Token) bool {
	if a, b := r.isolation.Mixes(t), than.isolation.Mixes(t); a != b {
		return a < b
	}
	return r.dirtied.Before(than.dirtied)
}

// waitOn has a request wait for a circuit; nil: for none.
func (c *circuits) waitOn(w *waiting, r *record) {
	if before := c.records[w.on]; before != nil {
		if before.waiters--; before.waiters == 0 {
			before.promised = isolation.Circuit{}
		}
	}
	w.on = ""
	if r != nil {
		w.on = r.id
		r.waiters++
		r.promised.Join(&w.Spec.Isolation)
	}
}
