package e2e

import (
	"net"
	"testing"

	"chive/internal/testnet"
)

// predictedPorts: after one stream for a port that only one exit carries, two circuits to
// that exit are ready; when no port is predicted and none was asked for, none is built ahead.
func predictedPorts(t *testing.T, l *lab) {
	only := fingerprint(t, l.n, "exit1")
	c, err := net.Dial("tcp", l.socks)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := socksRequest(c, "rare", 1, l.echo.Addr().String(), 7777); err == nil {
		t.Fatal("somebody listens at port 7777")
	}
	l.until(t, patience, "2 clean circuits to the exit that carries the port", func() bool { return l.view().cleanTo[only] >= 2 })

	l.set(t, "PredictedPortsRelevanceTime 0", "CircuitPoolMinSize 0", "CircuitPoolMaxSize 0")
	l.until(t, patience, "no clean circuit", func() bool { return l.view().clean == 0 })
	l.settled(t)
	_, from := l.events(0)
	l.once(t)
	if built := l.launched(from); len(built) != 1 || l.view().clean != 0 {
		t.Fatalf("with no port predicted %d circuits were built for one stream; %d are clean", len(built), l.view().clean)
	}
	l.set(t, "PredictedPortsRelevanceTime 1 hour", "CircuitPoolMinSize 0")
	l.until(t, patience, "2 clean circuits for the ports used", func() bool { return l.view().clean >= 2 })
}

// fingerprint is that of a relay of the network.
func fingerprint(t *testing.T, n *testnet.Network, name string) string {
	t.Helper()
	for _, x := range n.Nodes() {
		if x.Name == name {
			return x.Fingerprint
		}
	}
	t.Fatalf("no relay is named %s", name)
	return ""
}
