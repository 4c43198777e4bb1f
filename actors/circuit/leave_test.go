package circuit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
)

// A circuit that its service has left ends when it had no stream for leaveTime, and not
// before.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		gone := make(chan *Gone, 1)
		quiet := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
		born := make(chan *actor.PID, 1)
		parent := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				born <- ctx.Spawn(Props(Options{
					ID: "c", Path: []torcircuit.Hop{{}}, Connections: quiet, Recorder: messages.NewRecorder("n", time.Now, 64), Now: time.Now,
					BuildTimeout: time.Hour, Purpose: chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS,
				}))
			case *Gone:
				gone <- m
			}
		}))
		circuit := <-born
		time.Sleep(2 * leaveTime)
		system.Root.Send(circuit, &Leave{})
		time.Sleep(leaveTime - time.Second)
		synctest.Wait()
		if len(gone) != 0 {
			t.Fatal("it ends at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(gone) != 1 || (<-gone).Outcome != chivev1.Outcome_OUTCOME_IDLE {
			t.Error("it does not end")
		}
		for _, pid := range []*actor.PID{parent, quiet} {
			if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		kernel.Shutdown(system)
	})
}
