package pow

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/internal/execmem"
	"chive/tor/equix"
	"chive/tor/hashx"
)

// memory is for machine code, or nil where there is none.
func memory(t testing.TB) hashx.Memory {
	t.Helper()
	if hashx.CodeSize == 0 {
		return nil
	}
	m, err := execmem.New(hashx.CodeSize)
	if err != nil {
		t.Logf("hashes are interpreted: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

var start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func unhex(t *testing.T, s string, into []byte) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || copy(into, b) != len(into) || len(b) != len(into) {
		t.Fatalf("%q is not %d bytes in hex: %v", s, len(into), err)
	}
}

// vector is a puzzle, the nonce a search is to start at, and what it finds.
type vector struct {
	puzzle Puzzle
	first  Nonce
	proof  Proof
}

func readVectors(t *testing.T) (all []vector) {
	t.Helper()
	f, err := os.Open("testdata/solve.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if words[0] == "#" || len(words) != 6 {
			continue
		}
		var v vector
		effort, err := strconv.ParseUint(words[0], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		v.puzzle.Effort = uint32(effort)
		unhex(t, words[1], v.first[:])
		unhex(t, words[2], v.puzzle.Seed[:])
		unhex(t, words[3], v.puzzle.BlindedID[:])
		v.proof = Proof{Effort: v.puzzle.Effort, SeedHead: v.puzzle.Seed.Head()}
		unhex(t, words[4], v.proof.Nonce[:])
		var solution [equix.Size]byte
		unhex(t, words[5], solution[:])
		v.proof.Solution = equix.ParseSolution(solution)
		all = append(all, v)
	}
	if len(all) != 20 {
		t.Fatalf("%d vectors, want 20", len(all))
	}
	return all
}

// gateFor is a gate whose present seed is given.
func gateFor(t *testing.T, seed Seed) *Gate {
	t.Helper()
	g, err := NewGate(rand.Reader, start)
	if err != nil {
		t.Fatal(err)
	}
	g.current.seed = seed
	return g
}

func TestSolverFindsPublishedProofs(t *testing.T) {
	solver := NewSolver(memory(t))
	for i, v := range readVectors(t) {
		got, err := solver.Solve(t.Context(), v.puzzle, v.first)
		if err != nil {
			t.Fatalf("vector %d: %v", i, err)
		}
		if got != v.proof {
			t.Errorf("vector %d:\n%x, want\n%x", i, got, v.proof)
		}
	}
}

func TestGateAcceptsPublishedProofsOnce(t *testing.T) {
	for i, v := range readVectors(t) {
		g := gateFor(t, v.puzzle.Seed)
		if err := g.Verify(v.puzzle.BlindedID, &v.proof); err != nil {
			t.Errorf("vector %d: %v", i, err)
		}
		if err := g.Verify(v.puzzle.BlindedID, &v.proof); !errors.Is(err, ErrReplay) {
			t.Errorf("vector %d again: %v, want ErrReplay", i, err)
		}
	}
}

// The refusals of the published vectors, and that none of them is remembered.
func TestGateRefuses(t *testing.T) {
	var good vector
	for _, v := range readVectors(t) {
		if v.puzzle.Effort == 100_000 && v.puzzle.Seed[0] == 0x86 {
			good = v
		}
	}
	for name, c := range map[string]struct {
		change func(*Proof, *Puzzle)
		want   error
	}{
		"a solution of all zeros": {func(p *Proof, z *Puzzle) {
			*z = Puzzle{}
			unhex(t, strings.Repeat("11", 32), z.BlindedID[:])
			*p = Proof{Effort: 1}
		}, ErrSolution},
		"all zeros at a higher effort": {func(p *Proof, z *Puzzle) {
			*z = Puzzle{}
			unhex(t, strings.Repeat("11", 32), z.BlindedID[:])
			*p = Proof{Effort: 10}
		}, ErrEffort},
		"another seed's head":  {func(p *Proof, _ *Puzzle) { p.SeedHead[3]++ }, ErrSeed},
		"an effort just below": {func(p *Proof, _ *Puzzle) { p.Effort-- }, ErrEffort},
		"a changed nonce":      {func(p *Proof, _ *Puzzle) { p.Nonce[8] = 0xa2 }, ErrEffort},
		"another service":      {func(_ *Proof, z *Puzzle) { z.BlindedID[0]++ }, ErrEffort},
		"the indices out of order": {func(p *Proof, _ *Puzzle) {
			p.Effort = 0
			p.Solution[0], p.Solution[1] = p.Solution[1], p.Solution[0]
		}, ErrSolution},
	} {
		t.Run(name, func(t *testing.T) {
			proof, puzzle := good.proof, good.puzzle
			c.change(&proof, &puzzle)
			g := gateFor(t, puzzle.Seed)
			for range 2 { // a refused proof is not a replay when it comes again
				if err := g.Verify(puzzle.BlindedID, &proof); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
			if len(g.current.used) != 0 {
				t.Errorf("%d refused proofs are remembered", len(g.current.used))
			}
		})
	}
}

func TestSolveEndsWithItsContext(t *testing.T) {
	cause := errors.New("the stream was closed")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := NewSolver(memory(t)).Solve(ctx, Puzzle{Effort: 1 << 31}, Nonce{}); !errors.Is(err, cause) {
		t.Errorf("%v, want the context's cause", err)
	}
}

func TestNonceCountsLittleEndian(t *testing.T) {
	for from, to := range map[Nonce]Nonce{
		{}:                {1},
		{0xff, 0xff, 7}:   {0, 0, 8},
		{0xff, 0xfe, 0xf}: {0, 0xff, 0xf},
	} {
		got := from
		if got.next(); got != to {
			t.Errorf("after %x comes %x, want %x", from, got, to)
		}
	}
	var all Nonce
	for i := range all {
		all[i] = 0xff
	}
	if all.next(); all != (Nonce{}) {
		t.Errorf("the last nonce is followed by %x, want zero", all)
	}
}

func TestEffortOfAttempts(t *testing.T) {
	for _, c := range []struct {
		suggested uint32
		failures  int
		want      uint32
	}{
		{0, 0, 0},
		{0, 1, 8},
		{0, 2, 16},
		{1, 1, 8},
		{5, 1, 10},
		{7, 0, 7},
		{999, 1, 1998},
		{1000, 1, 1500},
		{1000, 2, 2250},
		{1001, 1, 1501},
		{9999, 1, 10000},
		{10000, 3, 10000},
		{20000, 0, 10000},
		{1<<32 - 1, 5, 10000},
		{0, 1 << 30, 10000},
	} {
		if got := Effort(c.suggested, c.failures); got != c.want {
			t.Errorf("suggested %d, %d failures: %d, want %d", c.suggested, c.failures, got, c.want)
		}
	}
}

func TestEffortsAreRounded(t *testing.T) {
	for effort, want := range map[uint32]uint32{0: 0, 1: 1, 2: 2, 3: 4, 8: 8, 9: 16, 1 << 31: 1 << 31, 1<<31 + 1: 1<<32 - 1, 1<<32 - 1: 1<<32 - 1} {
		if got := Rounded(effort); got != want {
			t.Errorf("%d: %d, want %d", effort, got, want)
		}
	}
}

func TestParamsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Params{
			Seed:      Seed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")),
			Suggested: rapid.Uint32().Draw(t, "effort"),
			Expires:   time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "expires"), 0).UTC(),
		}
		args := strings.Fields(want.String())
		unpadded := append([]string(nil), args...)
		unpadded[1] = strings.TrimSuffix(args[1], "=")
		for _, form := range [][]string{args, unpadded, append(args, "more")} {
			if got, err := ParseParams(form); err != nil || got != want {
				t.Fatalf("%q: %v, %v, want %v", form, got, err, want)
			}
		}
	})
}

func TestParamsRefused(t *testing.T) {
	seed := strings.Repeat("A", 43) + "="
	for _, line := range []string{
		"v1", "v1 " + seed, "v1 " + seed + " 1",
		"v1 AAAA 1 2026-07-01T12:00:00",
		"v1 " + seed + "= 1 2026-07-01T12:00:00",
		"v1 " + seed + " 4294967296 2026-07-01T12:00:00",
		"v1 " + seed + " -1 2026-07-01T12:00:00",
		"v1 " + seed + " 1 2026-07-01",
		"v1 " + seed + " 1 2026-07-01T12:00:00.5",
		"v1 " + seed + " 1 2026-13-01T12:00:00",
	} {
		if got, err := ParseParams(strings.Fields(line)); err == nil || errors.Is(err, ErrScheme) {
			t.Errorf("%q is read as %v, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "v2 x"} {
		if _, err := ParseParams(strings.Fields(line)); !errors.Is(err, ErrScheme) {
			t.Errorf("%q: %v, want ErrScheme", line, err)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add("v1 " + strings.Repeat("A", 43) + " 1 2026-07-01T12:00:00")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := ParseParams(strings.Fields(line))
		if err != nil {
			return
		}
		if again, err := ParseParams(strings.Fields(p.String())); err != nil || again != p {
			t.Errorf("%q is read as %v, written and read as %v, %v", line, p, again, err)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add((&Proof{Effort: 7}).Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParseProof(body)
		if err != nil {
			return
		}
		if again := p.Append(nil); string(again) != string(body) {
			t.Errorf("%x is read as %v, written as %x", body, p, again)
		}
	})
}

func TestProofExtension(t *testing.T) {
	p := Proof{
		Nonce: Nonce{0xa0, 15: 0xaf}, Effort: 0x01020304, SeedHead: SeedHead{0xb0, 0xb1, 0xb2, 0xb3},
		Solution: equix.Solution{0xc0c1, 7: 0xd0d1},
	}
	want := "01" + "a0" + strings.Repeat("00", 14) + "af" + "01020304" + "b0b1b2b3" + "c1c0" + strings.Repeat("00", 12) + "d1d0"
	body := p.Append(nil)
	if got := hex.EncodeToString(body); got != want || len(body) != ExtensionSize {
		t.Errorf("%d bytes %s, want %d bytes %s", len(body), got, ExtensionSize, want)
	}
	if got, err := ParseProof(body); err != nil || got != p {
		t.Errorf("read as %v, %v", got, err)
	}
	other := append([]byte{2}, body[1:]...)
	for _, bad := range [][]byte{nil, body[:40], append(body, 0), other} {
		if _, err := ParseProof(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v, want ErrMalformed", bad, err)
		}
	}
}
