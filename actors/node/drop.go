package node

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

// Who asks is not left waiting when the actor that would answer is not there, or stops before
// it comes to the question: the kernel drops what it never sees. One that is started anew
// begins with the configuration in force, and without identities.

// Drop implements kernel.Droppable.
func (m *shutdown) Drop() { m.reply.Send(struct{}{}) }

// Drop implements kernel.Droppable: it starts with what is in force then.
func (m *reconfigure) Drop() { m.reply.Send(struct{}{}) }

// Drop implements kernel.Droppable.
func (m *settle) Drop() { m.reply.Send(struct{}{}) }

// Drop implements kernel.Droppable.
func (m *renew) Drop() { m.reply.Send(0) }

// Drop implements kernel.Droppable.
func (m *identities) Drop() { m.reply.Send(IdentitiesAnswer{}) }

// drop drops a message that is passed on to nobody.
func drop(m any) {
	if d, ok := m.(kernel.Droppable); ok {
		d.Drop()
	}
}

// passOrDrop gives a message to a part, or answers in its place if it is not there just now.
func (r *rootActor) passOrDrop(ctx actor.Context, name string, m any) {
	if !r.pass(ctx, name, m) {
		drop(m)
	}
}
