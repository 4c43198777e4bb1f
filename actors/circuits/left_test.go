package circuits

import (
	"net"
	"testing"
	"time"

	"chive/actors/stream"
	"chive/internal/rawio"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion"
)

// Of those who wait, be it for a circuit or for an onion service, who goes is cancelled, and
// nothing is kept for him; the others wait on.
func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	outcomes := make([]chivev1.Outcome, 4)
	var apps, ours []*net.TCPConn
	for range outcomes {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		apps, ours = append(apps, c.(*net.TCPConn)), append(ours, a.(*net.TCPConn))
	}
	atDesk(t, 0, func(d *desk) {
		d.dir.Enough = false
		d.o.Settings.SocksTimeout = 2 * time.Minute
		for i := range outcomes {
			spec := &stream.Spec{
				ID: messages.RandomID(), Purpose: general, Port: 80, Requested: d.now, Front: told{outcome: &outcomes[i]}, Isolation: values(uint64(i)),
				Conn: ours[i],
			}
			if i >= 2 {
				spec.Onion, spec.Purpose = &onion.Address{byte(i)}, rendezvous
			}
			d.request(d.ctx, &Request{Spec: spec})
		}
		d.tick(d.ctx)
		d.ticker.Stop()
		if len(d.queue) != 4 {
			t.Errorf("%d wait before anybody left", len(d.queue))
		}
		for _, i := range []int{0, 2} {
			if err := apps[i].Close(); err != nil {
				t.Error(err)
			}
			raw, err := ours[i].SyscallConn()
			if err != nil {
				t.Error(err)
				return
			}
			if err := raw.Read(func(fd uintptr) bool { return rawio.Look(fd) != rawio.Open }); err != nil {
				t.Error(err)
			}
		}
		d.tick(d.ctx)
		d.ticker.Stop()
		if len(d.queue) != 2 || len(d.meetings) != 1 {
			t.Errorf("%d wait, want 2, and %d meetings, want 1", len(d.queue), len(d.meetings))
		}
	})
	const cancelled, none = chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_UNSPECIFIED
	for i, want := range []chivev1.Outcome{cancelled, none, cancelled, none} {
		if outcomes[i] != want {
			t.Errorf("application %d: %v, want %v", i, outcomes[i], want)
		}
	}
}
