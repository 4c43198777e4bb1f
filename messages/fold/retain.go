package fold

import (
	"cmp"
	"maps"
	"slices"
)

// over counts one more that ended; when there are twice as many as are
// remembered, the oldest go.
func (n *Node) over(kind int) {
	n.ended[kind]++
	if n.ended[kind] >= 2*n.retain() {
		n.Trim()
	}
}

func (n *Node) retain() int {
	if n.Retain > 0 {
		return n.Retain
	}
	return DefaultRetain
}

// Trim forgets the ended connections, circuits and streams that are more than
// Retain of each, the oldest first. A snapshot is taken after it.
func (n *Node) Trim() {
	keep := n.retain()
	n.ended[0] = trim(n.Connections, keep, func(k *ConnectionLife) (moment, bool) { return moment{k.Gone, k.Number}, k.Ended() })
	n.ended[1] = trim(n.Circuits, keep, func(c *CircuitLife) (moment, bool) { return moment{c.Gone, c.Number}, c.Ended() })
	n.ended[2] = trim(n.Streams, keep, func(s *StreamLife) (moment, bool) { return moment{s.Gone, s.Number}, s.Ended() })
	trim(n.Relays, maxRelays, func(r *Relay) (moment, bool) { return moment{at: r.touched()}, true })
	trim(n.Breakers, maxRelays, func(b *Breaker) (moment, bool) { return moment{at: b.touched()}, true })
}

// trim keeps what may not go and the latest of what may, by the numbers of events if those
// are told: which ones does not depend on the order in which they came. It returns how many of
// those are left.
func trim[T any](all map[string]*T, keep int, may func(*T) (moment, bool)) int {
	type candidate struct {
		id string
		moment
	}
	var gone []candidate
	for id, x := range all {
		if at, ok := may(x); ok {
			gone = append(gone, candidate{id, at})
		}
	}
	if len(gone) <= keep {
		return len(gone)
	}
	slices.SortFunc(gone, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.number, a.number), b.at.Compare(a.at), cmp.Compare(a.id, b.id))
	})
	for _, c := range gone[keep:] {
		delete(all, c.id)
	}
	return keep
}

// Clone is a copy that shares nothing with n.
func (n *Node) Clone() *Node {
	out := *n
	out.Connections, out.Circuits, out.Streams = clone(n.Connections), clone(n.Circuits), clone(n.Streams)
	out.Relays, out.Breakers, out.Listeners = clone(n.Relays), clone(n.Breakers), clone(n.Listeners)
	out.ConnectionEnds, out.CircuitEnds = maps.Clone(n.ConnectionEnds), maps.Clone(n.CircuitEnds)
	out.StreamEnds = maps.Clone(n.StreamEnds)
	return &out
}

func clone[T any](all map[string]*T) map[string]*T {
	if all == nil {
		return nil
	}
	out := make(map[string]*T, len(all))
	copies := make([]T, 0, len(all)) // one allocation for all
	for id, x := range all {
		copies = append(copies, *x)
		out[id] = &copies[len(copies)-1]
	}
	return out
}

// Valid says whether a snapshot that was read can be folded on: it has no holes
// where an actor should be, and no state that is none.
func (n *Node) Valid() bool {
	return valid(n.Connections, func(k *ConnectionLife) bool { return k.State <= ConnectionClosed }) &&
		valid(n.Circuits, func(c *CircuitLife) bool { return c.State <= CircuitClosed }) &&
		valid(n.Streams, func(s *StreamLife) bool { return s.State <= StreamEnded }) &&
		valid(n.Relays, func(*Relay) bool { return true }) && valid(n.Breakers, func(*Breaker) bool { return true }) &&
		valid(n.Listeners, func(*Listener) bool { return true })
}

func valid[T any](all map[string]*T, ok func(*T) bool) bool {
	for _, x := range all {
		if x == nil || !ok(x) {
			return false
		}
	}
	return true
}
