//go:build !race

// The race detector's instrumentation makes standard library calls allocate that
// otherwise do not.

package relaycrypto

import (
	"math/rand/v2"
	"slices"
	"testing"

	"chive/tor/cell"
)

// The contract of the data path: no garbage a cell, on any of the calls.
func TestNoAllocation(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{6})
	c := newCircuit(t, randomKeys(rng, 3)...)
	body := make([]byte, bodyLen)
	j := newJoined(t, rng)
	run := make([]byte, 2*bodyLen)
	mixed := newMixed(t, slices.Concat(tor1Keys(rng, 1), cgoKeys(rng, 2), tor1Keys(rng, 1))...)
	calls := map[string]func(){
		"Seal and Receive":   func() { clear(body); c.stack.Seal(cell.Relay, body, 2); c.forward(body) },
		"Originate and Open": func() { clear(body); c.backward(body, 2); c.stack.Open(cell.Relay, body) },
		"unrecognized":       func() { clear(body); c.relays[0].Pass(cell.Relay, body); c.stack.Open(cell.Relay, body) },
		"mixed": func() {
			for hop := range mixed.relays {
				clear(body)
				mixed.stack.Seal(cell.Relay, body, hop)
				mixed.forward(body)
				clear(body)
				mixed.backward(body, hop)
				mixed.stack.Open(cell.Relay, body)
			}
		},
		"rendezvous": func() {
			clear(body)
			j.client.stack.Seal(cell.Relay, body, 3)
			pass(t, j.client, j.service, body)
			j.service.stack.Open(cell.Relay, body)
		},
		"rendezvous, a cell ahead": func() {
			a, b := run[:bodyLen], run[bodyLen:]
			clear(run)
			j.client.stack.Take(a, 3)
			if j.client.stack.Ahead(3) {
				j.client.stack.Take(b, 3)
				j.client.stack.Wrap(cell.Relay, a, 3)
			} else {
				j.client.stack.Wrap(cell.Relay, a, 3)
				j.client.stack.Take(b, 3)
			}
			j.client.stack.Wrap(cell.Relay, b, 3)
			pass(t, j.client, j.service, a)
			pass(t, j.client, j.service, b)
			if j.service.stack.OpenBefore(cell.Relay, a, b) != 4 || j.service.stack.Open(cell.Relay, b) != 4 {
				t.Error("not recognized")
			}
		},
		"tags": func() { _, _ = c.stack.ForwardTag(2), c.stack.BackwardTag(2) },
	}
	for name, call := range calls {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
