package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"chive/bridge"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// outage is how long the network is away: CHIVE_OUTAGE (a duration) in a soak.
func outage(t *testing.T) time.Duration {
	text := os.Getenv("CHIVE_OUTAGE")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CHIVE_OUTAGE: %v", err)
	}
	return d
}

// recovery only bounds a failure; what is aimed at is recoveryAim, which a busy machine misses:
// it counts in a soak.
const (
	recovery    = patience
	recoveryAim = 10 * time.Second
)

// backAfter asks until an answer comes and tells how long that took.
func (c *client) backAfter(t *testing.T, n *testnet.Network) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	began := time.Now()
	for i := 0; ; i++ {
		once, end := context.WithTimeout(ctx, recoveryAim)
		_, got, err := c.get(once, fmt.Sprint("back", i), resource(n, 50_000))
		end()
		if err == nil && got == 50_000 {
			return time.Since(began)
		}
		if ctx.Err() != nil {
			t.Fatalf("no answer %v after the network was back: %v", recovery, err)
		}
	}
}

// seen is how many events there are so far, for since.
func (c *client) seen() int { return c.count(func(*chivev1.Envelope) bool { return true }) }

// after tells whether these come in this order among the events from the one numbered on.
func (c *client) after(t *testing.T, from int, order ...func(*chivev1.Envelope) bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := from
	for i, match := range order {
		for at < len(c.log) && !match(c.log[at]) {
			at++
		}
		if at == len(c.log) {
			t.Errorf("event %d of the order did not come", i)
			return
		}
	}
}

func relays(n *testnet.Network) (out []string) {
	for _, x := range n.Nodes() {
		if x.ORPort != 0 {
			out = append(out, x.Name)
		}
	}
	return out
}

// The whole network is gone and comes back: the client is back soon after, without a
// restart and without other guards than it had.
func TestBackAfterAnOutage(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	for _, test := range []struct {
		name       string
		stop, cont func(string) error
	}{
		{"killed", n.Kill, n.Restart},
		{"silent", n.Stop, n.Cont},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := start(t, n)
			c.serves(t, n, "before")
			names := relays(n)
			mark := c.seen()
			for _, name := range names {
				if err := test.stop(name); err != nil {
					t.Fatal(err)
				}
			}
			gone, cancel := context.WithTimeout(t.Context(), outage(t))
			defer cancel()
			for i := 0; gone.Err() == nil; i++ {
				if _, got, err := c.get(gone, fmt.Sprint("gone", i), resource(n, 50_000)); err == nil {
					t.Errorf("%d bytes came while the network was gone", got)
				}
			}
			for _, name := range names {
				if err := test.cont(name); err != nil {
					t.Fatal(err)
				}
			}
			took := c.backAfter(t, n)
			t.Logf("back %v after the network was, which was gone for %v", took.Round(10*time.Millisecond), outage(t))
			if took > recoveryAim && os.Getenv("CHIVE_OUTAGE") != "" {
				t.Errorf("more than %v", recoveryAim)
			}
			if test.name == "killed" {
				for _, back := range []func(*chivev1.Envelope) bool{ // the first circuit is open before it is told of its guard
					func(e *chivev1.Envelope) bool { return e.GetGuardReachable() != nil },
					func(e *chivev1.Envelope) bool { return e.GetCircuitOpened().GetHops() == 3 },
				} {
					c.after(t, mark,
						func(e *chivev1.Envelope) bool { return e.GetGuardUnreachable() != nil },
						func(e *chivev1.Envelope) bool { return e.GetGuardsRetried().GetReason() == "all-down" },
						back,
						func(e *chivev1.Envelope) bool { return e.GetStreamConnected() != nil },
					)
				}
			}
			if got := c.count(func(e *chivev1.Envelope) bool { return e.GetNodeStarted() != nil }); got != 1 {
				t.Errorf("the node started %d times", got)
			}
			c.stop()
		})
	}
}

// One guard dies for good. What was on its circuits may fail once; everything after is
// served through another guard, and nothing waits for the dead one.
func TestOneDeadGuardCostsAtMostOneRequest(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	c := start(t, n)
	c.serves(t, n, "before")
	dead := c.guard(t, n)
	if err := n.Kill(dead); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i := range 8 {
		began := time.Now()
		_, got, err := c.get(t.Context(), fmt.Sprint("request", i), resource(n, 50_000))
		if err != nil || got != 50_000 {
			failed++
		}
		t.Logf("request %d: %d bytes, %v, after %v", i, got, err, time.Since(began).Round(time.Millisecond))
	}
	if c.guard(t, n) == dead {
		t.Error("the dead guard is used")
	}
	// A way back by hand: at once, not after ten minutes.
	if err := n.Restart(dead); err != nil {
		t.Fatal(err)
	}
	operator, err := bridge.Connect(t.Context(), c.dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	mark := c.seen()
	if answer, err := operator.Request(t.Context(), messages.VerbGuardsRetry, nil); err != nil || string(answer) != `{"guards":1}` {
		t.Errorf("%s, %v", answer, err)
	}
	for i := 0; c.guard(t, n) != dead && i < 50; i++ {
		c.serves(t, n, fmt.Sprint("again", i))
	}
	c.after(t, mark,
		func(e *chivev1.Envelope) bool { return e.GetGuardsRetried().GetReason() == "asked" },
		func(e *chivev1.Envelope) bool { return e.GetGuardReachable() != nil },
	)
	if c.guard(t, n) != dead {
		t.Error("the guard that is back is not used")
	}
	if failed > 1 {
		t.Errorf("%d requests failed", failed)
	}
	c.stop()
}

// As many guards die as are primary, one after the other while each is in use. The next
// one is not primary: its circuits wait until it is sure that no better one can be had,
// and then carry what was asked for.
func TestPrimaryGuardsDieOneAfterTheOther(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	c := start(t, n)
	confirmed := func(e *chivev1.Envelope) bool { return e.GetGuardConfirmed() != nil }
	var dead []string
	for i := range 4 {
		c.backAfter(t, n)
		used := c.guard(t, n)
		if slices.Contains(dead, used) {
			t.Fatalf("%s is used, and dead", used)
		}
		if i == 3 {
			break
		}
		dead = append(dead, used)
		if err := n.Kill(used); err != nil {
			t.Fatal(err)
		}
		// Until it has lost them, a conflux set of which that guard is a part may carry a stream.
		c.until(t, "the circuits over the dead guard are gone", func() bool { return c.open(n, used) == 0 })
	}
	t.Logf("%d guards are dead, %d were confirmed", len(dead), c.count(confirmed))
	if c.count(confirmed) < 4 {
		t.Errorf("%d guards were confirmed, want 4", c.count(confirmed))
	}
	c.stop()
}
