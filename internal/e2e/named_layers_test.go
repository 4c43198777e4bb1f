package e2e

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// named are the values of an option of relays, and the relays that it names.
func named(of []testnet.Node) (value string, ids map[string]bool) {
	ids = map[string]bool{}
	var words []string
	for _, n := range of {
		words = append(words, n.Fingerprint)
		id, _ := hex.DecodeString(n.Fingerprint)
		ids[string(id)] = true
	}
	return strings.Join(words, ","), ids
}

// TestNamedLayers: HSLayer2Nodes and HSLayer3Nodes name the second and the third hop of each
// circuit to an onion service, of a host and of a client, and of the running node when they
// change; C tor's client visits.
func TestNamedLayers(t *testing.T) {
	l := startVanguardLab(t)
	var free []testnet.Node
	for _, n := range l.Nodes() {
		if n.V3Ident == "" {
			free = append(free, n)
		}
	}
	if len(free) < 10 {
		t.Fatalf("%d relays", len(free))
	}
	// Of three one is left whatever the guard and the last hop are; of two there may be none.
	second, inSecond := named(free[:3])
	third, inThird := named(free[3:6])
	other, inOther := named(free[6:9])
	dir := filepath.Join(t.TempDir(), "open")
	c := startReloadable(t, l.Network, []string{"SocksPort 127.0.0.1:auto", "HiddenServiceDir " + dir, "HiddenServicePort 80 " + l.http},
		"HSLayer2Nodes "+second, "HSLayer3Nodes "+third)
	c.until(t, patience, "the service is published", func() bool { return c.since(0, isPublished) >= 2 })
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")
	for i, tt := range []struct {
		change        []string
		second, third map[string]bool // nil: any
	}{
		{[]string{"HSLayer2Nodes " + second, "HSLayer3Nodes " + third}, inSecond, inThird},
		{[]string{"HSLayer2Nodes " + other}, inOther, nil},
		{[]string{"HSLayer2Nodes " + second}, inSecond, nil},
		{[]string{"HSLayer3Nodes " + other}, nil, inOther},
		{nil, nil, nil},
	} {
		_, from := c.events(0)
		if i == 0 {
			from = 0
		} else {
			c.must(t, tt.change...)
			c.until(t, patience, "introduction points by other circuits", func() bool {
				return c.since(from, func(e *chivev1.Envelope) bool { return e.GetHostingPointUp() != nil }) >= 3
			})
		}
		tor.fetchOnion(t, fmt.Sprintf("of%d", i), address, 100_000)
		c.fetchOnion(t, fmt.Sprintf("of%d", i), address, 100_000)
		all, _ := c.events(0)
		told := layersTold(all)
		for layer, want := range []map[string]bool{tt.second, tt.third} {
			if want != nil && !maps.Equal(told[layer], want) {
				t.Errorf("%q: %d relays are told to be in layer %d, not the %d named", tt.change, len(told[layer]), layer+2, len(want))
			}
		}
		hops := 0
		for _, e := range upSince(all[from:]) {
			p := pathOf(e)
			hops++
			if tt.second != nil && !tt.second[string(p[1])] || tt.third != nil && !tt.third[string(p[2])] {
				t.Errorf("%q: a circuit %v goes elsewhere", tt.change, purposeOf(e))
			}
		}
		t.Logf("%q: %d circuits", tt.change, hops)
		if hops == 0 {
			t.Errorf("%q: no circuit", tt.change)
		}
	}
	if !slices.ContainsFunc(c.client.logged(), func(e *chivev1.Envelope) bool { return e.GetVanguardRemoved().GetReason() == "not named" }) {
		t.Error("no relay is told to be named no more")
	}
}

// upSince are the circuits to onion services that were launched, or assigned, when the layers of this log
// were told: those before were chosen by others.
func upSince(log []*chivev1.Envelope) (out []*chivev1.Envelope) {
	last := 0
	for i, e := range log {
		if e.GetVanguardAdded() != nil || e.GetVanguardRemoved() != nil {
			last = i
		}
	}
	for _, e := range log[last:] {
		if _, layered := fullHops[purposeOf(e)]; layered {
			out = append(out, e)
		}
	}
	return out
}
