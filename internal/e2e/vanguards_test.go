package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/internal/testnet"
	"chive/internal/testnet/target"
	"chive/messages/chivev1"
)

// startVanguardLab is a network with more relays than a third layer has.
func startVanguardLab(t *testing.T) *hostingLab {
	t.Helper()
	n, err := testnet.Start(t.Context(), testnet.Options{Onions: -1, Relays: 12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			n.DumpLogs(&b, 10)
			t.Log(b.String())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return &hostingLab{n, fmt.Sprintf("%v:%d", n.Target().IP, n.Target().HTTPPort)}
}

// fullHops is the table of full vanguards (vanguards-spec).
var fullHops = map[chivev1.Purpose]int{
	chivev1.Purpose_PURPOSE_RENDEZVOUS:      4, // C - G - L2 - L3 - R
	chivev1.Purpose_PURPOSE_INTRODUCTION:    5, // C - G - L2 - L3 - M - I
	chivev1.Purpose_PURPOSE_ONION_DIRECTORY: 5, // C - G - L2 - L3 - M - HSDIR

	chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY:    4, // S - G - L2 - L3 - HSDIR
	chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION: 4, // S - G - L2 - L3 - I
	chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS:   5, // S - G - L2 - L3 - M - R
}

// behindGuard are the second and third hops of the circuits to onion services in a log, each
// of which must have the hops of full vanguards; and how many there are for each purpose.
func behindGuard(t *testing.T, log []*chivev1.Envelope) (hops [2]map[string]bool, launched map[chivev1.Purpose]int) {
	t.Helper()
	hops, launched = [2]map[string]bool{{}, {}}, map[chivev1.Purpose]int{}
	for _, e := range log {
		want, layered := fullHops[purposeOf(e)]
		if !layered {
			continue
		}
		path := pathOf(e)
		if len(path) != want {
			t.Errorf("%v: a path of %d hops, want %d", purposeOf(e), len(path), want)
			continue
		}
		launched[purposeOf(e)]++
		for i := range hops {
			hops[i][string(path[i+1])] = true
		}
	}
	if len(hops[0]) > 4 || len(hops[1]) > 8 {
		t.Errorf("%d relays are second hops and %d third, want 4 and 8 at most", len(hops[0]), len(hops[1]))
	}
	return hops, launched
}

// layersTold are the relays that the log says are in the second and the third layer.
func layersTold(log []*chivev1.Envelope) (told [2]map[string]bool) {
	told = [2]map[string]bool{{}, {}}
	for _, e := range log {
		if a := e.GetVanguardAdded(); a != nil {
			told[a.GetLayer()-2][string(a.GetRelay())] = true
		}
		if r := e.GetVanguardRemoved(); r != nil {
			delete(told[r.GetLayer()-2], string(r.GetRelay()))
		}
	}
	return told
}

func (c *client) logged() []*chivev1.Envelope {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log[:len(c.log):len(c.log)]
}

// TestFullVanguards: a host and a client with VanguardsFull, over relays of C tor, for and
// with a client of C tor.
func TestFullVanguards(t *testing.T) {
	l := startVanguardLab(t)
	dir, data := filepath.Join(t.TempDir(), "open"), t.TempDir()
	lines := append(l.ClientTorrc(), "VanguardsFull 1", "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http)
	c := hosts(t, data, 2, lines...)
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")
	t.Run("host", func(t *testing.T) {
		for i := range 8 { // each user has a rendezvous of his own
			tor.fetchOnion(t, fmt.Sprintf("user%d", i), address, 200_000)
		}
		hops, launched := behindGuard(t, c.logged())
		for _, p := range []chivev1.Purpose{
			chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS,
		} {
			if launched[p] == 0 {
				t.Errorf("no circuit for %v", p)
			}
		}
		t.Logf("%v circuits, %d second hops, %d third", launched, len(hops[0]), len(hops[1]))
	})
	t.Run("client", func(t *testing.T) {
		client := start(t, l.Network, "VanguardsFull 1")
		for i := range 4 {
			client.fetchOnion(t, fmt.Sprintf("user%d", i), address, 200_000)
		}
		_, launched := behindGuard(t, client.logged())
		for _, p := range []chivev1.Purpose{
			chivev1.Purpose_PURPOSE_RENDEZVOUS, chivev1.Purpose_PURPOSE_INTRODUCTION, chivev1.Purpose_PURPOSE_ONION_DIRECTORY,
		} {
			if launched[p] == 0 {
				t.Errorf("no circuit for %v", p)
			}
		}
		t.Logf("%v circuits", launched)
	})
	t.Run("restart", func(t *testing.T) {
		before := layersTold(c.logged())
		if len(before[0]) != 4 || len(before[1]) != 8 {
			t.Fatalf("layers of %d and %d relays", len(before[0]), len(before[1]))
		}
		c.stop()
		again := hosts(t, data, 2, lines...)
		tor.fetchOnion(t, "after", address, 200_000)
		after := layersTold(again.logged())
		for i := range before {
			if !maps.Equal(before[i], after[i]) {
				t.Errorf("layer %d is another after a restart", i+2)
			}
		}
		hops, _ := behindGuard(t, again.logged())
		for i := range hops {
			for relay := range hops[i] {
				if !before[i][relay] {
					t.Errorf("hop %d is a relay that was not in its layer before the restart", i+2)
				}
			}
		}
	})
}

// TestVanguardsChange: the layers come and go in a running node that hosts a service and
// visits it; no circuit that was built before takes a new use.
func TestVanguardsChange(t *testing.T) {
	l := startVanguardLab(t)
	dir := filepath.Join(t.TempDir(), "open")
	c := startReloadable(t, l.Network, []string{"SocksPort 127.0.0.1:auto", "HiddenServiceDir " + dir, "HiddenServicePort 80 " + l.http}, "VanguardsFull 0")
	pointsUp := func(from int) func() bool {
		return func() bool {
			log, _ := c.events(from)
			up := map[uint64]bool{}
			for _, e := range log {
				if p := e.GetHostingPointUp(); p != nil {
					up[p.GetPoint()] = true
				}
			}
			return len(up) >= 3
		}
	}
	c.until(t, patience, "the introduction points are up", pointsUp(0))
	c.until(t, patience, "the service is published", func() bool {
		log, _ := c.events(0)
		n := 0
		for _, e := range log {
			if e.GetHostingPublished() != nil {
				n++
			}
		}
		return n >= 2
	})
	address := addressOf(t, dir)
	c.fetchOnion(t, "", address, 200_000)
	for _, tt := range []struct {
		change        []string
		second, third int
	}{
		{[]string{"VanguardsFull 1"}, 4, 8},
		{[]string{"VanguardsFull 0"}, 4, 0},
		{[]string{"VanguardsFull 0", "VanguardsLiteEnabled 0"}, 0, 0},
		{[]string{"VanguardsFull 1", "VanguardsLiteEnabled 0"}, 4, 8},
		{[]string{"VanguardsFull 0", "VanguardsLiteEnabled 1"}, 4, 0},
	} {
		_, from := c.events(0)
		c.must(t, tt.change...)
		c.until(t, patience, "introduction points by other circuits", pointsUp(from))
		c.fetchOnion(t, "", address, 200_000)
		all, _ := c.events(0)
		if told := layersTold(all); len(told[0]) != tt.second || len(told[1]) != tt.third {
			t.Errorf("%q: layers of %d and %d relays are told, want %d and %d", tt.change, len(told[0]), len(told[1]), tt.second, tt.third)
		}
		met := 0
		for _, e := range all[from:] {
			if e.GetServiceJoined() != nil {
				met++
			}
		}
		if met == 0 {
			t.Errorf("%q: a circuit that was built before took a new stream", tt.change)
		}
	}
	visitor := startReloadable(t, l.Network, []string{"SocksPort 127.0.0.1:auto"}, "VanguardsFull 0")
	visitor.changesUnderway(t, address)
}

// changesUnderway changes the layers while circuits to a service are being built: these are
// built anew, and who asked gets what he asked for.
func (r *reloadable) changesUnderway(t *testing.T, address string) {
	for i := range 8 {
		_, from := r.events(0)
		done := make(chan error, 1)
		go func() {
			sum, n, err := r.get(t.Context(), fmt.Sprintf("user%d", i), bytesOf(address, 100_000))
			if want := fmt.Sprintf("%x", target.Sum(100_000)); err == nil && sum != want {
				err = fmt.Errorf("%d bytes, hash %s", n, sum)
			}
			done <- err
		}()
		r.until(t, patience, "a circuit to a rendezvous point is on its way", func() bool {
			log, _ := r.events(from)
			return slices.ContainsFunc(log, func(e *chivev1.Envelope) bool {
				return purposeOf(e) == chivev1.Purpose_PURPOSE_RENDEZVOUS
			})
		})
		r.must(t, fmt.Sprintf("VanguardsFull %d", (i+1)%2))
		if err := <-done; err != nil {
			t.Errorf("change %d: %v", i, err)
		}
	}
	t.Logf("%d circuits were replaced while they were built", r.count(func(e *chivev1.Envelope) bool {
		return e.GetCircuitFailed().GetOutcome() == chivev1.Outcome_OUTCOME_REPLACED
	}))
}
