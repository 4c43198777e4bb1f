package pow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"chive/tor/equix"
)

const (
	// A seed lives between 105 and 120 minutes, drawn when it is made, and is
	// accepted for one life more.
	seedLife   = 2 * time.Hour
	seedJitter = 15 * time.Minute

	// maxProofs bounds the proofs accepted, and remembered, with one seed: 20 MB
	// or so, reached by 70 proofs a second for a seed's whole life.
	maxProofs = 1 << 19
)

// Why a proof is refused.
var (
	ErrSeed     = errors.New("pow: the proof is for no seed that is valid now")
	ErrReplay   = errors.New("pow: the proof was used before")
	ErrCheap    = errors.New("pow: so many proofs are in use that one of this effort cannot be remembered")
	ErrEffort   = errors.New("pow: the proof is not worth the effort it claims")
	ErrSolution = errors.New("pow: the puzzle is not solved")
)

// generation is a seed and the proofs accepted with it.
type generation struct {
	seed  Seed
	used  map[Nonce]uint32 // with their efforts
	floor uint64           // the least effort that is accepted, and so remembered
}

// remember keeps a proof from being used again. When there are too many it
// forgets the cheaper half and raises the floor above them: whoever floods a
// service with proofs prices himself out, and no proof is ever used twice.
func (g *generation) remember(p *Proof, limit int) {
	g.used[p.Nonce] = p.Effort
	if len(g.used) < limit {
		return
	}
	efforts := slices.Sorted(maps.Values(g.used))
	g.floor = uint64(efforts[len(efforts)/2]) + 1
	maps.DeleteFunc(g.used, func(_ Nonce, effort uint32) bool { return uint64(effort) < g.floor })
}

// Gate is a service's side: the seeds it offers and the proofs it accepts, each
// once. It is for one goroutine at a time.
type Gate struct {
	random   io.Reader
	verifier equix.Verifier
	current  generation
	previous generation // has no map before the first rotation
	expires  time.Time
	limit    int       // proofs remembered a seed
	agreed   *schedule // nil: seeds are drawn
}

// NewGate makes a gate with a first seed. It fails only if random does.
func NewGate(random io.Reader, now time.Time) (*Gate, error) {
	g := &Gate{random: random, limit: maxProofs}
	if err := g.renew(now); err != nil {
		return nil, err
	}
	return g, nil
}

// Params is what the descriptor offers. The effort suggested is the queue's, or
// more where less is not accepted.
func (g *Gate) Params(suggested uint32) Params {
	floor := uint32(min(g.current.floor, math.MaxUint32))
	return Params{Seed: g.current.seed, Suggested: max(suggested, floor), Expires: g.expires}
}

// clockOff is by how much the time of day at which a seed expires may be off before the
// descriptor is to say another.
const clockOff = time.Minute

// Rotate makes a new seed if the present one has expired, and forgets the one
// before it with its proofs. It reports whether it did, or whether the clock was set, so
// that the seed expires at another time of day: then the descriptor is
// to be published anew. It fails only if the random source does, and then
// changes nothing.
func (g *Gate) Rotate(now time.Time) (bool, error) {
	if g.agreed != nil {
		// What is agreed follows from the time of day, be it an earlier one than before.
		if now.Before(g.expires) && !now.Before(g.expires.Add(-turnLength)) {
			return false, nil
		}
		g.turn(now)
		return true, nil
	}
	if now.Before(g.expires) {
		return g.setClock(now), nil
	}
	if err := g.renew(now); err != nil {
		return false, err
	}
	return true, nil
}

// setClock has a seed that is drawn live as long as it was to, whatever the time of day is:
// clients go by that, and for them one that expired by a clock that was wrong is over.
func (g *Gate) setClock(now time.Time) bool {
	expires := now.Add(g.expires.Sub(now))
	off := expires.Round(0).Sub(g.expires.Round(0)).Abs() > clockOff
	if off {
		g.expires = expires
	}
	return off
}

// NextRotation is when the seed expires.
func (g *Gate) NextRotation() time.Time { return g.expires }

// renew makes the current seed the previous one. Two seeds in a row never have
// the same head, by which proofs name them.
func (g *Gate) renew(now time.Time) error {
	next := generation{used: map[Nonce]uint32{}}
	for drawn := false; !drawn; drawn = next.seed.Head() != g.current.seed.Head() {
		if _, err := io.ReadFull(g.random, next.seed[:]); err != nil {
			return fmt.Errorf("draw a proof-of-work seed: %w", err)
		}
	}
	var draw [8]byte
	if _, err := io.ReadFull(g.random, draw[:]); err != nil {
		return fmt.Errorf("draw a proof-of-work seed's life: %w", err)
	}
	earlier := time.Duration(binary.BigEndian.Uint64(draw[:])%uint64(seedJitter/time.Second+1)) * time.Second
	g.previous, g.current = g.current, next
	g.expires = now.Add(seedLife - earlier)
	return nil
}

// Verify accepts a proof for a descriptor's blinded identity, once, or says why
// not. The checks are in the specification's order, which is that of their
// cost: looking up seed and nonce takes nanoseconds, the hash that shows the
// effort a microsecond, the puzzle a tenth of a millisecond; only a proof that
// was worth its effort is ever remembered.
func (g *Gate) Verify(blindedID [32]byte, p *Proof) error {
	at := g.generation(p.SeedHead)
	if at == nil {
		return ErrSeed
	}
	if _, used := at.used[p.Nonce]; used {
		return ErrReplay
	}
	if uint64(p.Effort) < at.floor {
		return ErrCheap
	}
	puzzle := Puzzle{BlindedID: blindedID, Seed: at.seed, Effort: p.Effort}
	c := puzzle.challenge(p.Nonce)
	solution := p.Solution.Bytes()
	if copy(c.solution(), solution[:]); !c.pays() {
		return ErrEffort
	}
	if err := g.verifier.Verify(c.equix(), p.Solution); err != nil {
		return fmt.Errorf("%w: %w", ErrSolution, err)
	}
	at.remember(p, g.limit)
	return nil
}

// generation finds a valid seed by its head.
func (g *Gate) generation(head SeedHead) *generation {
	for _, at := range [2]*generation{&g.current, &g.previous} {
		if at.used != nil && at.seed.Head() == head {
			return at
		}
	}
	if g.agreed != nil && g.agreed.next.seed.Head() == head {
		return &g.agreed.next
	}
	return nil
}
