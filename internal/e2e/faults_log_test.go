package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/config"
	"chive/config/logging"
	"chive/internal/diary"
	"chive/internal/testnet"
)

// secrets lists what no log line may hold, by what it is.
func secrets(t *testing.T, n *testnet.Network, cache string) map[string]string {
	t.Helper()
	out := map[string]string{
		"target": "target.test", "name that does not exist": "nx.test", "target's address": n.Target().IP.String(),
		"user": "secret-user", "path": "/bytes/", "onion address": strings.Repeat("a", 56),
	}
	for _, x := range n.Nodes() {
		id, err := hex.DecodeString(x.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		out[x.Name+"'s nickname"] = x.Name
		out[x.Name+"'s identity"] = x.Fingerprint
		out[x.Name+"'s identity in base64"] = strings.TrimRight(base64.StdEncoding.EncodeToString(id), "=")
		out[x.Name+"'s Ed25519 identity"] = x.Ed25519
		out[x.Name+"'s address"] = x.IP.String()
		if x.V3Ident != "" {
			out[x.Name+"'s v3 identity"] = x.V3Ident
		}
	}
	lines := bufio.NewScanner(strings.NewReader(string(read(t, filepath.Join(cache, cachedMicros)))))
	for i := 0; lines.Scan(); i++ {
		if key, ok := strings.CutPrefix(lines.Text(), "ntor-onion-key "); ok {
			out[fmt.Sprintf("onion key of line %d", i)] = key
		}
	}
	return out
}

// garbage says something that is not SOCKS to the node, and reads to the end.
func (c *client) garbage(t *testing.T, text string) (address string) {
	t.Helper()
	conn, err := net.Dial("tcp", c.socks)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(conn) // until it is refused
	return conn.LocalAddr().String()
}

// A node that meets faults of every kind logs at info what happens to it, and
// never whom it talks to, for whom, or with what key.
func TestLogOfABusyNodeHoldsNoSecrets(t *testing.T) {
	n := network(t)
	dir := bootstrapped(t, n)
	forbidden := secrets(t, n, filepath.Join(dir, "data"))
	for _, file := range []string{cachedConsensus, cachedCerts} {
		name := filepath.Join(dir, "data", file)
		write(t, name, half(read(t, name)))
	}
	write(t, filepath.Join(dir, "data", "guards.json"), []byte("{"))
	relay, ok := n.Node("relay1")
	if !ok {
		t.Fatal("no relay")
	}
	wrong := [20]byte{7, 7, 7}
	forbidden["identity that is not proven"] = fmt.Sprintf("%X", wrong)
	lines := append(n.ClientTorrc(), "Log info stderr", "ClientRejectInternalAddresses 0",
		fallbackLine(netip.AddrPortFrom(relay.IP, uint16(relay.ORPort)), wrong))

	torrc := filepath.Join(t.TempDir(), "torrc")
	write(t, torrc, []byte(strings.Join(lines, "\n")+"\nDataDirectory "+dir+"/data\n"))
	cfg, err := config.Load(torrc, nil)
	if err != nil {
		t.Fatal(err)
	}
	var logged diary.Log
	log, err := logging.New(cfg, logging.Standard{Out: &logged, Err: &logged})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c, err := launch(t, dir, log.Handler(), lines...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	for user := range 5 {
		c.serves(t, n, fmt.Sprintf("secret-user%d", user))
	}
	refusals(t, n, c)
	if _, _, err := c.get(t.Context(), "secret-user", "http://nx.test/"); err == nil {
		t.Error("a name that does not exist: no error")
	}
	clients := []string{c.garbage(t, "GET /bytes/ HTTP/1.1\r\n\r\n"), c.garbage(t, "\x04\x01\x00\x50\x00\x00\x00\x01a\x00nx.test\x00"), c.garbage(t, "\x05\x01\x00\x05\x09\x00\x01\x01\x02\x03\x04\x00\x50")}
	for i, address := range clients {
		forbidden[fmt.Sprintf("client %d", i)] = address
	}
	c.guardDies(t, n)
	for user := range 3 {
		c.serves(t, n, fmt.Sprintf("secret-user-after%d", user))
	}
	c.stop()

	text := logged.String()
	if !strings.Contains(text, "[info]") || !strings.Contains(text, "guard state cannot be read") {
		t.Fatalf("not the log of a busy node:\n%s", text)
	}
	for what, secret := range forbidden {
		if secret == "" {
			t.Errorf("%s: nothing to look for", what)
			continue
		}
		for line := range strings.Lines(text) {
			if strings.Contains(strings.ToLower(line), strings.ToLower(secret)) {
				t.Errorf("%s is in the log: %s", what, line)
				break
			}
		}
	}
}

// guardDies kills the guard of the last circuit in use, and starts it again when
// the test is over. It returns when the node has lost what it had there: until then a stream may
// be put on a conflux set of which that guard is a part, and lose what its exit sent that way.
func (c *client) guardDies(t *testing.T, n *testnet.Network) {
	t.Helper()
	name := c.guard(t, n)
	if err := n.Kill(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Restart(name); err != nil {
			t.Error(err)
		}
	})
	c.until(t, "the circuits over the dead guard are gone", func() bool { return c.open(n, name) == 0 })
}

// open counts the circuits that begin at a relay and have not ended.
func (c *client) open(n *testnet.Network, name string) int {
	x, _ := n.Node(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	there := map[string]bool{}
	for _, e := range c.log {
		if p := e.GetCircuitLaunched().GetPath(); len(p) > 0 && strings.EqualFold(hex.EncodeToString(p[0]), x.Fingerprint) {
			there[e.GetActorId()] = true
		}
		if e.GetCircuitFailed() != nil || e.GetCircuitClosed() != nil {
			delete(there, e.GetActorId())
		}
	}
	return len(there)
}

// guard names the first hop of the circuit that a stream was attached to last; of a conflux
// set, that of a leg that it had then.
func (c *client) guard(t *testing.T, n *testnet.Network) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	first, legs := map[string]string{}, map[string][]string{}
	used := ""
	for _, e := range c.log {
		id := e.GetActorId()
		switch {
		case e.GetCircuitLaunched().GetHops() == 3:
			first[id] = strings.ToUpper(hex.EncodeToString(e.GetCircuitLaunched().GetPath()[0]))
		case e.GetCircuitLegLinked() != nil:
			legs[id] = append(legs[id], e.GetCircuitLegLinked().GetCircuitId())
		case e.GetCircuitLegLost() != nil:
			legs[id] = slices.DeleteFunc(legs[id], func(leg string) bool { return leg == e.GetCircuitLegLost().GetCircuitId() })
		case e.GetStreamAttached() != nil:
			on := e.GetStreamAttached().GetCircuitId()
			if set := legs[on]; len(set) > 0 {
				on = set[len(set)-1]
			}
			if first[on] != "" {
				used = first[on]
			}
		}
	}
	for _, x := range n.Nodes() {
		if x.Fingerprint == used {
			return x.Name
		}
	}
	t.Fatal("no circuit has carried a stream")
	return ""
}
