package circuits

import (
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
const mostRenewed = 4096

func (r *renewals) renew(identity string) {
	r.n++
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

// carries notes whose stream goes on the circuit.
func (r *record) carries(identities []string) {
	if len(identities) > 0 && r.users == nil {
		r.users = map[string]struct{}{}
	}
	for _, id := range identities {
		r.users[id] = struct{}{}
	}
}

// renew has circuits take no new streams, and begins a new epoch for those who ask from
// now on; what waits stays in the old one. Clean circuits tie nobody to anything and
// stay; which guard is used is none of its business (rule 0).
func (c *circuits) renew(ctx actor.Context, identity string) (n int) {
	c.renewals.renew(identity)
	for _, r := range c.records {
		_, of := r.users[identity]
		if r.exit == nil || r.dirtied.IsZero() || r.tired || identity != "" && !of {
			continue
		}
		r.tired = true
		n++
		c.retire(ctx, r)
	}
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, c.o.Recorder.Node(), &chivev1.CircuitsRenewed{
		Circuits: uint32(n), Group: identity,
	}))
	c.serve(ctx)
	return n
}
