package pow

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// solved is a proof of no effort for what a gate offers now.
func solved(t *testing.T, solver *Solver, seed Seed, first byte) Proof {
	t.Helper()
	p, err := solver.Solve(t.Context(), Puzzle{Seed: seed}, Nonce{15: first})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSeedsAreAcceptedForTwoLives(t *testing.T) {
	g, err := NewGate(rand.Reader, start)
	if err != nil {
		t.Fatal(err)
	}
	solver := NewSolver(memory(t))
	first := g.Params(0)
	proof := solved(t, solver, first.Seed, 0)
	if rotated, err := g.Rotate(first.Expires.Add(-time.Second)); rotated || err != nil {
		t.Fatalf("rotated %v, %v before the seed expired", rotated, err)
	}
	if rotated, err := g.Rotate(first.Expires); !rotated || err != nil {
		t.Fatalf("rotated %v, %v when the seed expired", rotated, err)
	}
	if g.Params(0).Seed == first.Seed {
		t.Fatal("the seed offered is still the one that expired")
	}
	if err := g.Verify([32]byte{}, &proof); err != nil {
		t.Errorf("proof for the previous seed: %v", err)
	}
	if err := g.Verify([32]byte{}, &proof); !errors.Is(err, ErrReplay) {
		t.Errorf("proof for the previous seed again: %v, want ErrReplay", err)
	}
	if _, err := g.Rotate(g.NextRotation()); err != nil {
		t.Fatal(err)
	}
	if err := g.Verify([32]byte{}, &proof); !errors.Is(err, ErrSeed) {
		t.Errorf("proof for the seed before the previous: %v, want ErrSeed", err)
	}
}

// Before the first rotation there is no previous seed, not one of zeros.
func TestNoSeedBeforeTheFirst(t *testing.T) {
	g := gateFor(t, Seed{1})
	proof := Proof{}
	if err := g.Verify([32]byte{}, &proof); !errors.Is(err, ErrSeed) {
		t.Errorf("a proof for a seed of zeros: %v, want ErrSeed", err)
	}
}

func TestSeedLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOfN(rapid.Byte(), 40, 40).Filter(func(b []byte) bool {
			return !bytes.Equal(b[:4], make([]byte, 4))
		}).Draw(t, "random")
		g, err := NewGate(bytes.NewReader(draw), start)
		if err != nil {
			t.Fatal(err)
		}
		life := g.NextRotation().Sub(start)
		if life < 105*time.Minute || life > 120*time.Minute || life%time.Second != 0 {
			t.Fatalf("a seed lives %v, want 105 to 120 minutes", life)
		}
	})
}

// Two seeds in a row with the same head could not be told apart.
func TestSeedsInARowHaveOtherHeads(t *testing.T) {
	same, other := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	life := make([]byte, 8)
	g, err := NewGate(bytes.NewReader(bytes.Join([][]byte{same, life, same, other, life}, nil)), start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Rotate(g.NextRotation()); err != nil {
		t.Fatal(err)
	}
	if got := g.Params(0).Seed; got != Seed(other) {
		t.Errorf("the second seed is %x, want the next draw", got)
	}
}

func TestBrokenRandomChangesNothing(t *testing.T) {
	broken := errors.New("broken")
	if _, err := NewGate(iotest.ErrReader(broken), start); !errors.Is(err, broken) {
		t.Errorf("new gate: %v, want %v", err, broken)
	}
	g := gateFor(t, Seed{1})
	g.random = io.MultiReader(bytes.NewReader(make([]byte, 32)), iotest.ErrReader(broken))
	before := g.Params(0)
	if rotated, err := g.Rotate(before.Expires); rotated || !errors.Is(err, broken) {
		t.Errorf("rotated %v, %v, want %v", rotated, err, broken)
	}
	if g.Params(0) != before || g.previous.used != nil {
		t.Errorf("a failed rotation left %v", g.Params(0))
	}
}

// However many proofs come, memory is bounded, none is accepted twice, and what
// is suggested is accepted.
func TestRememberedProofsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 16
		g := generation{used: map[Nonce]uint32{}}
		accepted := map[Nonce]bool{}
		efforts := rapid.SliceOfN(rapid.Uint32Range(0, 40), 1, 200).Draw(t, "efforts")
		for i, effort := range efforts {
			p := Proof{Nonce: Nonce{byte(i % 150)}, Effort: effort}
			_, used := g.used[p.Nonce]
			if used || uint64(effort) < g.floor {
				continue
			}
			if accepted[p.Nonce] && g.floor == 0 {
				t.Fatalf("proof %d is forgotten though nothing was too cheap", i)
			}
			accepted[p.Nonce] = true
			g.remember(&p, limit)
			if len(g.used) >= limit {
				t.Fatalf("%d proofs are remembered", len(g.used))
			}
		}
		for n, effort := range g.used {
			if uint64(effort) < g.floor {
				t.Fatalf("%x of effort %d is remembered below the floor %d", n, effort, g.floor)
			}
		}
	})
}

func TestFullGateAsksForMore(t *testing.T) {
	g := gateFor(t, Seed{1})
	g.limit = 2
	solver := NewSolver(memory(t))
	seed := g.Params(0).Seed
	for i := range byte(2) {
		proof := solved(t, solver, seed, i)
		if err := g.Verify([32]byte{}, &proof); err != nil {
			t.Fatalf("proof %d: %v", i, err)
		}
	}
	for i := range byte(2) { // forgotten, yet not accepted again
		proof := solved(t, solver, seed, i)
		if err := g.Verify([32]byte{}, &proof); !errors.Is(err, ErrCheap) {
			t.Errorf("proof %d again: %v, want ErrCheap", i, err)
		}
	}
	if got := g.Params(0).Suggested; got != 1 {
		t.Errorf("suggested %d, want 1, the least that is accepted", got)
	}
	if got := g.Params(5).Suggested; got != 5 {
		t.Errorf("suggested %d, want the queue's 5", got)
	}
	if _, err := g.Rotate(g.NextRotation()); err != nil {
		t.Fatal(err)
	}
	if got := g.Params(0).Suggested; got != 0 {
		t.Errorf("a new seed suggests %d, want 0", got)
	}
}
