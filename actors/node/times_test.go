package node

import (
	"errors"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
)

// Circuits that are not there forget nothing: what was learned is on disk, and they begin with
// it. Who asked is told so, and not that all is forgotten.
func TestNobodyForgetsTimes(t *testing.T) {
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	n := &Node{system: system}
	n.root = system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*circuits.ForgetTimes); ok {
			drop(m)
		}
	}))
	if answer, err := n.answerTimeoutsForget(nil); !errors.Is(err, errNoCircuits) {
		t.Errorf("%s, %v", answer, err)
	}
	if err := kernel.StopAndWait(system, n.root, askTime); err != nil {
		t.Error(err)
	}
}
