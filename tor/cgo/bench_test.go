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
