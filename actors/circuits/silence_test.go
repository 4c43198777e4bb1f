package circuits

import (
	"fmt"
	"testing"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// What ends as its guard fell silent is no failure that the next circuit would wait for: it dials
// anew.
func TestSilentGuardHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{true, false} {
		atDesk(t, 0, func(d *desk) {
			for i := range 10 {
				r := &record{id: fmt.Sprint(i), pid: d.quiet, purpose: general, first: netdoc.Digest{1}, hops: 3, launched: d.now}
				d.began(r)
				d.gone(d.ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_CONNECTION_LOST, Silent: silent})
			}
			if (d.holdOff == nil) != silent || (d.failures == 0) != silent || d.building != 0 {
				t.Errorf("silent %v: %d failures, a pause: %v", silent, d.failures, d.holdOff != nil)
			}
		})
	}
}

// A stream that its circuit gave back as the connection was lost may go to the same exit again:
// that one never heard of it, and there may be no other.
func TestLostStreamMayHaveTheSameExit(t *testing.T) {
	t.Parallel()
	for out, avoided := range map[chivev1.Outcome]int{
		chivev1.Outcome_OUTCOME_CONNECTION_LOST: 0,
		chivev1.Outcome_OUTCOME_EXIT_POLICY:     1,
		chivev1.Outcome_OUTCOME_TIMEOUT:         1,
	} {
		atDesk(t, 1, func(d *desk) {
			app := told{}
			spec := &stream.Spec{ID: "s", Purpose: general, Port: 443, Requested: d.now, Front: app, Conn: app, Isolation: values(1), Last: out}
			d.all[0].streams, d.all[0].tired = 1, true
			d.streamBack(d.ctx, &circuit.StreamBack{ID: d.all[0].id, Spec: spec})
			if len(spec.Avoid) != avoided {
				t.Errorf("%v: %d exits are avoided, want %d", out, len(spec.Avoid), avoided)
			}
		})
	}
}
