package circuits

import (
	"testing"
	"time"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/messages/chivev1"
)

// A circuit to an onion service that fails so has others wait, too; how else it fails is in the
// hands of whoever named its last hop.
func TestMachineThatFailsOnions(t *testing.T) {
	for _, out := range []chivev1.Outcome{chivev1.Outcome_OUTCOME_MACHINE_FAILED, chivev1.Outcome_OUTCOME_DESTROYED} {
		atDesk(t, 0, func(d *desk) {
			for range 5 {
				r := &record{id: "c", pid: d.quiet, purpose: introduction, hops: 4, launched: d.now, wish: &Open{Owner: d.quiet}}
				d.began(r)
				d.gone(d.ctx, &circuit.Gone{ID: "c", Outcome: out})
			}
			if waits := d.holdOff != nil; waits != (out == chivev1.Outcome_OUTCOME_MACHINE_FAILED) || waits != (d.failures == 1) {
				t.Errorf("%v: others wait: %v, after %d failures", out, waits, d.failures)
			}
		})
	}
}

// While this machine can make no connections, circuits are tried with a pause; a request that
// waits in vain hears why, unless something else has gone wrong since.
func TestMachineThatFails(t *testing.T) {
	const machine, lost = chivev1.Outcome_OUTCOME_MACHINE_FAILED, chivev1.Outcome_OUTCOME_CONNECTION_LOST
	const refused, replaced = chivev1.Outcome_OUTCOME_CONNECT_REFUSED, chivev1.Outcome_OUTCOME_REPLACED // by a relay that was dialled; by chive
	for name, tt := range map[string]struct {
		ends []chivev1.Outcome // of circuits, in turn; OK: it opens
		want chivev1.Outcome
	}{
		"all the time":     {[]chivev1.Outcome{machine}, machine},
		"after a lost one": {[]chivev1.Outcome{lost, machine}, machine},
		"and then a relay": {[]chivev1.Outcome{machine, refused}, chivev1.Outcome_OUTCOME_TIMEOUT},
		"and a lost one":   {[]chivev1.Outcome{machine, lost}, machine},
		"and a replaced":   {[]chivev1.Outcome{machine, replaced}, machine},
		"and then it does": {[]chivev1.Outcome{machine, chivev1.Outcome_OUTCOME_OK}, chivev1.Outcome_OUTCOME_TIMEOUT},
	} {
		atDesk(t, 0, func(d *desk) {
			d.o.Settings.SocksTimeout = 2 * time.Minute
			out := chivev1.Outcome_OUTCOME_UNSPECIFIED
			app := told{outcome: &out}
			d.request(d.ctx, &Request{Spec: &stream.Spec{
				ID: "s", Purpose: general, Port: 443, Requested: d.now, Front: app, Conn: app, Isolation: values(1),
			}})
			for _, end := range tt.ends {
				r := &record{id: "c", pid: d.quiet, purpose: general, hops: 3, launched: d.now, tired: true}
				d.began(r)
				if end == chivev1.Outcome_OUTCOME_OK {
					d.isOpen(r)
					continue
				}
				d.gone(d.ctx, &circuit.Gone{ID: "c", Outcome: end, Dialled: end == refused})
				if end == machine && d.holdOff == nil {
					t.Errorf("%s: the next circuit is tried at once", name)
				}
			}
			d.now = d.now.Add(d.o.Settings.SocksTimeout)
			d.tick(d.ctx)
			d.ticker.Stop()
			if out != tt.want {
				t.Errorf("%s: the request ends with %v, want %v", name, out, tt.want)
			}
		})
	}
}
