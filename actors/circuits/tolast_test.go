package circuits

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// An owner is told whether the end of his circuit may be its last hop's doing.
func TestOverToLast(t *testing.T) {
	t.Parallel()
	const destroyed, slow = chivev1.Outcome_OUTCOME_DESTROYED, chivev1.Outcome_OUTCOME_TIMEOUT
	for name, tt := range map[string]struct {
		stem bool // it was one, and is extended
		open bool
		gone circuit.Gone
		want bool
	}{
		"no connection":          {gone: circuit.Gone{Outcome: destroyed, Dialled: true}},
		"second hop":             {gone: circuit.Gone{Outcome: destroyed, Hops: 1}},
		"third of four":          {gone: circuit.Gone{Outcome: destroyed, Hops: 2}},
		"too slow at the third":  {gone: circuit.Gone{Outcome: slow, Hops: 2}},
		"fourth of four":         {gone: circuit.Gone{Outcome: destroyed, Hops: 3}, want: true},
		"too slow at the fourth": {gone: circuit.Gone{Outcome: slow, Hops: 3}, want: true},
		"open":                   {open: true, gone: circuit.Gone{Outcome: destroyed, Hops: 4, WasOpen: true}, want: true},
		"a stem's last hop":      {stem: true, gone: circuit.Gone{Outcome: destroyed, Hops: 3}, want: true},
	} {
		over := make(chan *Over, 1)
		atStems(t, func(d *desk, _ *shifting) {
			d.o.Settings.Prebuild = false
			owner := d.ctx.ActorSystem().Root.Spawn(kernel.Func(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*Over); ok {
					over <- m
					ctx.Stop(ctx.Self())
				}
			}))
			wish := &Open{Owner: owner, Token: 7, Purpose: introduction, Target: target(20)}
			r := &record{id: "c", pid: d.quiet, purpose: introduction, first: netdoc.Digest{1}, hops: 4, launched: d.o.Now(), wish: wish}
			if tt.stem {
				r.purpose, r.hops, r.wish = stem, 3, nil
				r.stem = []netdoc.Digest{{1}, {5}, {21}}
				d.stems.spare = append(d.stems.spare, r)
			}
			d.began(r)
			if tt.open || tt.stem {
				d.isOpen(r)
			}
			if tt.stem && !d.takeStem(d.ctx, wish) {
				t.Errorf("%s: not taken", name)
			}
			tt.gone.ID = r.id
			d.gone(d.ctx, &tt.gone)
			if m := <-over; m.ToLast != tt.want || m.Token != 7 || m.Outcome != tt.gone.Outcome {
				t.Errorf("%s: %+v", name, m)
			}
		})
	}
}
