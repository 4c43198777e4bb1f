//go:build !race

// The race detector's instrumentation makes standard library calls allocate that otherwise
// do not.

package circuit

import (
	"testing"

	"chive/tor/cell"
)

// Neither a DATA cell nor the SENDMEs that it earns leave garbage.
func TestNoAllocation(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	id := r.stream(c)
	const runs = 3
	var bodies [][]byte
	for range runs * circuitIncrement {
		bodies = append(bodies, r.send(hop(r), cell.RelayData, id, []byte("x")))
	}
	dst := make([]byte, 0, 4*cell.FixedLen)
	acknowledged := 0
	if n := testing.AllocsPerRun(runs-1, func() { // and one before
		for _, body := range bodies[:circuitIncrement] {
			out, ev, err := c.Receive(dst, cell.Relay, body)
			if err != nil || ev.Kind != Data {
				t.Fatalf("%v, %v", ev.Kind, err)
			}
			acknowledged += len(out) / cell.FixedLen
			c.Consumed(dst, id, 1, 1)
		}
		bodies = bodies[circuitIncrement:]
	}); n != 0 {
		t.Errorf("%v allocations for each %d cells", n, circuitIncrement)
	}
	if acknowledged != runs {
		t.Errorf("%d SENDMEs, want %d", acknowledged, runs)
	}
}
