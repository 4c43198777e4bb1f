package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// The whole network goes away and comes back: breakers open and close, and
// requests are served again without anybody's help.
func TestOutageOfTheWholeNetwork(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	c := start(t, n, "RelayBreakerFailures 2", "RelayBreakerOpenTime 5 seconds", "SocksTimeout 10 seconds")
	for _, x := range n.Nodes() {
		if err := n.Kill(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(what string, so func() bool) {
		t.Helper()
		late := time.After(3 * time.Minute)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for !so() {
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("no %s", what)
			}
		}
	}
	wait("open breaker", func() bool {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetBreakerOpened() != nil }) > 0
	})
	for _, x := range n.Nodes() {
		if err := n.Restart(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	answered := 0
	wait("answered request and closed breaker", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, _, err := c.get(ctx, fmt.Sprintf("back%d", answered), resource(n, 1000))
		if err == nil {
			answered++
		}
		return answered > 0 && c.count(func(e *chivev1.Envelope) bool { return e.GetBreakerClosed() != nil }) > 0
	})
}
