package equix

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chive/internal/execmem"
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

// vectors are the published ones of C tor's tests.
var vectors = []struct {
	challenge string
	solutions []Solution
}{
	{"zzz", []Solution{{0xae21, 0xd392, 0x3215, 0xdd9c, 0x2f08, 0x93df, 0x232c, 0xe5dc}}},
	{"rrr", []Solution{{0x0873, 0x57a8, 0x73e0, 0x912e, 0x1ca8, 0xad96, 0x9abd, 0xd7de}}},
	{"qqq", nil},
	{"0123456789", nil},
	{"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", nil},
	{"", []Solution{
		{0x0098, 0x3a4d, 0xc489, 0xcfba, 0x7ef3, 0xa498, 0xa00f, 0xec20},
		{0x78d8, 0x8611, 0xa4df, 0xec19, 0x0927, 0xa729, 0x842f, 0xf771},
		{0x54b5, 0xcc11, 0x1593, 0xe624, 0x9357, 0xb339, 0xb138, 0xed99},
	}},
	{"a", []Solution{
		{0x4b38, 0x8c81, 0x9255, 0xad99, 0x5ce7, 0xeb3e, 0xc635, 0xee38},
		{0x3f9e, 0x659b, 0x9ae6, 0xb891, 0x63ae, 0x777c, 0x06ca, 0xc593},
		{0x2227, 0xa173, 0x365a, 0xb47d, 0x1bb2, 0xa077, 0x0d5e, 0xf25f},
	}},
	{"abc", []Solution{
		{0x371f, 0x8865, 0x8189, 0xfbc3, 0x26df, 0xe4c0, 0xab39, 0xfe5a},
		{0x2101, 0xb88f, 0xc525, 0xccb3, 0x5785, 0xa41e, 0x4fba, 0xed18},
	}},
	{"abce", []Solution{
		{0x4fca, 0x72eb, 0x101f, 0xafab, 0x1add, 0x2d71, 0x75a3, 0xc978},
		{0x17f1, 0x7aa6, 0x23e3, 0xab00, 0x7e2f, 0x917e, 0x16da, 0xda9e},
		{0x70ee, 0x7757, 0x8a54, 0xbd2b, 0x90e4, 0xe31e, 0x2085, 0xe47e},
		{0x62c5, 0x86d1, 0x5752, 0xe1f0, 0x12da, 0x8f33, 0x7336, 0xf161},
	}},
	{"01234567890123456789", []Solution{
		{0x4803, 0x6775, 0xc5c9, 0xd1b0, 0x1bc3, 0xe4f6, 0x4027, 0xf5ad},
		{0x5a8a, 0x9542, 0xef99, 0xf0b9, 0x4905, 0x4e29, 0x2da5, 0xfbd5},
		{0x4c79, 0xc935, 0x2bcb, 0xcd0f, 0x0362, 0x9fa9, 0xa62e, 0xf83a},
		{0x5878, 0x6edf, 0x1e00, 0xf5e3, 0x43de, 0x9212, 0xd01e, 0xfd11},
		{0x0b69, 0x2d17, 0x01be, 0x6cb4, 0x0fba, 0x4a9e, 0x8d75, 0xa50f},
	}},
}

// The order in which a solver finds solutions is its own: they are compared as
// sets.
func sorted(s []Solution) []Solution {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b Solution) int {
		return slices.CompareFunc(a[:], b[:], cmp.Compare[uint16])
	})
	return s
}

func TestSolverFindsPublishedSolutions(t *testing.T) {
	solver, verifier := NewSolver(memory(t)), new(Verifier)
	for i, v := range vectors {
		if i == len(vectors)-1 { // the one with most solutions, without machine code
			solver = NewSolver(nil)
		}
		got, err := solver.Solve(nil, []byte(v.challenge))
		if err != nil {
			t.Fatalf("challenge %q: %v", v.challenge, err)
		}
		if !slices.Equal(sorted(got), sorted(v.solutions)) {
			t.Errorf("challenge %q:\n%04x, want\n%04x", v.challenge, got, v.solutions)
		}
		for _, s := range v.solutions {
			if err := verifier.Verify([]byte(v.challenge), s); err != nil {
				t.Errorf("challenge %q, solution %04x: %v", v.challenge, s, err)
			}
			disordered, wrong := s, s
			disordered[0], disordered[1] = s[1], s[0]
			wrong[0]++
			if err := verifier.Verify([]byte(v.challenge), disordered); !errors.Is(err, ErrOrder) {
				t.Errorf("challenge %q, disordered %04x: %v, want ErrOrder", v.challenge, disordered, err)
			}
			if err := verifier.Verify([]byte(v.challenge), wrong); !errors.Is(err, ErrSum) {
				t.Errorf("challenge %q, wrong %04x: %v, want ErrSum", v.challenge, wrong, err)
			}
		}
	}
}

// HashX's own refusal is the challenge's.
func TestChallengeWithoutFunctionIsRefused(t *testing.T) {
	for _, challenge := range []string{"bsipdp", "espceob"} {
		if _, err := NewSolver(memory(t)).Solve(nil, []byte(challenge)); !errors.Is(err, hashx.ErrSeed) {
			t.Errorf("solve %q: %v, want ErrSeed", challenge, err)
		}
		if err := new(Verifier).Verify([]byte(challenge), Solution{}); !errors.Is(err, hashx.ErrSeed) {
			t.Errorf("verify %q: %v, want ErrSeed", challenge, err)
		}
	}
}

// The original implementation finds 38 solutions to the challenges 0 to 19.
func TestSolverFindsAsManyAsTheOriginal(t *testing.T) {
	solver, verifier := NewSolver(memory(t)), new(Verifier)
	found := map[Solution]bool{}
	for i := range uint32(20) {
		challenge := binary.LittleEndian.AppendUint32(nil, i)
		solutions, err := solver.Solve(nil, challenge)
		if err != nil {
			t.Fatalf("challenge %d: %v", i, err)
		}
		for _, s := range solutions {
			if err := verifier.Verify(challenge, s); err != nil {
				t.Errorf("challenge %d, solution %04x: %v", i, s, err)
			}
			found[s] = true
		}
	}
	if len(found) != 38 {
		t.Errorf("%d solutions, want 38", len(found))
	}
}

// Of all the orders of eight different indices one is canonical for each way to
// pair them up, and one solves; 314 others pass the order and fail the sum.
func TestOnePermutationSolves(t *testing.T) {
	challenge := []byte{0, 0, 0, 0}
	solutions, err := NewSolver(memory(t)).Solve(nil, challenge)
	if err != nil || len(solutions) != 1 {
		t.Fatalf("%04x, %v: want one solution", solutions, err)
	}
	var verifier Verifier
	verdicts := map[error]int{}
	permute(solutions[0], 0, func(s Solution) { verdicts[verifier.Verify(challenge, s)]++ })
	want := map[error]int{nil: 1, ErrSum: 314, ErrOrder: 40320 - 315}
	for verdict, n := range want {
		if verdicts[verdict] != n {
			t.Errorf("%d permutations give %v, want %d", verdicts[verdict], verdict, n)
		}
	}
}

func permute(s Solution, from int, f func(Solution)) {
	if from == len(s)-1 {
		f(s)
		return
	}
	for i := from; i < len(s); i++ {
		s[from], s[i] = s[i], s[from]
		permute(s, from+1, f)
		s[from], s[i] = s[i], s[from]
	}
}

func TestBytesAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Solution(rapid.SliceOfN(rapid.Uint16(), indices, indices).Draw(t, "indices"))
		if back := ParseSolution(s.Bytes()); back != s {
			t.Fatalf("%04x comes back as %04x", s, back)
		}
		ordered := s
		ordered.order()
		if !ordered.ordered() {
			t.Fatalf("%04x ordered is %04x, which is not", s, ordered)
		}
		if s.ordered() && s != ordered {
			t.Fatalf("%04x was in order, yet became %04x", s, ordered)
		}
	})
	if got := (Solution{0x0102, 7: 0xfffe}).Bytes(); got != [Size]byte{2, 1, 14: 0xfe, 15: 0xff} {
		t.Errorf("bytes %x are not little-endian", got)
	}
}

func TestSolverAndVerifierReuseTheirMemory(t *testing.T) {
	solver, verifier := NewSolver(memory(t)), new(Verifier)
	dst, challenge := make([]Solution, 0, MaxSolutions), []byte("zzz")
	if n := testing.AllocsPerRun(2, func() { _, _ = solver.Solve(dst, challenge) }); n != 0 {
		t.Errorf("%v allocations a challenge", n)
	}
	if n := testing.AllocsPerRun(10, func() { _ = verifier.Verify(challenge, vectors[0].solutions[0]) }); n != 0 {
		t.Errorf("%v allocations a verification", n)
	}
}

func BenchmarkSolve(b *testing.B) {
	for name, m := range map[string]hashx.Memory{"compiled": memory(b), "interpreted": nil} {
		b.Run(name, func(b *testing.B) {
			solver := NewSolver(m)
			dst := make([]Solution, 0, MaxSolutions)
			var challenge [4]byte
			for i := 0; b.Loop(); i++ {
				binary.LittleEndian.PutUint32(challenge[:], uint32(i))
				_, _ = solver.Solve(dst, challenge[:])
			}
		})
	}
}

// BenchmarkJoin is what a solution takes beyond the hashes.
func BenchmarkJoin(b *testing.B) {
	solver := NewSolver(nil)
	if err := solver.hash.Reset(nil); err != nil {
		b.Fatal(err)
	}
	solver.fill()
	bottom := solver.even
	for b.Loop() {
		solver.even = bottom
		solver.round(&solver.even, &solver.odd, &solver.pairs)
		solver.round(&solver.odd, &solver.even, &solver.quads)
		solver.last(nil)
	}
}

func BenchmarkVerify(b *testing.B) {
	var verifier Verifier
	for b.Loop() {
		if err := verifier.Verify([]byte("zzz"), vectors[0].solutions[0]); err != nil {
			b.Fatal(err)
		}
	}
}
