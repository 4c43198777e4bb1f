package circuits

import (
	"testing"

	"chive/messages/chivev1"
)

// A circuit that its owner leaves goes on, also when the owner ends; nothing of it is his any
// more. His others are closed.
func TestLeave(t *testing.T) {
	atDesk(t, 0, func(d *desk) {
		const purpose = chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS
		owned := func(id string, token uint64) *record {
			r := &record{id: id, pid: d.quiet, purpose: purpose, open: true, wish: &Open{Owner: d.quiet, Token: token, Purpose: purpose}}
			d.records[id] = r
			return r
		}
		left, kept := owned("left", 1), owned("kept", 2)
		d.circuits.leave(d.ctx, &Leave{Owner: d.quiet, Token: 1})
		d.circuits.leave(d.ctx, &Leave{Owner: d.quiet, Token: 3}) // there is none
		if left.closing || !left.abandoned || d.ownedBy(d.quiet, 1) != nil || kept.abandoned {
			t.Errorf("left: closing %v, abandoned %v", left.closing, left.abandoned)
		}
		d.shut(d.ctx, &Shut{Owner: d.quiet, Token: 1})
		d.orphaned(d.ctx, d.quiet)
		if left.closing || !kept.closing {
			t.Errorf("the owner's end closes what he left: %v, and the others: %v", left.closing, kept.closing)
		}
	})
}
