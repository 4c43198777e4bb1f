package node

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/fleet"
	"chive/actors/hosting"
	"chive/actors/onions"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
)

// topActor starts the node's actor anew, with all its parts, should it fail
// itself. There is nobody above who would. The configuration is beside it: it
// outlives the parts that follow it.
type topActor struct {
	n      *Node
	node   *supervisor.Children // the rootActor alone
	config *supervisor.Children // the configuration alone
	down   *shutdown
}

func newTop(n *Node) (*topActor, error) {
	t := &topActor{n: n}
	var err error
	t.node, err = supervisor.NewChildren(supervisor.Options{
		Strategy: supervisor.Service(), OnChange: t.changed, Rand: newRand(),
	})
	if err != nil {
		return nil, err
	}
	t.config, err = supervisor.NewChildren(supervisor.Options{
		Strategy: supervisor.Service(), OnChange: t.changed, OnSpawn: t.spawned, Rand: newRand(),
	})
	return t, err
}

// Receive is the actor's table of messages.
func (t *topActor) Receive(ctx actor.Context) {
	if t.node.Receive(ctx) || t.config.Receive(ctx) {
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.config.Supervise(ctx, supervisor.Supervise{Name: "configuration", Props: t.n.configurationProps})
		t.node.Supervise(ctx, supervisor.Supervise{Name: "node", Props: t.n.rootProps})
		if t.n.member != nil {
			t.config.Supervise(ctx, supervisor.Supervise{Name: "fleet", Props: t.n.fleetProps})
		}
	case *stopListening, *listenAgain, *circuits.Try, *tryAgain, *onions.Configure, *hosting.Configure, *hosting.Look:
		_ = t.node.Pass(ctx, "node", m) // what is not there has no listeners
	case *programAsk:
		switch {
		case t.down != nil:
			m.Drop()
		case t.node.Pass(ctx, "node", m) != nil:
			m.Refuse(chivev1.Outcome_OUTCOME_BACKOFF)
		}
	case *withdrawn:
		_ = t.node.Pass(ctx, "node", m) // what is not there has no requests
	case *fleet.Publication, *fleet.Tell:
		_ = t.config.Pass(ctx, "fleet", m) // it is told when it is there again
	case *reconfigure, *renew, *identities, *hosting.Verify, *hosting.List, *hosting.Leave, *hosting.Finish, *hosting.Rejoin,
		*circuits.ForgetTimes, *settle:
		if t.node.Pass(ctx, "node", m) != nil {
			drop(m)
		}
	case *shutdown:
		t.down = m
		t.node.Halt()
		t.config.Forget(ctx, "configuration")
		t.config.Forget(ctx, "fleet")
		if t.node.Pass(ctx, "node", m) != nil {
			m.Drop()
		}
	}
}

// spawned tells the mouths which actor to ask.
func (t *topActor) spawned(ctx actor.Context, name string, pid *actor.PID) {
	if name == "configuration" {
		t.n.control.Attach(pid)
		return
	}
	if last := t.n.member.last.Load(); last != nil {
		ctx.Send(pid, last)
	}
}

func (t *topActor) changed(s supervisor.StateChanged) {
	if s.Err == nil {
		return
	}
	t.n.o.Log.Error("a part of the node failed", "part", s.Child, "reason", s.Site, "again", s.Delay)
	t.n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, t.n.recorder.Node(), &chivev1.ActorFailed{
		Reason: s.Child + ": " + s.Site, Restarted: s.State == supervisor.StateBackoff,
	}))
	t.n.recorder.Emit(s.Event(t.n.recorder.Node(), s.Kind+"/"+s.Child, chivev1.Outcome_OUTCOME_INTERNAL))
	if t.down != nil && s.Child == "node" {
		t.down.reply.Send(struct{}{})
	}
}
