package connections

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/internal/relaydouble"
	"chive/messages"
	"chive/messages/chivev1"
)

// A relay that breaks five dials over real TLS and then works: the breaker
// opens, refuses without dialling, lets a probe through and closes, and each
// step is an event.
func TestBreakerOpensAndClosesOverTLS(t *testing.T) {
	var script []relaydouble.Fault
	for n := range 5 {
		script = append(script, relaydouble.Fault{At: relaydouble.AtTLS, Nth: n + 1, Do: relaydouble.CloseConnection})
	}
	relay := relaydouble.Start(t, relaydouble.Options{Hops: 1, Script: script})
	hop := relay.Hops()[0]
	target := connection.Target{RSA: hop.RSA(), Ed25519: hop.Ed25519(), IPv4: hop.Addr()}

	var ahead atomic.Int64 // how far our clock is ahead
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	recorder := messages.NewRecorder("test", clock, 1024)
	events := make(chan string, 1024)
	defer recorder.Observe(func(e *chivev1.Envelope) {
		name := messages.Name(e)
		if s := e.GetSupervisorStateChanged(); s != nil {
			name = s.GetState()
		}
		events <- name
	})()
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	answers := make(chan any, 1)
	var conns *actor.PID
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			conns = ctx.Spawn(Props(Options{Recorder: recorder, Now: clock, Rand: rand.New(rand.NewPCG(1, 2))}))
		case *Ready, *Failed:
			answers <- m
		case string:
			ctx.Send(conns, &Want{Target: target, Reply: ctx.Self()})
		}
	}))
	want := func() any {
		system.Root.Send(pid, "want")
		return <-answers
	}
	for range 5 {
		if f, ok := want().(*Failed); !ok || !f.Dialled {
			t.Fatalf("%+v", f)
		}
		ahead.Add(int64(25 * time.Second)) // longer than the backoff, not than the breaker
	}
	if f, ok := want().(*Failed); !ok || f.Dialled || f.Outcome != chivev1.Outcome_OUTCOME_BACKOFF {
		t.Fatalf("the breaker let one through: %+v", f)
	}
	ahead.Add(int64(10 * time.Second))
	if _, ok := want().(*Ready); !ok {
		t.Fatal("the probe did not come through")
	}
	if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
		t.Fatal(err)
	}
	close(events)
	var got []string
	for e := range events {
		got = append(got, e)
	}
	var told []string
	for range 4 {
		told = append(told, "connection-dialled", "connection-failed", "backoff")
	}
	told = append(
		told, "connection-dialled", "connection-failed", "breaker-opened", "backoff",
		"breaker-half-opened", "connection-dialled", "connection-opened", "breaker-closed", "connection-closed",
	)
	if !slices.Equal(got, told) {
		t.Fatalf("told\n%q, want\n%q", got, told)
	}
	if n := relay.Seen().Connections; n != 6 {
		t.Fatalf("%d dials reached the relay, want 6", n)
	}
}
