package cgo

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The commands of the cells that carry bodies (tor-spec section 3).
const (
	relay      = 3
	relayEarly = 9
)

// path is both ends of a circuit's hops.
type path struct {
	forward  []ClientForward
	backward []ClientBackward
	out      []RelayForward
	in       []RelayBackward
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func newPath(t fataler, rng *rand.ChaCha8, hops int) *path {
	t.Helper()
	p := &path{make([]ClientForward, hops), make([]ClientBackward, hops), make([]RelayForward, hops), make([]RelayBackward, hops)}
	for i := range hops {
		var forward, backward [KeysLen]byte
		_, _ = rng.Read(forward[:])
		_, _ = rng.Read(backward[:])
		for _, err := range []error{
			p.forward[i].Init(&forward), p.backward[i].Init(&backward), p.out[i].Init(&forward), p.in[i].Init(&backward),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func (p *path) seal(command byte, body *[BodyLen]byte, hop int) {
	p.forward[hop].Originate(command, body)
	for i := hop - 1; i >= 0; i-- {
		p.forward[i].Pass(command, body)
	}
}

// relayed carries a cell away from the client to the hop that recognizes it.
func (p *path) relayed(command byte, body *[BodyLen]byte) int {
	for i := range p.out {
		if p.out[i].Receive(command, body) {
			return i
		}
	}
	return -1
}

func (p *path) send(command byte, body *[BodyLen]byte, hop int) {
	p.in[hop].Originate(command, body)
	for i := hop - 1; i >= 0; i-- {
		p.in[i].Pass(command, body)
	}
}

func (p *path) open(command byte, body *[BodyLen]byte) int {
	for i := range p.backward {
		if p.backward[i].Receive(command, body) {
			return i
		}
	}
	return -1
}

func randomBody(rng *rand.ChaCha8) *[BodyLen]byte {
	body := new([BodyLen]byte)
	_, _ = rng.Read(body[TagLen:])
	return body
}

// Cells of any order, to and from any hop, arrive there with their content, and both ends
// hold the same tag for each.
func TestRoundTrip(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			rng := rand.NewChaCha8([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
			hops := rapid.IntRange(1, 5).Draw(t, "hops")
			p := newPath(t, rng, hops)
			for range rapid.IntRange(1, 30).Draw(t, "cells") {
				hop := rapid.IntRange(0, hops-1).Draw(t, "hop")
				plain := randomBody(rng)
				body := *plain
				if rapid.Bool().Draw(t, "forward") {
					command := rapid.SampledFrom([]byte{relay, relayEarly}).Draw(t, "command")
					p.seal(command, &body, hop)
					if got := p.relayed(command, &body); got != hop {
						t.Fatalf("to hop %d, recognized at %d", hop, got)
					}
					if p.forward[hop].Tag() != p.out[hop].Tag() {
						t.Fatal("the forward tags differ")
					}
				} else {
					p.send(relay, &body, hop)
					if got := p.open(relay, &body); got != hop {
						t.Fatalf("from hop %d, recognized at %d", hop, got)
					}
					if p.backward[hop].Tag() != p.in[hop].Tag() {
						t.Fatal("the backward tags differ")
					}
				}
				if !bytes.Equal(body[TagLen:], plain[TagLen:]) {
					t.Fatal("the content changed on the way")
				}
			}
		})
	})
}

// A bit that is flipped on the way makes the cell nobody's, and all that come after it
// (proposal 359, "tagging resistance"); so does another command.
func TestChangedCellsAreNobodys(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for bit := 0; bit <= BodyLen*8; bit += 61 {
		p := newPath(t, rng, 3)
		body, command := randomBody(rng), byte(relay)
		p.send(command, body, 2)
		if bit < BodyLen*8 {
			body[bit/8] ^= 1 << (bit % 8)
		} else {
			command = relayEarly
		}
		if hop := p.open(command, body); hop != -1 {
			t.Fatalf("bit %d flipped: recognized at hop %d", bit, hop)
		}
		next := randomBody(rng)
		p.send(relay, next, 2)
		if hop := p.open(relay, next); hop != -1 {
			t.Fatalf("bit %d flipped: the next cell was recognized at hop %d", bit, hop)
		}
	}
}

// A change that a relay makes away from the client garbles the whole cell at the next hop:
// nothing that was in it can be made out (why relays encrypt).
func TestTaggingGarblesTheWholeCell(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{2})
	for bit := 0; bit < BodyLen*8; bit += 509 {
		p := newPath(t, rng, 2)
		var body [BodyLen]byte
		p.seal(relay, &body, 1)
		if p.out[0].Receive(relay, &body) {
			t.Fatal("not for the first hop")
		}
		body[bit/8] ^= 1 << (bit % 8)
		if p.out[1].Receive(relay, &body) {
			t.Fatal("recognized")
		}
		if zeros := bytes.Count(body[TagLen:], []byte{0}); zeros > 20 { // about two of noise are
			t.Fatalf("bit %d flipped: %d bytes of the content are as they were sent", bit, zeros)
		}
	}
}

func TestReplayDropReorder(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{3})
	for name, mangle := range map[string]func(a, b [BodyLen]byte) [][BodyLen]byte{
		"replay":  func(a, _ [BodyLen]byte) [][BodyLen]byte { return [][BodyLen]byte{a, a} },
		"drop":    func(_, b [BodyLen]byte) [][BodyLen]byte { return [][BodyLen]byte{b} },
		"reorder": func(a, b [BodyLen]byte) [][BodyLen]byte { return [][BodyLen]byte{b, a} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPath(t, rng, 3)
			a, b := randomBody(rng), randomBody(rng)
			p.send(relay, a, 2)
			p.send(relay, b, 2)
			got := 0
			for _, body := range mangle(*a, *b) {
				got = p.open(relay, &body)
			}
			if got != -1 {
				t.Errorf("the last cell was recognized at hop %d", got)
			}
		})
	}
}

// All code does the same to any body, under any keys.
func FuzzUIV(f *testing.F) {
	f.Add([]byte("keys"), []byte("body"), uint8(3))
	f.Fuzz(func(t *testing.T, keys, data []byte, command uint8) {
		var material [KeysLen]byte
		copy(material[:], keys)
		var plain [BodyLen]byte
		copy(plain[:], data)
		var want, sealed [BodyLen]byte
		first := true
		eachPath(t, func(t *testing.T) {
			var e, d uiv
			for u, decrypts := range map[*uiv]bool{&e: false, &d: true} {
				if err := u.init((*[uivLen]byte)(material[:]), decrypts); err != nil {
					t.Fatal(err)
				}
			}
			tag := [TagLen]byte(material[uivLen:])
			body := plain
			e.encrypt(&tag, command, &body)
			sealed = body
			d.decrypt(&tag, command, &body)
			if body != plain {
				t.Error("not the inverse")
			}
			nonce := tag
			d.update(&nonce)
			d.decrypt(&nonce, command, &sealed)
			if first {
				want, first = sealed, false
			} else if sealed != want {
				t.Error("another path, another body")
			}
		})
	})
}
