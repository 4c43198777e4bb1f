//go:build amd64 && linux

package hashx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"chive/internal/execmem"
)

func newMemory(t testing.TB) *execmem.Pages {
	t.Helper()
	m, err := execmem.New(CodeSize)
	if err != nil {
		t.Skipf("no memory for machine code: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestCompiledSumsArePublishedVectors(t *testing.T) {
	m := newMemory(t)
	for _, v := range vectors {
		var f Function
		if err := f.Reset([]byte(v.seed)); err != nil {
			t.Fatalf("seed %q: %v", v.seed, err)
		}
		want := f.Sum64(v.word)
		if err := f.Compile(m); err != nil || !f.Compiled() {
			t.Fatalf("compile: %v, compiled %v", err, f.Compiled())
		}
		if got := f.Sum64(v.word); got != want {
			t.Errorf("seed %q, word %d: %x, want %x", v.seed, v.word, got, want)
		}
	}
}

// Machine code and interpreter agree, on thousands of programs, most with
// words that branch and words that do not.
func TestCompiledIsInterpreted(t *testing.T) {
	m := newMemory(t)
	programs := 4000
	if testing.Short() {
		programs = 400
	}
	var f Function
	var got, want [9]uint64
	for i := range programs {
		seed := binary.LittleEndian.AppendUint64([]byte("compiled"), uint64(i))
		if f.Reset(seed) != nil {
			continue
		}
		first := uint64(i) * 0x9e3779b97f4a7c15
		for j := range want {
			want[j] = f.Sum64(first + uint64(j))
		}
		if err := f.Compile(m); err != nil {
			t.Fatal(err)
		}
		if f.Fill(got[:], first); got != want {
			t.Fatalf("seed %x from word %d:\n%x, interpreted\n%x", seed, first, got, want)
		}
	}
}

func TestCompiledIsInterpretedForAnySeed(t *testing.T) {
	m := newMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		var f Function
		if f.Reset(rapid.SliceOf(rapid.Byte()).Draw(t, "seed")) != nil {
			t.Skip("no program")
		}
		got, want := make([]uint64, rapid.IntRange(0, 2*uninterrupted+1).Draw(t, "n")), []uint64(nil)
		first := rapid.Uint64().Draw(t, "first")
		for i := range got {
			want = append(want, f.Sum64(first+uint64(i)))
		}
		if err := f.Compile(m); err != nil {
			t.Fatal(err)
		}
		f.Fill(got, first)
		if !slices.Equal(got, want) {
			t.Fatalf("%x, interpreted %x", got, want)
		}
	})
}

// Every op, on every pair of registers it may have, with constants at the ends
// of their ranges.
func TestEveryInstructionCompiles(t *testing.T) {
	m := newMemory(t)
	f := Function{registers: sipKey{1, 2, 3, 4}}
	for o := range opNone {
		for dst := range uint8(8) {
			for src := range uint8(8) {
				for _, imm := range []uint32{0, 1, 2, 3, 63, 1 << 31, ^uint32(0)} {
					if o == opAddShifted && (imm > 3 || dst == leaBarred) || o == opRotate && imm > 63 {
						continue
					}
					f.entry = 0
					f.program = program{}
					for i := range f.program { // rotations stand for nothing
						f.program[i] = instruction{op: opRotate, imm: 0}
					}
					f.program[3] = instruction{op: opTarget}
					f.program[5] = instruction{op: o, dst: dst, src: src, imm: imm}
					f.program[6] = instruction{op: opAddConst, dst: 2, imm: 0x1234}
					f.program[7] = instruction{op: opBranch, imm: 0x10}
					want := f.Sum64(77)
					if err := f.Compile(m); err != nil {
						t.Fatal(err)
					}
					if got := f.Sum64(77); got != want {
						t.Fatalf("%+v: %x, interpreted %x", f.program[5], got, want)
					}
				}
			}
		}
	}
}

// Collections, stack growth, preemption and profiling signals meet machine code
// at any instruction.
func TestCompiledUnderTheRuntime(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Skipf("profiling is under way: %v", err)
	}
	defer pprof.StopCPUProfile()
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	var workers sync.WaitGroup
	for w := range 4 {
		m := newMemory(t)
		workers.Go(func() {
			var f Function
			if err := f.Reset([]byte{byte(w)}); err != nil {
				t.Error(err)
				return
			}
			want := make([]uint64, 300)
			f.Fill(want, 0)
			if err := f.Compile(m); err != nil {
				t.Error(err)
				return
			}
			for range 300 {
				got := make([]uint64, len(want))
				deep(40, func() { f.Fill(got, 0) })
				if !slices.Equal(got, want) {
					t.Errorf("worker %d: wrong hashes", w)
					return
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	collector.Wait()
}

// deep calls f from a stack that has to grow.
func deep(n int, f func()) byte {
	var frame [256]byte
	if n == 0 {
		f()
		return frame[0]
	}
	frame[n] = deep(n-1, f)
	return frame[n]
}

type brokenMemory struct{}

var errBroken = errors.New("broken")

func (brokenMemory) Load([]byte) (uintptr, error) { return 0, errBroken }

func TestFailedCompilationInterprets(t *testing.T) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		t.Fatal(err)
	}
	want := f.Sum64(5)
	if err := f.Compile(brokenMemory{}); !errors.Is(err, errBroken) || f.Compiled() {
		t.Errorf("compile: %v, compiled %v", err, f.Compiled())
	}
	if got := f.Sum64(5); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	if err := f.Compile(newMemory(t)); err != nil {
		t.Fatal(err)
	}
	if f.Reset([]byte("b")); f.Compiled() {
		t.Error("a function that was reset still has the code of the one before")
	}
}

func TestCodeFits(t *testing.T) {
	var p program
	for i := range p {
		p[i] = instruction{op: opBranch}
	}
	if n := len(p.translate(nil)); n > CodeSize {
		t.Errorf("%d bytes of code, the bound is %d", n, CodeSize)
	}
}

func BenchmarkSum64Compiled(b *testing.B) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		b.Fatal(err)
	}
	if err := f.Compile(newMemory(b)); err != nil {
		b.Fatal(err)
	}
	out := make([]uint64, uninterrupted)
	for i := 0; b.Loop(); i += len(out) {
		f.Fill(out, uint64(i))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(out)), "ns/hash")
}

func BenchmarkCompile(b *testing.B) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		b.Fatal(err)
	}
	m := newMemory(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Compile(m); err != nil {
			b.Fatal(err)
		}
	}
}
