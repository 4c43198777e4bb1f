package relaycrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha3"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/handshake"
)

func rendezvousKeys(rng *rand.ChaCha8) (keys handshake.HSKeyMaterial) {
	for _, field := range [][]byte{keys.Df[:], keys.Db[:], keys.Kf[:], keys.Kb[:]} {
		_, _ = rng.Read(field)
	}
	return keys
}

// joined is a client and a service, each with a circuit of its own to the same
// rendezvous point, which passes the cells of either to the other unchanged.
type joined struct{ client, service *circuit }

func newJoined(t fataler, rng *rand.ChaCha8) *joined {
	t.Helper()
	keys := rendezvousKeys(rng)
	j := &joined{newCircuit(t, randomKeys(rng, 3)...), newCircuit(t, randomKeys(rng, 4)...)}
	for end, layer := range map[*circuit]func(handshake.HSKeyMaterial) (*Layer, error){
		j.client: NewClientRendezvousLayer, j.service: NewServiceRendezvousLayer,
	} {
		l, err := layer(keys)
		if err != nil {
			t.Fatal(err)
		}
		end.stack.Add(l)
	}
	return j
}

// pass carries a sealed cell from one end to the other's door.
func pass(t fataler, from, to *circuit, body []byte) {
	t.Helper()
	if hop := from.forward(body); hop != -1 {
		t.Fatal("a relay took an end-to-end cell for its own")
	}
	for i := len(to.relays) - 1; i >= 0; i-- {
		to.relays[i].Pass(cell.Relay, body)
	}
}

// "Bob's OP does the same, with Kf and Kb interchanged" (section 4.2.1): cells of
// any order arrive either way, and both ends hold the same tags; cells to the
// relays in between still reach them.
func TestRendezvousRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		j := newJoined(t, rng)
		for range rapid.IntRange(1, 30).Draw(t, "cells") {
			from, to := j.client, j.service
			if rapid.Bool().Draw(t, "to the client") {
				from, to = to, from
			}
			plain := randomBody(rng)
			body := bytes.Clone(plain)
			sender, receiver := len(from.relays), len(to.relays)
			if rapid.Bool().Draw(t, "to a relay") {
				from.stack.Seal(cell.Relay, body, sender-1)
				if hop := from.forward(body); hop != sender-1 || !bytes.Equal(body, plain) {
					t.Fatalf("the rendezvous point's cell: hop %d", hop)
				}
				continue
			}
			from.stack.Seal(cell.Relay, body, sender)
			pass(t, from, to, body)
			if hop := to.stack.Open(cell.Relay, body); hop != receiver || !bytes.Equal(body, plain) {
				t.Fatalf("recognized at hop %d of %d", hop, receiver)
			}
			if from.stack.ForwardTag(sender) != to.stack.BackwardTag(receiver) {
				t.Fatal("tags differ")
			}
		}
	})
}

// The cell as specified, computed by hand: SHA3-256 seeded with Df, AES-256-CTR
// with Kf from counter zero, four bytes of digest, twenty of tag.
func TestRendezvousCell(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	keys := rendezvousKeys(rng)
	layer, err := NewClientRendezvousLayer(keys)
	if err != nil {
		t.Fatal(err)
	}
	var stack Stack
	stack.Add(layer)
	digest := sha3.New256()
	_, _ = digest.Write(keys.Df[:])
	block, err := aes.NewCipher(keys.Kf[:])
	if err != nil {
		t.Fatal(err)
	}
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	for range 3 {
		body := randomBody(rng)
		want := bytes.Clone(body)
		_, _ = digest.Write(want)
		sum := digest.Sum(nil)
		copy(want[digestAt:], sum[:digestLen])
		stream.XORKeyStream(want, want)
		stack.Seal(cell.Relay, body, 0)
		if !bytes.Equal(body, want) {
			t.Fatal("another cell than the specification's")
		}
		if tag := stack.ForwardTag(0); !bytes.Equal(tag.Bytes(), sum[:20]) {
			t.Errorf("tag %x, want the start of %x", tag, sum)
		}
	}
}

// A cell changed on the way is nobody's; the digest's state is put back, so the
// unchanged one is still recognized.
func TestRendezvousTampering(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{2})
	for bit := 0; bit < bodyLen*8; bit += 13 {
		j := newJoined(t, rng)
		body := randomBody(rng)
		j.client.stack.Seal(cell.Relay, body, 3)
		pass(t, j.client, j.service, body)
		last := j.service.stack.layers[4].tor1.backward.digest
		before, err := last.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		body[bit/8] ^= 1 << (bit % 8)
		if hop := j.service.stack.Open(cell.Relay, body); hop != -1 {
			t.Fatalf("bit %d flipped: recognized at hop %d", bit, hop)
		}
		if after, err := last.AppendBinary(nil); err != nil || !bytes.Equal(before, after) {
			t.Fatalf("bit %d flipped: the digest moved: %v", bit, err)
		}
	}
}
