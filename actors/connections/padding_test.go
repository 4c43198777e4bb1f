package connections

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/tor/padding/link"
)

// Open connections hear what a consensus says of padding, and of whose cells go first if that
// has changed.
func TestConnectionsHearOfTheConsensus(t *testing.T) {
	d := newDesk(t)
	system := kernel.NewSystem(nil)
	heard := make(chan any, 8)
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *connection.Pad, *connection.Favour:
			heard <- m
		}
	}))
	d.conns["x"] = &conn{id: "x", pid: pid}
	told := make(chan struct{})
	teller := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			d.know(ctx, &Network{link.ParamsOf(nil), 30 * time.Second}) // the default
			d.know(ctx, &Network{link.ParamsOf(nil), time.Second})
			close(told)
		}
	}))
	<-told
	for i, favour := range []bool{false, false, true} {
		switch m := (<-heard).(type) {
		case *connection.Pad:
			if favour {
				t.Errorf("message %d is of padding", i)
			}
		case *connection.Favour:
			if !favour || m.HalfLife != time.Second {
				t.Errorf("message %d: %v", i, m)
			}
		}
	}
	if d.network.HalfLife != time.Second {
		t.Errorf("connections that open later have %v", d.network.HalfLife)
	}
	for _, p := range []*actor.PID{pid, teller} {
		if err := kernel.StopAndWait(system, p, time.Minute); err != nil {
			t.Error(err)
		}
	}
	kernel.Shutdown(system)
}
