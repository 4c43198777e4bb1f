package relaycrypto

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

// twins are two clients with the same keys and the same service.
func twins(t fataler, seed [32]byte) (a, b *joined) {
	return newJoined(t, rand.NewChaCha8(seed)), newJoined(t, rand.NewChaCha8(seed))
}

// A run whose cells are begun one ahead is the run that is sealed cell by cell, and so are its
// tags.
func TestSealedAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		a, b := twins(t, seed)
		stack, same := &a.client.stack, &b.client.stack
		rng := rand.NewChaCha8(seed)
		for _, run := range rapid.SliceOfN(rapid.IntRange(1, 5), 1, 6).Draw(t, "runs") {
			bodies, want := make([][]byte, run), make([][]byte, run)
			for i := range bodies {
				bodies[i] = randomBody(rng)
				want[i] = bytes.Clone(bodies[i])
			}
			wrap := func(i int) {
				same.Seal(cell.Relay, want[i], 3)
				stack.Wrap(cell.Relay, bodies[i], 3)
				if !bytes.Equal(bodies[i], want[i]) || stack.ForwardTag(3) != same.ForwardTag(3) {
					t.Fatalf("cell %d of %d is another", i, run)
				}
			}
			for i, body := range bodies {
				if i > 0 && !stack.Ahead(3) {
					wrap(i - 1)
				}
				stack.Take(body, 3)
				if i > 0 && stack.Ahead(3) {
					wrap(i - 1)
				}
			}
			wrap(run - 1)
		}
	})
}

// Cells that are opened with a look at the next are those that are opened one by one: the
// service's, those of relays on the way, and the first that is nobody's.
func TestOpenedAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		a, b := twins(t, seed)
		rng := rand.NewChaCha8(seed)
		var bodies [][]byte
		whose := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 20).Draw(t, "hops")
		for _, hop := range whose {
			body := randomBody(rng)
			if hop = min(hop, 3); hop < 3 {
				a.client.backward(body, hop)
			} else {
				a.service.stack.Seal(cell.Relay, body, 4)
				pass(t, a.service, a.client, body)
			}
			bodies = append(bodies, body)
		}
		if rapid.Bool().Draw(t, "tampered") {
			bodies[rapid.IntRange(0, len(bodies)-1).Draw(t, "cell")][rapid.IntRange(0, bodyLen-1).Draw(t, "at")] ^= 1
		}
		var plain [][]byte // as the other client gets them
		for _, body := range bodies {
			plain = append(plain, bytes.Clone(body))
		}
		stack, same := &a.client.stack, &b.client.stack
		for i, body := range bodies {
			var next []byte
			if i+1 < len(bodies) && rapid.Bool().Draw(t, "the next is here") {
				next = bodies[i+1]
			}
			hop, want := stack.OpenBefore(cell.Relay, body, next), same.Open(cell.Relay, plain[i])
			if hop != want {
				t.Fatalf("cell %d is of hop %d, want %d", i, hop, want)
			}
			if hop < 0 {
				return
			}
			if !bytes.Equal(body, plain[i]) {
				t.Fatalf("cell %d is another", i)
			}
			if hop == 3 && stack.BackwardTag(hop) != same.BackwardTag(hop) {
				t.Fatalf("cell %d has another tag", i)
			}
		}
	})
}

// Both halves of Seal, and both of Open, are for the cells that were announced.
func TestAheadMisused(t *testing.T) {
	fails := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", what)
			}
		}()
		f()
	}
	j := newJoined(t, rand.NewChaCha8([32]byte{3}))
	body := func() []byte { return make([]byte, bodyLen) }
	fails("a cell ahead, where nothing is gained", func() {
		j.client.stack.Take(body(), 2)
		j.client.stack.Take(body(), 2)
	})
	if !j.client.stack.Ahead(3) {
		t.Skip("not on this processor")
	}
	fails("two cells ahead", func() {
		for range 3 {
			j.client.stack.Take(body(), 3)
		}
	})
	fails("another cell than the next", func() {
		j.client.stack.OpenBefore(cell.Relay, body(), body())
		j.client.stack.Open(cell.Relay, body())
	})
}
