package onions

import (
	"context"
	crand "crypto/rand"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/internal/execmem"
	"chive/tor/hashx"
	"chive/tor/onion/client"
	"chive/tor/onion/pow"
)

// solve has a proof of work searched for, when no other is.
func (a *serviceActor) solve(ctx actor.Context, m *client.Solve) {
	c := a.circuits[m.ID]
	if c == nil {
		return
	}
	c.effort = m.Puzzle.Effort
	work, cancel := context.WithCancel(context.Background())
	a.endWork(m.ID)
	a.work[m.ID] = cancel
	root, self, turn := ctx.ActorSystem().Root, ctx.Self(), a.s.solver
	kernel.Go("proof of work", func() {
		root.Send(self, &solved{m.ID, Search(work, turn, m.Puzzle)})
	}, func(*kernel.Panic) { root.Send(self, &solved{id: m.ID}) })
}

// Search gives a proof, or nil when ctx ends before. turn holds one: who searches.
func Search(ctx context.Context, turn chan struct{}, p pow.Puzzle) *pow.Proof {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil
	}
	var memory hashx.Memory
	if pages, err := execmem.New(hashx.CodeSize); err == nil { // else it is slower
		defer func() { _ = pages.Close() }()
		memory = pages
	}
	var first pow.Nonce
	_, _ = crand.Read(first[:]) // never fails; see crypto/rand
	proof, err := pow.NewSolver(memory).Solve(ctx, p, first)
	if err != nil {
		return nil
	}
	return &proof
}
