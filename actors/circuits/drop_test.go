package circuits_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/messages"
)

// Who asks circuits that fail before they come to the question, or over it, is answered.
func TestQuestionsToCircuitsThatFail(t *testing.T) {
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	options := circuits.Options{
		Recorder: messages.NewRecorder("test", time.Now, 64), Now: time.Now, Rand: rand.New(rand.NewPCG(1, 2)),
		Guards: noGuards{func() {}}, Settings: circuits.Settings{Period: time.Hour, Dirtiness: time.Hour},
	}
	passes := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *circuits.Renew, *circuits.ForgetTimes, *circuits.List:
			child := ctx.Spawn(circuits.Props(options))
			ctx.Send(child, &circuits.List{}) // there is nobody to tell: it fails
			ctx.Forward(child)
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, tt := range map[string]struct {
		want     int
		question func(kernel.Reply[int]) any
	}{
		"renew":  {0, func(r kernel.Reply[int]) any { return &circuits.Renew{Reply: r} }},
		"forget": {-1, func(r kernel.Reply[int]) any { return &circuits.ForgetTimes{Reply: r} }},
		"list": {0, func(r kernel.Reply[int]) any {
			return &circuits.List{Tell: func(all []circuits.Identity) { r.Send(len(all)) }}
		}},
	} {
		if n, err := kernel.Ask(ctx, system, passes, tt.question); n != tt.want || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if err := kernel.StopAndWait(system, passes, time.Minute); err != nil {
		t.Error(err)
	}
}
