package configuration

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
)

// A change that is asked for before the actor is there waits for it, for as long as who asks
// likes, and no longer than the node is there.
func TestChangeBeforeTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		defer kernel.Shutdown(system)
		ended := make(chan struct{})
		c := NewControl(nil, system, ended)
		ask := func(ctx context.Context, c *Control) chan error {
			told := make(chan error, 1)
			go func() {
				r, err := c.ProposeConfig(ctx, messages.ConfigProposal{})
				if err == nil && r.Revision != 7 {
					t.Errorf("not the actor's answer: %+v", r)
				}
				told <- err
			}()
			synctest.Wait()
			return told
		}
		waits, of := ask(t.Context(), c), NewControl(nil, system, ended)
		ctx, cancel := context.WithCancel(t.Context())
		given, late := ask(ctx, c), ask(t.Context(), of)
		for _, told := range []chan error{waits, given, late} {
			select {
			case err := <-told:
				t.Fatalf("did not wait: %v", err)
			default:
			}
		}
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) || errors.Is(err, kernel.ErrStopped) {
			t.Errorf("given up: %v", err)
		}
		pid := system.Root.Spawn(kernel.Props(func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if p, ok := ctx.Message().(*Propose); ok {
					p.Reply.Send(messages.ConfigResult{Revision: 7})
				}
			})
		}))
		c.Attach(pid)
		if err := <-waits; err != nil {
			t.Errorf("the actor is there: %v", err)
		}
		if err := <-ask(t.Context(), c); err != nil {
			t.Errorf("asked then: %v", err)
		}
		close(ended)
		if err := <-late; !errors.Is(err, kernel.ErrStopped) {
			t.Errorf("the node has ended: %v", err)
		}
	})
}

// What was refused stands in the history behind the revision that was in force then, however many
// changes there are in one second, and whatever the clock does.
func TestHistoryKeepsTheOrder(t *testing.T) {
	d := newDesk(t, settings(t, "SocksTimeout 10 seconds\n"), &memory{})
	for _, value := range []string{"bad", "20 seconds", "30 seconds", "worse", "worst", "40 seconds"} {
		d.set(line("SocksTimeout", value))
	}
	history, err := d.ConfigHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, r := range history {
		got = append(got, r.Revision)
	}
	if want := []uint64{1, 0, 2, 3, 0, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
