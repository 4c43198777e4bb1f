package pow

import (
	"context"
	"math"
	"math/bits"

	"chive/tor/equix"
	"chive/tor/hashx"
)

// MaxEffort is the most a client ever spends on one introduction.
const MaxEffort = 10000

const (
	minRetryEffort = 8
	doubleUntil    = 1000
)

// Effort is what a client spends on an introduction: what the descriptor
// suggests at first, then after every failure through the same introduction
// point twice as much, from 1000 half as much again, at least 8 and never more
// than [MaxEffort]. Zero is no proof at all.
func Effort(suggested uint32, failures int) uint32 {
	effort := min(suggested, MaxEffort)
	for range failures {
		if effort == MaxEffort {
			break
		}
		if effort < doubleUntil {
			effort *= 2
		} else {
			effort += effort / 2
		}
		effort = min(max(effort, minRetryEffort), MaxEffort)
	}
	return effort
}

// Rounded is an effort up to a power of two, for logs: so it tells neither service nor client.
func Rounded(effort uint32) uint32 {
	switch {
	case effort == 0:
		return 0
	case effort > 1<<31:
		return math.MaxUint32
	}
	return 1 << bits.Len32(effort-1)
}

// Solver searches for proofs. It holds the megabytes an [equix.Solver] does and
// is for one goroutine at a time.
type Solver struct {
	equix     *equix.Solver
	solutions []equix.Solution
}

// NewSolver allocates a solver, which computes with machine code if it is given
// a memory for it, of its own (see [equix.NewSolver]).
func NewSolver(memory hashx.Memory) *Solver {
	return &Solver{equix: equix.NewSolver(memory), solutions: make([]equix.Solution, 0, equix.MaxSolutions)}
}

// Compiled reports whether the last nonce was tried with machine code.
func (s *Solver) Compiled() bool { return s.equix.Compiled() }

// Solve searches nonces from first on, which the caller draws at random, until
// one gives a proof of the puzzle's effort. That takes a time that has an
// exponential distribution and no bound, so the caller sets one: when ctx ends
// Solve returns its cause, after the nonce it is at: that is some ten milliseconds
// with machine code, and some forty without.
func (s *Solver) Solve(ctx context.Context, p Puzzle, first Nonce) (Proof, error) {
	c := p.challenge(first)
	for nonce := first; ; nonce.next() {
		if ctx.Err() != nil {
			return Proof{}, context.Cause(ctx)
		}
		c.setNonce(nonce)
		solutions, err := s.equix.Solve(s.solutions[:0], c.equix())
		if err != nil { // no hash function for this nonce: as good as no solution
			continue
		}
		for _, solution := range solutions {
			b := solution.Bytes()
			if copy(c.solution(), b[:]); c.pays() {
				return Proof{Nonce: nonce, Effort: p.Effort, SeedHead: p.Seed.Head(), Solution: solution}, nil
			}
		}
	}
}
