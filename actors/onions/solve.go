package onions

import (
	"context"
	crand "crypto/rand"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/internal/execmem"
	"chive/tor/hashx"
	"chive/tor/onion/client"
	"chive/tor/onion/pow"
)

// solve has a proof of work searched for, when it is its turn.
func (a *serviceActor) solve(ctx actor.Context, m *client.Solve) {
	c := a.circuits[m.ID]
	if c == nil {
		return
	}
	c.effort = m.Puzzle.Effort
	work, cancel := context.WithCancel(context.Background())
	a.endWork(m.ID)
	a.work[m.ID] = cancel
	root, self, turns := ctx.ActorSystem().Root, ctx.Self(), a.s.turns
	kernel.Go("proof of work", func() {
		root.Send(self, &solved{m.ID, Search(work, turns, m.Puzzle)})
	}, func(*kernel.Panic) { root.Send(self, &solved{id: m.ID}) })
}

// slice is how long a search goes on before it looks whether one of less effort waits.
const slice = 500 * time.Millisecond

// Search gives a proof, or nil when ctx ends before.
func Search(ctx context.Context, turns *Turns, p pow.Puzzle) *pow.Proof {
	place := turns.turn(p.Effort)
	for ctx.Err() == nil && turns.take(ctx, place) {
		proof, err := func() (pow.Proof, error) {
			defer turns.give()
			return search(ctx, p)
		}()
		if err == nil {
			return &proof
		}
	}
	return nil
}

// search is one turn. Nothing is kept between two, so that those who wait cost no memory.
func search(ctx context.Context, p pow.Puzzle) (pow.Proof, error) {
	var memory hashx.Memory
	if pages, err := execmem.New(hashx.CodeSize); err == nil { // else it is slower
		defer func() { _ = pages.Close() }()
		memory = pages
	}
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	var first pow.Nonce
	_, _ = crand.Read(first[:]) // never fails; see crypto/rand
	return pow.NewSolver(memory).Solve(ctx, p, first)
}
