package node

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
)

// topActor starts the node's actor anew, with all its parts, should it fail
// itself. There is nobody above who would.
type topActor struct {
	n    *Node
	node *supervisor.Children // the rootActor alone
	down *shutdown
}

func newTop(n *Node) (*topActor, error) {
	t := &topActor{n: n}
	var err error
	t.node, err = supervisor.NewChildren(supervisor.Options{
		Strategy: supervisor.Service(), OnChange: t.changed, Rand: newRand(),
	})
	return t, err
}

// Receive is the actor's table of messages.
func (t *topActor) Receive(ctx actor.Context) {
	if t.node.Receive(ctx) {
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.node.Supervise(ctx, supervisor.Supervise{Name: "node", Props: t.n.rootProps})
	case *stopListening:
		_ = t.node.Pass(ctx, "node", m) // what is not there has no listeners
	case *shutdown:
		t.down = m
		t.node.Halt()
		if t.node.Pass(ctx, "node", m) != nil {
			m.reply.Send(struct{}{})
		}
	}
}

func (t *topActor) changed(s supervisor.StateChanged) {
	if s.Err == nil {
		return
	}
	t.n.o.Log.Error("the node's actor failed", "reason", s.Site, "again", s.Delay)
	t.n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, t.n.recorder.Node(), &chivev1.ActorFailed{
		Reason: s.Child + ": " + s.Site, Restarted: s.State == supervisor.StateBackoff,
	}))
	t.n.recorder.Emit(s.Event(t.n.recorder.Node(), s.Kind+"/"+s.Child, chivev1.Outcome_OUTCOME_INTERNAL))
	if t.down != nil {
		t.down.reply.Send(struct{}{})
	}
}
