package cgo

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkPass(b *testing.B) {
	p := newPath(b, rand.NewChaCha8([32]byte{}), 1)
	var body [BodyLen]byte
	b.SetBytes(BodyLen)
	b.ReportAllocs()
	for b.Loop() {
		p.forward[0].Pass(relay, &body)
	}
}

func BenchmarkRelayPass(b *testing.B) {
	p := newPath(b, rand.NewChaCha8([32]byte{}), 1)
	var body [BodyLen]byte
	b.SetBytes(BodyLen)
	b.ReportAllocs()
	for b.Loop() {
		p.in[0].Pass(relay, &body)
	}
}

func BenchmarkOriginate(b *testing.B) {
	p := newPath(b, rand.NewChaCha8([32]byte{}), 1)
	var body [BodyLen]byte
	b.SetBytes(BodyLen)
	b.ReportAllocs()
	for b.Loop() {
		p.forward[0].Originate(relay, &body)
	}
}

func BenchmarkUpdate(b *testing.B) {
	p := newPath(b, rand.NewChaCha8([32]byte{}), 1)
	b.ReportAllocs()
	for b.Loop() {
		p.forward[0].uiv.update(&p.forward[0].nonce)
	}
}

func BenchmarkSealHop3(b *testing.B) {
	p := newPath(b, rand.NewChaCha8([32]byte{}), 3)
	var body [BodyLen]byte
	b.SetBytes(BodyLen)
	b.ReportAllocs()
	for b.Loop() {
		p.seal(relay, &body, 2)
	}
}

// BenchmarkArithmetic is what a client's cell of three hops cannot do without: for each its
// stream, hash and block cipher, and for one new keys. Nothing is copied or compared.
func BenchmarkArithmetic(b *testing.B) {
	var layers [3]uiv
	for i := range layers {
		if err := layers[i].init(new([uivLen]byte), true); err != nil {
			b.Fatal(err)
		}
	}
	var body [BodyLen]byte
	left, right := halves(&body)
	b.SetBytes(BodyLen)
	for b.Loop() {
		for i := range layers {
			u := &layers[i]
			u.ivOf(left)
			u.stream.xorRight(&u.iv, right)
			u.maskOf()
			u.block.decryptMasked(left, &u.mask)
		}
		u := &layers[2]
		u.ivOf(left)
		u.stream.keystream(&u.iv, &u.next)
		_ = u.init((*[uivLen]byte)(u.next[:]), true)
	}
}
