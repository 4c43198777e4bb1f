package circuits

import (
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/isolation"
)

// renewals count: the number of the last one that concerns a stream, when it is asked
// for, is its epoch.
type renewals struct {
	n    uint64
	all  uint64            // of the last that was of all
	ones map[string]uint64 // of the last of each identity since
}

// mostRenewed bounds the identities whose renewals are remembered one by one.
const mostRenewed = 1 << 16

// renew counts one. Of whom nothing is left there is nothing to keep apart from: alive
// tells.
func (r *renewals) renew(identity string, alive func() func(string) bool) {
	r.n++
	if r.ones[identity] == 0 && len(r.ones) == mostRenewed {
		left := alive()
		maps.DeleteFunc(r.ones, func(id string, _ uint64) bool { return !left(id) })
	}
	if identity == "" || r.ones[identity] == 0 && len(r.ones) == mostRenewed {
		r.all, r.ones = r.n, nil // too many: it counts as one of all, which parts no fewer streams
		return
	}
	if r.ones == nil {
		r.ones = map[string]uint64{}
	}
	r.ones[identity] = r.n
}

// epoch is that of a stream of these identities that is asked for now.
func (r *renewals) epoch(identities []string) uint64 {
	last := r.all
	for _, id := range identities {
		last = max(last, r.ones[id])
	}
	return last
}

// stale: there was a renewal since the stream was asked for, so that no later one may
// share its circuit.
func (r *renewals) stale(w *waiting) bool {
	return w.Directory == nil && w.Spec.Isolation.Values[isolation.Epoch] != r.epoch(w.Spec.Identities)
}

// renew begins a new epoch for an identity, a user name's or, for "", all.
func (c *circuits) renew(ctx actor.Context, identity string) int {
	n := c.renewed(ctx, identity)
	c.serve(ctx)
	return n
}

// renewed has circuits take no new streams, and begins a new epoch for those who ask from
// now on; what waits stays in the old one. Clean circuits tie nobody to anything and
// stay; which guard is used is none of its business (rule 0).
func (c *circuits) renewed(ctx actor.Context, identity string) (n int) {
	c.renewals.renew(identity, c.alive)
	tire := func(r *record) {
		if (r.exit != nil || r.meets != nil) && !r.dirtied.IsZero() && !r.tired {
			r.tired = true
			n++
			c.retire(ctx, r)
		}
	}
	if identity == "" {
		for _, r := range c.records {
			tire(r)
		}
	} else {
		for r := range c.identities.on[identity] {
			tire(r)
		}
	}
	c.newTerms(identity)
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, c.o.Recorder.Node(), &chivev1.CircuitsRenewed{
		Circuits: uint32(n), Group: identity,
	}))
	return n
}

// newTerms ends the terms of those who were renewed.
func (c *circuits) newTerms(identity string) {
	if t := c.identities.terms[identity]; t != nil {
		t.end()
		return
	}
	for _, t := range c.identities.terms {
		if identity == "" || t.group == identity {
			t.end()
		}
	}
}

func (t *term) end() {
	t.since, t.streams = time.Time{}, 0
	t.renewals++
}
