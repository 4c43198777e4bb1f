package e2e

import "testing"

// Every hop of every circuit of several speaks Counter Galois Onion with C tor's relays,
// and what passes is whole, both ways.
func TestCGO(t *testing.T) {
	n := network(t)
	c := start(t, n)
	bothWays(t, n, c)
	c.stop()
	negotiated(t, c)
	circuits, hops := 0, map[string]uint32{} // circuits of several hops
	for _, e := range c.log {
		if l := e.GetCircuitLaunched(); l.GetHops() > 1 {
			hops[e.GetActorId()] = l.GetHops()
		}
		if x := e.GetCircuitExtended(); x != nil && hops[e.GetActorId()] > 0 && !x.GetCgo() {
			t.Errorf("circuit %s fell back to tor1 at hop %d", e.GetActorId(), x.GetHop())
		}
		if o := e.GetCircuitOpened(); o.GetHops() > 1 {
			circuits++
			if o.GetCgoHops() != o.GetHops() {
				t.Errorf("circuit %s: %d of %d hops speak Counter Galois Onion", e.GetActorId(), o.GetCgoHops(), o.GetHops())
			}
		}
	}
	if circuits < 3 { // one for each user
		t.Errorf("%d circuits opened", circuits)
	}
}
