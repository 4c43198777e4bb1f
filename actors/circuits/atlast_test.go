package circuits

import (
	"fmt"
	"testing"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// Clients name rendezvous points, and services introduction points, that never answer: what
// waits for those keeps nothing else from being built, and is counted once however it ends.
func TestAtLast(t *testing.T) {
	t.Parallel()
	for _, purpose := range []chivev1.Purpose{toClient, introduction, rendezvous} {
		atStems(t, func(d *desk, _ *shifting) {
			d.o.Settings.Prebuild = false
			var all []*record
			for i := range d.mostBuilding() {
				wish := &Open{Owner: d.quiet, Token: uint64(i), Purpose: purpose, Target: target(20)}
				if purpose == rendezvous { // of our own choice
					wish.Target = nil
				}
				r := &record{id: fmt.Sprint(i), pid: d.quiet, purpose: purpose, first: netdoc.Digest{1}, hops: 4, launched: d.o.Now(), wish: wish}
				d.began(r)
				all = append(all, r)
			}
			d.opens = []*Open{{Owner: d.quiet, Token: 1000, Purpose: purpose, Target: target(20)}}
			for _, r := range all {
				d.atLast(d.ctx, &circuit.AtLast{ID: r.id})
				d.atLast(d.ctx, &circuit.AtLast{ID: r.id})
			}
			left := 0
			if purpose == rendezvous {
				left = len(all)
			}
			launched := 0
			for _, r := range d.records {
				if r.wish != nil && r.wish.Token == 1000 {
					launched++
				}
			}
			if (launched == 1) != (left == 0) || d.building != left+launched || d.pace(netdoc.Digest{1}).building != left+launched {
				t.Errorf("%v: %d are being built, %d of those asked for then", purpose, d.building, launched)
			}
			d.opens = nil
			for i, r := range all {
				if i%2 == 0 {
					d.isOpen(r)
				}
				d.gone(d.ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Hops: 3, WasOpen: r.open})
			}
			if d.building != launched || d.pace(netdoc.Digest{1}).building != launched {
				t.Errorf("%v: %d are being built in the end, want %d", purpose, d.building, launched)
			}
		})
	}
}
