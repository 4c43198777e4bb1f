package isolation

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// few makes tokens that agree often.
var few = rapid.Custom(func(t *rapid.T) Token {
	tok := Token{Flags: Flags(rapid.IntRange(0, 1<<Fields-1).Draw(t, "flags"))}
	for f := range tok.Values {
		tok.Values[f] = uint64(rapid.IntRange(1, 2).Draw(t, "value"))
	}
	return tok
})

func joined(tokens []Token) (c Circuit) {
	for i := range tokens {
		c.Join(&tokens[i])
	}
	return c
}

func join(a, b Circuit) Circuit {
	a.JoinCircuit(&b)
	return a
}

// Join is that of a semilattice, with the circuit that carried nothing as its least.
func TestJoinIsASemilattice(t *testing.T) {
	circuit := rapid.Custom(func(t *rapid.T) Circuit { return joined(rapid.SliceOfN(few, 0, 5).Draw(t, "carried")) })
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := circuit.Draw(t, "a"), circuit.Draw(t, "b"), circuit.Draw(t, "c")
		switch {
		case join(a, b) != join(b, a):
			t.Error("not commutative")
		case join(a, join(b, c)) != join(join(a, b), c):
			t.Error("not associative")
		case join(a, a) != a:
			t.Error("not idempotent")
		case join(a, Circuit{}) != a:
			t.Error("nothing is not neutral")
		}
	})
}

// What a circuit carried is what counts, not the order nor how often.
func TestJoinTakesAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		carried := rapid.SliceOfN(few, 1, 8).Draw(t, "carried")
		again := append(rapid.Permutation(carried).Draw(t, "order"), rapid.SampledFrom(carried).Draw(t, "again"))
		if joined(carried) != joined(again) {
			t.Error("the order matters")
		}
	})
}

// A circuit never fits more streams, and is never found by more, after a join.
func TestJoinNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := joined(rapid.SliceOfN(few, 0, 8).Draw(t, "carried"))
		more, probe := few.Draw(t, "more"), few.Draw(t, "probe")
		after := before
		after.Join(&more)
		if after.Fits(&probe) && !before.Fits(&probe) {
			t.Error("a join made room")
		}
	})
}

// However streams come, whoever takes only what fits never has two on a circuit that must
// be apart; and what does not fit could not have been there.
func TestNoTwoThatMustBeApartShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Circuit
		var on []Token
		for _, s := range rapid.SliceOfN(few, 1, 60).Draw(t, "streams") {
			all := !slices.ContainsFunc(on, func(o Token) bool { return !o.Compatible(&s) })
			if c.Fits(&s) != all {
				t.Fatalf("fits: %v; agrees with all %d that were there: %v", c.Fits(&s), len(on), all)
			}
			if all {
				c.Join(&s)
				on = append(on, s)
			}
		}
	})
}

// cTor is C tor's circuit: the first stream's values, and what differed since.
type cTor struct {
	set   bool
	first Values
	mixed Flags
}

func (c *cTor) fits(t *Token) bool {
	return !c.set || (c.mixed|c.first.differ(&t.Values))&t.Isolates() == 0
}

func (c *cTor) join(t *Token) {
	if !c.set {
		c.set, c.first = true, t.Values
		return
	}
	c.mixed |= c.first.differ(&t.Values)
}

// Whatever a circuit refuses in C tor is refused here (connection_edge.c,
// connection_edge_compatible_with_circuit).
func TestNeverLaxerThanCTor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ours Circuit
		var theirs cTor
		for _, s := range rapid.SliceOfN(few, 1, 60).Draw(t, "streams") {
			if ours.Fits(&s) && !theirs.fits(&s) {
				t.Fatal("C tor would have kept it apart")
			}
			if ours.Fits(&s) {
				ours.Join(&s)
				theirs.join(&s)
			}
		}
	})
}

// Circuits are found by their keys: a stream that fits has the circuit's.
func TestKeyFindsWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Circuit
		for _, s := range rapid.SliceOfN(few, 1, 20).Draw(t, "streams") {
			if c.Fits(&s) {
				if k := c.Key(); c.Used() && s.Key(k.Isolates) != k {
					t.Fatal("a stream that fits is not found")
				}
				c.Join(&s)
			}
		}
	})
}

func TestMixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, s := joined(rapid.SliceOfN(few, 0, 6).Draw(t, "carried")), few.Draw(t, "stream")
		more := c
		more.Join(&s)
		mixed := func(c Circuit) (n int) {
			for f := range Field(Fields) {
				if c.mixed.Has(f) {
					n++
				}
			}
			return n
		}
		if got, want := c.Mixes(&s), mixed(more)-mixed(c); got != want {
			t.Errorf("%d fields, want %d", got, want)
		}
	})
}

func TestBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok := few.Draw(t, "token")
		b := tok.Values.Bytes()
		if v, ok := ValuesOf(b); !ok || v != tok.Values {
			t.Errorf("% x: %v", b, v)
		}
		if _, ok := ValuesOf(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); ok {
			t.Error("half of them is taken for all")
		}
	})
}

func TestSet(t *testing.T) {
	set := func(key byte, f Field, on bool, texts ...string) uint64 {
		m := Make(&[32]byte{key})
		m.Set(f, on, texts...)
		tok := m.Token
		if tok.Flags.Has(f) != on || tok.Isolates() != tok.Flags|always {
			t.Errorf("%v: flags %b", texts, tok.Flags)
		}
		return tok.Values[f]
	}
	seen := map[uint64]int{}
	for i, v := range []uint64{
		set(1, DestAddr, true, "a"), set(1, DestAddr, true, "b"), set(1, DestAddr, true, "a", ""), set(1, DestAddr, true, "", "a"),
		set(2, DestAddr, true, "a"), set(1, SOCKSAuth, true, "a"), set(1, DestAddr, true),
	} {
		if other, ok := seen[v]; ok {
			t.Errorf("%d and %d have one value", i, other)
		}
		seen[v] = i
	}
	if set(1, DestAddr, true, "a") != set(1, DestAddr, false, "a") {
		t.Error("what a stream has in a field depends on whether it isolates by it")
	}
}

// Streams have one name if and only if they isolate by the same and agree there.
func TestName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := few.Draw(t, "a"), few.Draw(t, "b")
		set := a.Isolates() &^ (1 << Epoch)
		same := a.Isolates() == b.Isolates() && a.Values.differ(&b.Values)&set == 0
		if (a.Name() == b.Name()) != same {
			t.Errorf("%s and %s", a.Name(), b.Name())
		}
	})
}
