package e2e

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// Identities that are renewed by their age and their streams ask for many new circuits;
// CircuitRate bounds those of the whole node all the same, and every request is served.
func TestIdentitiesStayUnderCircuitRate(t *testing.T) {
	const rate, burst, users, each = 4, 6, 10, 6
	l := newLab(t, network(t), "SocksPort auto", fmt.Sprintf("CircuitRate %d", rate), fmt.Sprintf("CircuitBurst %d", burst),
		"IdentityMaxStreams 2", "IdentityMaxAge 10 seconds", "SocksTimeout 5 minutes")
	var all sync.WaitGroup
	for i := range users {
		get := l.get(t, fmt.Sprintf("rotates%d", i))
		all.Go(func() {
			for range each {
				if err := get(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	log, _ := l.events(0)
	// When each began, those to directories too. It is told to be launched when it has a
	// connection, for which many may wait.
	at := map[string]time.Time{}
	renewed := 0
	on := map[string]map[string]bool{} // circuits by isolation group
	for _, e := range log {
		switch {
		case e.GetCircuitLaunched() != nil:
			at[e.GetActorId()] = e.GetTime().AsTime()
		case e.GetCircuitOpened() != nil:
			at[e.GetActorId()] = e.GetTime().AsTime().Add(-e.GetCircuitOpened().GetTook().AsDuration())
		case e.GetCircuitsRenewed() != nil:
			renewed++
		case e.GetCircuitDirtied() != nil:
			group := e.GetCircuitDirtied().GetIsolation()
			if on[group] == nil {
				on[group] = map[string]bool{}
			}
			on[group][e.GetActorId()] = true
		}
	}
	launched := slices.SortedFunc(maps.Values(at), time.Time.Compare)
	if renewed < users*(each/2-1) || len(launched) < users*each/2 {
		t.Errorf("%d renewals and %d circuits for %d streams of %d identities: too few to tell", renewed, len(launched), users*each, users)
	}
	// In no span of time, however short or long, were there more than the burst and what
	// the rate gives: what a circuit's event tells of its beginning is a moment, on a busy machine
	// a second, after it was allowed.
	const late = rate
	for i, from := range launched {
		for j := i; j < len(launched); j++ {
			span := launched[j].Sub(from)
			if n := j - i + 1; float64(n) > burst+rate*span.Seconds()+late {
				t.Fatalf("%d circuits in %v, at %d a second and %d at once", n, span, rate, burst)
			}
		}
	}
}
