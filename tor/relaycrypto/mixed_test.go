package relaycrypto

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/handshake"
)

// newMixed is a circuit whose hops are of either scheme: handshake.KeyMaterial is one with
// tor1, handshake.CGOKeyMaterial one with CGO.
func newMixed(t fataler, keys ...any) *circuit {
	t.Helper()
	c := new(circuit)
	for _, k := range keys {
		var (
			layer *Layer
			relay *RelayLayer
			errs  [2]error
		)
		switch k := k.(type) {
		case handshake.KeyMaterial:
			layer, errs[0] = NewLayer(k)
			relay, errs[1] = NewRelayLayer(k)
		case handshake.CGOKeyMaterial:
			layer, errs[0] = NewCGOLayer(&k)
			relay, errs[1] = NewCGORelayLayer(&k)
		}
		if errs != [2]error{} {
			t.Fatal(errs)
		}
		c.stack.Add(layer)
		c.relays = append(c.relays, relay)
	}
	return c
}

func tor1Keys(rng *rand.ChaCha8, hops int) (all []any) {
	for _, k := range randomKeys(rng, hops) {
		all = append(all, k)
	}
	return all
}

func cgoKeys(rng *rand.ChaCha8, hops int) (all []any) {
	for range hops {
		var k handshake.CGOKeyMaterial
		_, _ = rng.Read(k.Forward[:])
		_, _ = rng.Read(k.Backward[:])
		all = append(all, k)
	}
	return all
}

// message is a random body in the format of a hop.
func message(rng *rand.ChaCha8, f cell.RelayFormat) []byte {
	body := make([]byte, bodyLen)
	_, _ = rng.Read(body)
	clear(body[:16]) // of V1, the tag
	h := cell.RelayHeader{Cmd: cell.RelayData, Stream: 1, Length: 300}
	f.Put(body, h)
	return body
}

// content is what either end makes of a body, without what is the cryptography's.
func content(t fataler, f cell.RelayFormat, body []byte) []byte {
	t.Helper()
	h, data, err := f.Parse(body)
	if err != nil || h.Cmd != cell.RelayData || h.Stream != 1 {
		t.Fatal(h, err)
	}
	return bytes.Clone(data)
}

// Whatever hops speak what: a cell to or from any of them arrives there, in that hop's
// format and with its content, and both ends hold the same tag of the scheme's length.
func TestMixedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		var keys []any
		kinds := rapid.SliceOfN(rapid.Bool(), 1, 5).Draw(t, "hops with CGO")
		for _, second := range kinds {
			if second {
				keys = append(keys, cgoKeys(rng, 1)...)
			} else {
				keys = append(keys, tor1Keys(rng, 1)...)
			}
		}
		c := newMixed(t, keys...)
		for range rapid.IntRange(1, 30).Draw(t, "cells") {
			hop := rapid.IntRange(0, len(kinds)-1).Draw(t, "hop")
			f := c.stack.Format(hop)
			if want := map[bool]cell.RelayFormat{true: cell.RelayV1, false: cell.RelayV0}[kinds[hop]]; f != want || c.relays[hop].Format() != want {
				t.Fatalf("hop %d speaks %v and %v, want %v", hop, f, c.relays[hop].Format(), want)
			}
			body := message(rng, f)
			want := content(t, f, body)
			tagLen := cell.SendmeTagLen
			if kinds[hop] {
				tagLen = cell.SendmeTagLenCGO
			}
			if rapid.Bool().Draw(t, "forward") {
				c.stack.Seal(cell.Relay, body, hop)
				if got := c.forward(body); got != hop {
					t.Fatalf("sealed to hop %d, recognized at %d", hop, got)
				}
				tag := c.stack.ForwardTag(hop)
				if tag != c.relays[hop].ForwardTag() || len(tag.Bytes()) != tagLen {
					t.Fatalf("forward tags: % x", tag.Bytes())
				}
			} else {
				c.backward(body, hop)
				if got := c.stack.Open(cell.Relay, body); got != hop {
					t.Fatalf("originated at hop %d, recognized at %d", hop, got)
				}
				tag := c.stack.BackwardTag(hop)
				if tag != c.relays[hop].BackwardTag() || len(tag.Bytes()) != tagLen {
					t.Fatalf("backward tags: % x", tag.Bytes())
				}
			}
			if !bytes.Equal(content(t, f, body), want) {
				t.Fatal("the content changed on the way")
			}
		}
	})
}

// The command is under the tag: a RELAY_EARLY cell that became RELAY on the way is
// nobody's.
func TestCommandIsAuthenticated(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{9})
	c := newMixed(t, cgoKeys(rng, 2)...)
	body := message(rng, cell.RelayV1)
	c.stack.Seal(cell.RelayEarly, body, 1)
	if hop := c.forward(body); hop != -1 {
		t.Errorf("recognized at hop %d", hop)
	}
}

// A flipped bit is found out, whichever hop has which scheme after it.
func TestMixedTampering(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{10})
	for bit := 0; bit < bodyLen*8; bit += 101 {
		for _, keys := range [][]any{
			slices.Concat(tor1Keys(rng, 1), cgoKeys(rng, 2)),
			slices.Concat(cgoKeys(rng, 2), tor1Keys(rng, 1)),
		} {
			c := newMixed(t, keys...)
			body := message(rng, c.stack.Format(2))
			c.backward(body, 2)
			body[bit/8] ^= 1 << (bit % 8)
			if hop := c.stack.Open(cell.Relay, body); hop != -1 {
				t.Fatalf("bit %d flipped: recognized at hop %d", bit, hop)
			}
		}
	}
}

// Whatever comes from the guard is nobody's cell.
func FuzzOpenMixed(f *testing.F) {
	f.Add(make([]byte, bodyLen))
	f.Fuzz(func(t *testing.T, data []byte) {
		body := make([]byte, bodyLen)
		copy(body, data)
		rng := rand.NewChaCha8([32]byte{11})
		c := newMixed(t, slices.Concat(cgoKeys(rng, 1), tor1Keys(rng, 1), cgoKeys(rng, 1))...)
		if hop := c.stack.Open(cell.Relay, body); hop != -1 {
			t.Fatalf("recognized at hop %d", hop)
		}
	})
}
