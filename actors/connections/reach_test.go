package connections

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/internal/freeport"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/reach"
)

// The address that is dialled is the one that the options ask for; a relay without one is
// not dialled at all, and not blamed.
func TestAddressIsChosen(t *testing.T) {
	dead := func(ip string) netip.AddrPort {
		at := netip.MustParseAddr(ip)
		port, err := freeport.Take(at)
		if err != nil {
			t.Fatal(err)
		}
		return netip.AddrPortFrom(at, uint16(port))
	}
	v4, v6 := dead("127.0.0.1"), dead("::1")
	for _, c := range []struct {
		name   string
		rules  reach.Rules
		target connection.Target
		want   netip.AddrPort
	}{
		{"default", reach.Rules{}, connection.Target{IPv4: v4, IPv6: v6}, v4},
		{"IPv6 preferred", reach.Rules{PreferIPv6: true}, connection.Target{IPv4: v4, IPv6: v6}, v6},
		{"no IPv4", reach.Rules{NoIPv4: true}, connection.Target{IPv4: v4, IPv6: v6}, v6},
		{"an IPv4 address, no IPv4", reach.Rules{NoIPv4: true}, connection.Target{IPv4: v4}, netip.AddrPort{}},
		{"an IPv6 address, no IPv6", reach.Rules{NoIPv6: true}, connection.Target{IPv6: v6}, netip.AddrPort{}},
	} {
		system := kernel.NewSystem(nil)
		events, blamed := make(chan *chivev1.Envelope, 64), make(chan chivev1.Outcome, 4)
		recorder := messages.NewRecorder("test", time.Now, 64)
		cancel := recorder.Observe(func(e *chivev1.Envelope) { events <- e })
		answers := make(chan *Failed, 1)
		pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				conns := ctx.Spawn(Props(Options{
					Dialer: connection.Dialer{Reach: c.rules}, Recorder: recorder, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 2)),
					Unreachable: func(_ [20]byte, out chivev1.Outcome) { blamed <- out },
				}))
				ctx.Send(conns, &Want{Target: c.target, Reply: ctx.Self()})
			case *Failed:
				answers <- m
			}
		}))
		got := <-answers
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Error(err)
		}
		cancel()
		kernel.Shutdown(system)
		close(events)
		var dialled []string
		for e := range events {
			if d := e.GetConnectionDialled(); d != nil {
				dialled = append(dialled, d.GetAddress())
			}
		}
		if !c.want.IsValid() {
			if len(dialled) > 0 || len(blamed) > 0 || got.Dialled || got.Outcome != chivev1.Outcome_OUTCOME_NO_PATH || !errors.Is(got.Err, connection.ErrAddress) {
				t.Errorf("%s: dialled %v, blamed %d times, %+v", c.name, dialled, len(blamed), got)
			}
			continue
		}
		if len(dialled) != 1 || dialled[0] != c.want.String() || !got.Dialled || len(blamed) != 1 {
			t.Errorf("%s: dialled %v, want %v; %+v", c.name, dialled, c.want, got)
		}
	}
}
