package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// met counts the clients that a node met.
func (c *client) met() int {
	return c.count(func(e *chivev1.Envelope) bool { return e.GetHostingMet() != nil })
}

// leads says whether a node publishes for the nodes that share its service.
func (c *client) leads() bool {
	taken := c.count(func(e *chivev1.Envelope) bool { return e.GetHostingLeaseTaken() != nil })
	return taken > c.count(func(e *chivev1.Envelope) bool { return e.GetHostingLeaseLost() != nil })
}

// lists is how many introduction points the last descriptor of a node lists.
func (c *client) lists() (n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		if d := e.GetHostingDescribed(); d != nil {
			n = d.GetPoints()
		}
	}
	return n
}

// sharing starts nodes that host one service with two introduction points each, and waits
// until one of them, the first that is given, publishes those of all.
func sharing(t *testing.T, l *hostingLab, n int) (nodes []*client, address string) {
	t.Helper()
	h := startHubsFor(t, 1, "256MB", n)
	var key []byte
	for i := range n {
		dir := filepath.Join(t.TempDir(), "site")
		secret := filepath.Join(dir, "hs_ed25519_secret_key")
		if i > 0 {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(secret, key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lines := append(append(l.ClientTorrc(), h.torrc(i)...), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http,
			"HiddenServiceNumIntroductionPoints 2", "HiddenServiceShared 1")
		c, err := launch(t, t.TempDir(), nil, lines...)
		if err != nil {
			t.Fatal(err)
		}
		if key, err = os.ReadFile(secret); err != nil {
			t.Fatal(err)
		}
		nodes, address = append(nodes, c), addressOf(t, dir)
	}
	for _, c := range nodes {
		c.await(t)
	}
	end := time.After(patience)
	for {
		for i, c := range nodes {
			if c.leads() && c.lists() == uint32(2*n) && c.publications() >= 2 {
				nodes[0], nodes[i] = nodes[i], nodes[0]
				return nodes, address
			}
		}
		select {
		case <-nodes[0].grown:
		case <-nodes[1].grown:
		case <-end:
			t.Fatal("nobody publishes the introduction points of all")
		}
	}
}

// TestHostingSharedClients: clients of C tor and of chive are met by both nodes of a service,
// and chive's go on to be when the one that publishes is stopped, by what is published still.
func TestHostingSharedClients(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	nodes, address := sharing(t, l, 2)
	publisher, other := nodes[0], nodes[1]
	tor, own := ctor(t, l.Network, "visitor"), start(t, l.Network)
	visits := 0
	visit := func(c *client) {
		visits++
		// Each name is on circuits of its own.
		c.fetchOnion(t, fmt.Sprint("visitor", visits), address, 50_000)
	}
	for visits < 4 || visits < 60 && (publisher.met() == 0 || other.met() == 0) {
		visit(tor)
		visit(own)
	}
	t.Logf("of %d visits the publisher met %d, the other node %d", visits, publisher.met(), other.met())
	if publisher.met() == 0 || other.met() == 0 {
		t.Fatal("one node is reached by nobody")
	}
	before, met := other.publications(), visits
	began := time.Now()
	publisher.stop()
	for other.publications() < before+2 && time.Since(began) < patience {
		visit(own)
	}
	t.Logf("published by the other node after %v, %d visits meanwhile", time.Since(began).Round(time.Millisecond), visits-met)
	if !other.leads() || other.lists() != 2 {
		t.Errorf("it leads: %v, with %d introduction points", other.leads(), other.lists())
	}
	visit(ctor(t, l.Network, "fresh"))
}
