package circuits

import "slices"

// places finds the circuits that could take a stream without looking at all.
type places struct {
	clean map[*record]struct{} // no stream has used them yet; open or being built
	group map[string][]*record // those that were used, by isolation group
}

func newPlaces() places {
	return places{clean: map[*record]struct{}{}, group: map[string][]*record{}}
}

// used moves a circuit to its group.
func (p *places) used(r *record) {
	delete(p.clean, r)
	p.group[r.isolation] = append(p.group[r.isolation], r)
}

func (p *places) forget(r *record) {
	delete(p.clean, r)
	left := slices.DeleteFunc(p.group[r.isolation], func(other *record) bool { return other == r })
	if len(left) == 0 {
		delete(p.group, r.isolation)
		return
	}
	p.group[r.isolation] = left
}

// waitOn has a request wait for a circuit; nil: for none.
func (c *circuits) waitOn(w *waiting, r *record) {
	if before := c.records[w.on]; before != nil {
		before.waiters--
	}
	w.on = ""
	if r != nil {
		w.on = r.id
		r.waiters++
	}
}
