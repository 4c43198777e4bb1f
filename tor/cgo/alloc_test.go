//go:build !race

package cgo

import (
	"math/rand/v2"
	"testing"
)

// The contract of the data path: no garbage a cell, and none where keys are replaced.
func TestNoAllocation(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{6})
	p := newPath(t, rng, 3)
	body := new([BodyLen]byte)
	for name, call := range map[string]func(){
		"forward":      func() { p.seal(relay, body, 2); p.relayed(relay, body) },
		"backward":     func() { p.send(relay, body, 2); p.open(relay, body) },
		"unrecognized": func() { p.open(relay, body) },
		"tags":         func() { _, _ = p.forward[2].Tag(), p.backward[2].Tag() },
	} {
		if n := testing.AllocsPerRun(100, call); n > allocations {
			t.Errorf("%s: %v allocations, want at most %v", name, n, allocations)
		}
	}
}
