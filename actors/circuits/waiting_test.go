package circuits

import (
	"testing"

	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
)

// BenchmarkWaiting is what one more request costs in an outage, when so many wait that share
// no circuits. With 4,000 it was 43 ms when each looked at all others.
func BenchmarkWaiting(b *testing.B) {
	const waiting = 4000
	ask := func(d *desk, n int) {
		out := chivev1.Outcome_OUTCOME_UNSPECIFIED
		app := told{outcome: &out}
		d.request(d.ctx, &Request{Spec: &stream.Spec{
			ID: messages.RandomID(), Purpose: general, Port: 80, Requested: d.now, Front: app, Conn: app, Isolation: values(uint64(n + 1)),
		}})
	}
	atDesk(b, 0, func(d *desk) {
		d.dir.Enough = false
		for i := range waiting {
			ask(d, i)
		}
		b.ResetTimer()
		for range b.N {
			ask(d, waiting)
			d.queue = d.queue[:waiting]
		}
	})
}
