package relaycrypto

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/handshake"
)

// circuit is a client's stack and the relays' ends of it.
type circuit struct {
	stack  Stack
	relays []*RelayLayer
}

// fataler is what testing.T, testing.B and rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func newCircuit(t fataler, keys ...handshake.KeyMaterial) *circuit {
	t.Helper()
	c := new(circuit)
	for _, k := range keys {
		layer, err := NewLayer(k)
		if err != nil {
			t.Fatal(err)
		}
		c.stack.Add(layer)
		relay, err := NewRelayLayer(k)
		if err != nil {
			t.Fatal(err)
		}
		c.relays = append(c.relays, relay)
	}
	return c
}

func randomKeys(rng *rand.ChaCha8, hops int) []handshake.KeyMaterial {
	keys := make([]handshake.KeyMaterial, hops)
	for i := range keys {
		for _, field := range [][]byte{keys[i].Df[:], keys[i].Db[:], keys[i].Kf[:], keys[i].Kb[:]} {
			_, _ = rng.Read(field)
		}
	}
	return keys
}

// randomBody is a plaintext as Seal wants it: recognized and digest are zero.
func randomBody(rng *rand.ChaCha8) []byte {
	body := make([]byte, bodyLen)
	_, _ = rng.Read(body)
	clear(body[recognizedAt : recognizedAt+2])
	clear(body[digestAt : digestAt+digestLen])
	return body
}

// forward carries a sealed cell along the relays and returns the hop that
// recognizes it, or -1.
func (c *circuit) forward(body []byte) int {
	for hop, relay := range c.relays {
		if relay.Receive(cell.Relay, body) {
			return hop
		}
	}
	return -1
}

// backward originates a cell at hop and carries it to the client's door.
func (c *circuit) backward(body []byte, hop int) {
	c.relays[hop].Originate(cell.Relay, body)
	for i := hop - 1; i >= 0; i-- {
		c.relays[i].Pass(cell.Relay, body)
	}
}

// Cells that C tor itself sealed, published by Arti.
func TestSealVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/tor1_cells.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Keys   []string `json:"keys"`
		Seed   string   `json:"shake256_seed"`
		Header string   `json:"header"`
		Hop    int      `json:"hop"`
		Cells  []struct {
			Number int    `json:"number"`
			Body   string `json:"body"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) != 3 || len(v.Cells) != 8 {
		t.Fatalf("%d keys and %d cells, want 3 and 8", len(v.Keys), len(v.Cells))
	}
	keys := make([]handshake.KeyMaterial, 3)
	for i, k := range v.Keys {
		copy(keys[i].Df[:], k[0:])
		copy(keys[i].Db[:], k[20:])
		copy(keys[i].Kf[:], k[40:])
		copy(keys[i].Kb[:], k[56:])
	}
	c := newCircuit(t, keys...)
	header, err := hex.DecodeString(v.Header)
	if err != nil {
		t.Fatal(err)
	}
	xof := sha3.NewSHAKE256()
	_, _ = xof.Write([]byte(v.Seed))
	for number := 0; len(v.Cells) > 0; number++ {
		body := make([]byte, bodyLen)
		copy(body, header)
		_, _ = xof.Read(body[len(header):])
		plain := bytes.Clone(body)
		c.stack.Seal(cell.Relay, body, v.Hop)
		if number == v.Cells[0].Number {
			if got := hex.EncodeToString(body); got != v.Cells[0].Body {
				t.Fatalf("cell %d\n got %s\nwant %s", number, got, v.Cells[0].Body)
			}
			v.Cells = v.Cells[1:]
		}
		// The relays' half, checked against the same ciphertext.
		if hop := c.forward(body); hop != v.Hop || !bytes.Equal(body, plain) {
			t.Fatalf("cell %d: recognized at hop %d, plaintext equal: %v", number, hop, bytes.Equal(body, plain))
		}
	}
}

// Sections 5.5.2, 5.5.3 and 6.1 as one property: any interleaving of cells, either
// way, to or from any hop (leaky pipe), arrives at the right hop with the right
// plaintext, and both ends hold the same tag for it (section 7.3.1).
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		hops := rapid.IntRange(1, 5).Draw(t, "hops")
		c := newCircuit(t, randomKeys(rng, hops)...)
		for range rapid.IntRange(1, 40).Draw(t, "cells") {
			hop := rapid.IntRange(0, hops-1).Draw(t, "hop")
			plain := randomBody(rng)
			body := bytes.Clone(plain)
			if rapid.Bool().Draw(t, "forward") {
				c.stack.Seal(cell.Relay, body, hop)
				if bytes.Equal(body, plain) {
					t.Fatal("Seal left plaintext")
				}
				if got := c.forward(body); got != hop {
					t.Fatalf("sealed to hop %d, recognized at %d", hop, got)
				}
				if c.stack.ForwardTag(hop) != c.relays[hop].ForwardTag() {
					t.Fatal("forward tags differ")
				}
			} else {
				c.backward(body, hop)
				if got := c.stack.Open(cell.Relay, body); got != hop {
					t.Fatalf("originated at hop %d, recognized at %d", hop, got)
				}
				if c.stack.BackwardTag(hop) != c.relays[hop].BackwardTag() {
					t.Fatal("backward tags differ")
				}
			}
			if !bytes.Equal(body, plain) {
				t.Fatal("plaintext changed on the way")
			}
		}
	})
}

// A digest is "the running digest of all the bytes that have been destined for this
// hop", seeded with Df (section 6.1): recomputed here from scratch.
func TestTagIsRunningDigest(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	keys := randomKeys(rng, 2)
	c := newCircuit(t, keys...)
	forward, backward := sha1.New(), sha1.New()
	_, _ = forward.Write(keys[1].Df[:])
	_, _ = backward.Write(keys[1].Db[:])
	for range 5 {
		body := randomBody(rng)
		_, _ = forward.Write(body)
		c.stack.Seal(cell.Relay, body, 1)
		if got, want := c.stack.ForwardTag(1), tagOf(forward.Sum(nil)); got != want {
			t.Fatalf("forward tag %x, want %x", got, want)
		}
		c.stack.Seal(cell.Relay, randomBody(rng), 0) // another hop's cell does not count

		body = randomBody(rng)
		_, _ = backward.Write(body)
		c.backward(body, 1)
		c.stack.Open(cell.Relay, body)
		if got, want := c.stack.BackwardTag(1), tagOf(backward.Sum(nil)); got != want {
			t.Fatalf("backward tag %x, want %x", got, want)
		}
	}
}

// "The running digest at that node should not be updated" when recognized is zero
// by accident (section 6.1, P = 2^-16). Cells are drawn until one of the kind
// turns up at hop 0, both ways; then the circuit must go on as if nothing happened.
func TestAccidentallyZeroRecognized(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{2})
	keys := randomKeys(rng, 3)

	t.Run("backward", func(t *testing.T) {
		c := newCircuit(t, keys...)
		hop0 := newCircuit(t, keys...).stack.layers[0].tor1.backward.ctr // the same keystream, to look ahead
		for found := 0; found < 2; {
			plain := randomBody(rng)
			body := bytes.Clone(plain)
			// Choose the field under hops 1 and 2 so that hop 0's peeling shows zero.
			c.backward(body, 2)
			peeled := bytes.Clone(body)
			hop0.crypt(fixed(peeled))
			if peeled[recognizedAt]|peeled[recognizedAt+1] == 0 {
				found++
			}
			before := c.stack.BackwardTag(0)
			if got := c.stack.Open(cell.Relay, body); got != 2 || !bytes.Equal(body, plain) {
				t.Fatalf("recognized at hop %d, plaintext equal: %v", got, bytes.Equal(body, plain))
			}
			if c.stack.BackwardTag(0) != before {
				t.Fatal("hop 0 took another hop's cell into its digest")
			}
		}
		checkBothWays(t, c, rng)
	})

	t.Run("forward", func(t *testing.T) {
		c := newCircuit(t, keys...)
		hop0 := newCircuit(t, keys...).relays[0].tor1.forward.ctr
		for found := 0; found < 2; {
			plain := randomBody(rng)
			body := bytes.Clone(plain)
			c.stack.Seal(cell.Relay, body, 2)
			peeled := bytes.Clone(body)
			hop0.crypt(fixed(peeled))
			if peeled[recognizedAt]|peeled[recognizedAt+1] == 0 {
				found++
			}
			if got := c.forward(body); got != 2 || !bytes.Equal(body, plain) {
				t.Fatalf("recognized at hop %d, plaintext equal: %v", got, bytes.Equal(body, plain))
			}
		}
		checkBothWays(t, c, rng)
	})
}

// checkBothWays sends one cell to and from each hop.
func checkBothWays(t *testing.T, c *circuit, rng *rand.ChaCha8) {
	t.Helper()
	for hop := range c.relays {
		body := randomBody(rng)
		c.stack.Seal(cell.Relay, body, hop)
		if got := c.forward(body); got != hop {
			t.Errorf("forward: to hop %d, recognized at %d", hop, got)
		}
		body = randomBody(rng)
		c.backward(body, hop)
		if got := c.stack.Open(cell.Relay, body); got != hop {
			t.Errorf("backward: from hop %d, recognized at %d", hop, got)
		}
	}
}

// A forged cell whose recognized field decrypts to zero at the last hop still
// fails the digest, wherever a bit was flipped; the state is put back exactly.
func TestTamperedCellIsNotRecognized(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{3})
	keys := randomKeys(rng, 3)
	for bit := 0; bit < bodyLen*8; bit += 7 {
		c := newCircuit(t, keys...)
		last := c.stack.layers[2].tor1.backward.digest
		before, err := last.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		body := randomBody(rng)
		c.backward(body, 2)
		body[bit/8] ^= 1 << (bit % 8)
		if hop := c.stack.Open(cell.Relay, body); hop != -1 {
			t.Fatalf("bit %d flipped: recognized at hop %d", bit, hop)
		}
		after, err := last.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Fatalf("bit %d flipped: running digest changed", bit)
		}
	}
}

// A cell that is replayed, dropped or reordered is not recognized (section 6.1:
// the digest runs over all cells so far).
func TestReplayDropReorder(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{4})
	keys := randomKeys(rng, 3)
	tests := map[string]func(a, b []byte) [][]byte{
		"replay":  func(a, _ []byte) [][]byte { return [][]byte{a, bytes.Clone(a)} },
		"drop":    func(_, b []byte) [][]byte { return [][]byte{b} },
		"reorder": func(a, b []byte) [][]byte { return [][]byte{b, a} },
	}
	for name, mangle := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCircuit(t, keys...)
			a, b := randomBody(rng), randomBody(rng)
			c.backward(a, 2)
			c.backward(b, 2)
			cells := mangle(a, b)
			for i, body := range cells {
				hop := c.stack.Open(cell.Relay, body)
				if i == len(cells)-1 && hop != -1 {
					t.Errorf("last cell recognized at hop %d", hop)
				}
			}
		})
	}
}

func TestEmptyStackRecognizesNothing(t *testing.T) {
	var s Stack
	body := make([]byte, bodyLen)
	if hop := s.Open(cell.Relay, body); hop != -1 || s.Len() != 0 {
		t.Errorf("hop %d of %d", hop, s.Len())
	}
}

func TestWrongBodyLengthPanics(t *testing.T) {
	c := newCircuit(t, randomKeys(rand.NewChaCha8([32]byte{5}), 1)...)
	calls := map[string]func([]byte){
		"Seal":      func(b []byte) { c.stack.Seal(cell.Relay, b, 0) },
		"Open":      func(b []byte) { c.stack.Open(cell.Relay, b) },
		"Receive":   func(b []byte) { c.relays[0].Receive(cell.Relay, b) },
		"Pass":      func(b []byte) { c.relays[0].Pass(cell.Relay, b) },
		"Originate": func(b []byte) { c.relays[0].Originate(cell.Relay, b) },
	}
	for name, call := range calls {
		for _, n := range []int{0, bodyLen - 1, bodyLen + 1} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s took a body of %d bytes", name, n)
					}
				}()
				call(make([]byte, n))
			}()
		}
	}
}

// Whatever arrives from the guard, Open neither crashes nor takes it for a cell.
func FuzzOpen(f *testing.F) {
	f.Add(make([]byte, bodyLen))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		body := make([]byte, bodyLen)
		copy(body, data)
		c := newCircuit(t, randomKeys(rand.NewChaCha8([32]byte{7}), 3)...)
		if hop := c.stack.Open(cell.Relay, body); hop != -1 {
			t.Fatalf("recognized at hop %d", hop)
		}
	})
}
