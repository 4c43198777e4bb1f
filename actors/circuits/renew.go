package circuits

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages"
	"chive/messages/chivev1"
)

// carries notes whose stream goes on the circuit.
func (r *record) carries(identities []string) {
	if len(identities) > 0 && r.users == nil {
		r.users = map[string]struct{}{}
	}
	for _, id := range identities {
		r.users[id] = struct{}{}
	}
}

// renew has circuits take no new streams, and what waits go on none that later streams
// may join. Clean ones tie nobody to anything and stay; which guard is used is none of
// its business (rule 0).
func (c *circuits) renew(ctx actor.Context, identity string) (n int) {
	for _, r := range c.records {
		_, of := r.users[identity]
		if r.exit == nil || r.dirtied.IsZero() || r.tired || identity != "" && !of {
			continue
		}
		r.tired = true
		n++
		c.retire(ctx, r)
	}
	for _, w := range c.queue {
		w.alone = w.alone || identity == "" || slices.Contains(w.Spec.Identities, identity)
	}
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, c.o.Recorder.Node(), &chivev1.CircuitsRenewed{
		Circuits: uint32(n), Group: identity,
	}))
	c.serve(ctx)
	return n
}
