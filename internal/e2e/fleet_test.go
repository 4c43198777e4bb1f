package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// hubs are Debian's NATS servers, one or a cluster.
type hubs struct {
	dir     string
	urls    []string
	running []*exec.Cmd
	said    []*bytes.Buffer
	users   bridge.Users
	signer  []byte // seed of the configuration's key
	public  string
}

const natsServer = "/usr/sbin/nats-server" // Debian's; make deps installs it

// startHubs makes the credentials of a fleet of three and starts its servers, which
// store as much as store says.
func startHubs(t testing.TB, servers int, store string) *hubs {
	t.Helper()
	return startHubsFor(t, servers, store, 3)
}

// startHubsFor is the same for a fleet of more nodes.
func startHubsFor(t testing.TB, servers int, store string, nodes int) *hubs {
	t.Helper()
	h := &hubs{dir: t.TempDir(), running: make([]*exec.Cmd, servers), users: bridge.Users{Fleet: "f", Nodes: map[string]string{}, Clients: map[bridge.Role]string{}}}
	for i := range nodes {
		h.users.Nodes[h.node(i)] = h.key(t, h.node(i))
	}
	for _, r := range bridge.Roles {
		h.users.Clients[r] = h.key(t, string(r))
	}
	h.public = h.key(t, "signer")
	var err error
	if h.signer, err = os.ReadFile(h.file("signer")); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for range servers {
		h.urls = append(h.urls, "nats://"+freePort(t))
		routes = append(routes, "nats://"+freePort(t))
		h.said = append(h.said, &bytes.Buffer{})
	}
	for i := range servers {
		cluster := ""
		if servers > 1 {
			cluster = fmt.Sprintf("cluster { name: hubs, listen: %q, routes: [%s] }\n", strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		}
		h.configure(t, i, store, cluster)
	}
	t.Cleanup(func() {
		for i := range servers {
			h.kill(i)
			if t.Failed() {
				t.Logf("hub %d:\n%s", i, h.said[i].String())
			}
		}
	})
	for i := range servers {
		h.start(t, i)
	}
	return h
}

// configure writes a server's configuration.
func (h *hubs) configure(t testing.TB, i int, store, cluster string) {
	t.Helper()
	text := fmt.Sprintf("server_name: hub%d\nlisten: %q\njetstream { store_dir: %q, max_mem: 32MB, max_file: %s }\n%s%s",
		i, strings.TrimPrefix(h.urls[i], "nats://"), filepath.Join(h.dir, fmt.Sprint("store", i)), store, cluster, h.users.ServerConfig())
	if err := os.WriteFile(h.file(fmt.Sprintf("hub%d.conf", i)), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *hubs) node(i int) string       { return fmt.Sprintf("n%d", i+1) }
func (h *hubs) file(name string) string { return filepath.Join(h.dir, name) }
func (h *hubs) key(t testing.TB, name string) string {
	t.Helper()
	key, err := bridge.KeptKey(h.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (h *hubs) start(t testing.TB, i int) {
	t.Helper()
	cmd := exec.Command(natsServer, "-c", h.file(fmt.Sprintf("hub%d.conf", i)))
	cmd.Stdout, cmd.Stderr = h.said[i], h.said[i]
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make deps installs it)", err)
	}
	h.running[i] = cmd
}

// kill ends a server as kill -9 does.
func (h *hubs) kill(i int) {
	if h.running[i] != nil {
		_ = h.running[i].Process.Kill() // it may have ended
		_ = h.running[i].Wait()
		h.running[i] = nil
	}
}

// torrc is what a node of the fleet adds to its torrc.
func (h *hubs) torrc(i int) []string {
	lines := []string{
		"Fleet f", "NodeName " + h.node(i), "NatsNodeCredentialFile " + h.file(h.node(i)), "FleetConfigKey " + h.public,
		fmt.Sprint("FleetReplicas ", len(h.urls)),
	}
	for _, u := range h.urls {
		lines = append(lines, "NatsUrl "+u)
	}
	return lines
}

// as connects with a role's credential.
func (h *hubs) as(t testing.TB, r bridge.Role) (*nats.Conn, *fleet.Client) {
	t.Helper()
	return dialAs(t, strings.Join(h.urls, ","), h.file(string(r)))
}

// dialAs connects to servers with the seed in a file.
func dialAs(t testing.TB, urls, file string) (*nats.Conn, *fleet.Client) {
	t.Helper()
	seed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(urls, nats.Nkey(key, user.Sign), nats.CustomInboxPrefix(bridge.InboxPrefix(key)),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c, err := fleet.NewRoleClient(nc, "f")
	if err != nil {
		t.Fatal(err)
	}
	return nc, c
}

// eventually tries until it works.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// publisher is an operator of the fleet.
type publisher struct {
	*fleet.Client
	signer []byte
}

// publish signs the next revision and stores it.
func (p *publisher) publish(t testing.TB, change func(*messages.FleetDocument), lines ...messages.ConfigLine) uint64 {
	t.Helper()
	var number uint64
	eventually(t, "publish", func() error {
		last, err := p.Config(t.Context())
		if err != nil && last.Number == 0 && !errors.Is(err, fleet.ErrNothing) {
			return err
		}
		d := messages.FleetDocument{Fleet: "f", Revision: p.next(last), Time: time.Now(), Expires: time.Now().Add(time.Hour), Lines: lines}
		if change != nil {
			change(&d)
		}
		value, err := fleet.Sign(p.signer, d)
		if err != nil {
			t.Fatal(err)
		}
		number, err = p.Publish(t.Context(), value, last.Number)
		return err
	})
	return number
}

// next is the revision after what the bucket holds, which may be rubbish.
func (p *publisher) next(last fleet.Published) uint64 {
	return max(last.Document.Revision, last.Number) + 1
}

// acknowledged waits until every node has said what it made of a publication.
func (p *publisher) acknowledged(t testing.TB, number uint64, nodes int, want messages.FleetState) (acks []messages.FleetAck) {
	t.Helper()
	eventually(t, fmt.Sprintf("publication %d is %s by %d", number, want, nodes), func() (err error) {
		if acks, err = p.Acks(t.Context(), number); err != nil {
			return err
		}
		n := 0
		for _, a := range acks {
			if a.State == want {
				n++
			}
		}
		if n != nodes {
			return fmt.Errorf("%+v", acks)
		}
		return nil
	})
	return acks
}

func line(name, value string) messages.ConfigLine {
	return messages.ConfigLine{Name: name, Value: value}
}

// setting is an option as it is in force at a node.
func (c *client) setting(t *testing.T, name string) string {
	t.Helper()
	v, err := c.Control().ConfigView(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Settings {
		if s.Option == name {
			return strings.Join(s.Values, " ")
		}
	}
	t.Fatalf("no option %s", name)
	return ""
}

func allHave(t *testing.T, nodes []*client, name, value string) {
	t.Helper()
	for i, c := range nodes {
		if got := c.setting(t, name); got != value {
			t.Errorf("n%d: %s is %q, want %q", i+1, name, got, value)
		}
	}
}

// flow is a download at a node that goes on, again and again.
type flow struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func flows(t *testing.T, n *testnet.Network, name string, c *client) *flow {
	t.Helper()
	const size = 300_000
	want := direct(t, resource(n, size))
	ctx, cancel := context.WithCancel(t.Context())
	f := &flow{cancel: cancel}
	f.wg.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			sum, got, err := c.get(t.Context(), "", resource(n, size))
			if err != nil || sum != want {
				t.Errorf("%s, download %d: %d bytes of %d, err %v", name, round, got, size, err)
				return
			}
		}
	})
	return f
}

func (f *flow) end() { f.cancel(); f.wg.Wait() }

// Three nodes with Debian's NATS servers: one publication changes all, what is wrong
// changes none, what does harm is taken back, and servers that die disturb nothing.
func TestFleetOnDebiansServers(t *testing.T) {
	n := network(t)
	h := startHubs(t, 3, "256MB")
	var nodes []*client
	for i := range 3 {
		nodes = append(nodes, start(t, n, h.torrc(i)...))
	}
	_, c := h.as(t, bridge.RoleConfigure)
	p := &publisher{c, h.signer}
	var going []*flow
	for i, c := range nodes {
		going = append(going, flows(t, n, h.node(i), c))
		defer going[i].end()
	}

	number := p.publish(t, nil, line("MaxCircuitDirtiness", "3 minutes"))
	p.acknowledged(t, number, 3, messages.FleetApplied)
	allHave(t, nodes, "MaxCircuitDirtiness", "3 minutes")

	t.Run("poisoned", func(t *testing.T) {
		number := p.publish(t, nil, line("MaxCircuitDirtiness", "soon"))
		for _, a := range p.acknowledged(t, number, 3, messages.FleetRejected) {
			if !strings.Contains(a.Reason, "MaxCircuitDirtiness") {
				t.Errorf("%s gives no reason: %q", a.Node, a.Reason)
			}
		}
		number = p.publish(t, nil, line("SocksPort", "0.0.0.0:9050"))
		p.acknowledged(t, number, 3, messages.FleetRejected)
		allHave(t, nodes, "MaxCircuitDirtiness", "3 minutes")
	})
	t.Run("unsigned", func(t *testing.T) {
		var number uint64
		eventually(t, "publish", func() error { // servers that choose a leader just now do not answer
			last, err := c.Config(t.Context())
			if err != nil && last.Number == 0 {
				return err
			}
			number, err = c.Publish(t.Context(), []byte(`{"document":"{}","key":"","signature":""}`), last.Number)
			return err
		})
		for _, a := range p.acknowledged(t, number, 3, messages.FleetRejected) {
			if !strings.Contains(a.Reason, "not signed") {
				t.Errorf("%s: %q", a.Node, a.Reason)
			}
		}
		allHave(t, nodes, "MaxCircuitDirtiness", "3 minutes")
	})
	t.Run("harmful", func(t *testing.T) { // well-formed, and no circuit can be built any more
		number := p.publish(t, func(d *messages.FleetDocument) {
			d.Trial = &messages.FleetTrial{Seconds: 3, Circuits: 20, Success: 0.5}
		}, line("CircuitRate", "1"), line("CircuitBurst", "1"))
		p.acknowledged(t, number, 3, messages.FleetReverted)
		allHave(t, nodes, "CircuitBurst", "50")
		allHave(t, nodes, "MaxCircuitDirtiness", "3 minutes")
	})
	t.Run("good on trial", func(t *testing.T) {
		number := p.publish(t, func(d *messages.FleetDocument) {
			// Relays that started a moment ago refuse a circuit now and then.
			d.Nodes, d.Trial = []string{"n2"}, &messages.FleetTrial{Seconds: 15, Circuits: 3, Success: 0.1}
		}, line("MaxCircuitDirtiness", "4 minutes"))
		p.acknowledged(t, number, 2, messages.FleetWaiting)
		p.acknowledged(t, number, 1, messages.FleetApplied)
		allHave(t, nodes[1:2], "MaxCircuitDirtiness", "4 minutes")
		allHave(t, nodes[:1], "MaxCircuitDirtiness", "3 minutes")
	})
	t.Run("a server killed", func(t *testing.T) {
		h.kill(0)
		number := p.publish(t, nil, line("MaxCircuitDirtiness", "5 minutes"))
		p.acknowledged(t, number, 3, messages.FleetApplied)
		allHave(t, nodes, "MaxCircuitDirtiness", "5 minutes")
		h.start(t, 0)
	})
	t.Run("a node gone", func(t *testing.T) {
		_, watcher := h.as(t, bridge.RoleObserve)
		membersAre(t, watcher, 3)
		going[2].end()
		nodes[2].stop()
		nodes = nodes[:2]
		membersAre(t, watcher, 2)
		number := p.publish(t, nil, line("MaxCircuitDirtiness", "6 minutes"))
		p.acknowledged(t, number, 2, messages.FleetApplied)
	})
	t.Run("a node from the shared directory", func(t *testing.T) {
		var c *client
		for late := time.Now().Add(patience); ; { // servers that choose a leader just now do not answer, and directories are asked
			begun := time.Now()
			c = start(t, n, h.torrc(2)...)
			c.serves(t, n, "late")
			t.Logf("first bytes after %v", time.Since(begun).Round(time.Millisecond))
			shared, asked := c.documents()
			if shared == 2 && asked == 0 {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%d documents from the fleet, %d from directories", shared, asked)
			}
			c.stop()
		}
		nodes = append(nodes, c)
		number := p.publish(t, nil, line("MaxCircuitDirtiness", "8 minutes"))
		p.acknowledged(t, number, 3, messages.FleetApplied)
		c.stop()
		nodes = nodes[:2]
	})
	t.Run("all servers dead", func(t *testing.T) {
		for i := range 3 {
			h.kill(i)
		}
		for i, c := range nodes {
			c.serves(t, n, fmt.Sprintf("alone%d", i))
		}
		for i := range 3 {
			h.start(t, i)
		}
		number := p.publish(t, nil, line("MaxCircuitDirtiness", "7 minutes"))
		p.acknowledged(t, number, 2, messages.FleetApplied)
	})
	for _, f := range going {
		f.end()
	}
	complete(t, nodes)
}

// documents counts those that came from the fleet, and those that came from directories.
func (c *client) documents() (shared, asked int) {
	c.count(func(e *chivev1.Envelope) bool {
		switch f := e.GetDocumentFetched(); {
		case f == nil:
		case f.GetShared():
			shared++
		default:
			asked++
		}
		return false
	})
	return shared, asked
}

func membersAre(t *testing.T, c *fleet.Client, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d members", want), func() error {
		all, err := c.Members(t.Context())
		if err == nil && len(all) != want {
			err = fmt.Errorf("%d", len(all))
		}
		return err
	})
}

// complete: what each node has told, it has told without gaps, and its history has every
// configuration that was in force.
func complete(t *testing.T, nodes []*client) {
	t.Helper()
	for i, c := range nodes {
		c.mu.Lock()
		for j, e := range c.log {
			if e.GetSequence() != uint64(j+1) {
				t.Errorf("n%d: event %d stands where %d should", i+1, e.GetSequence(), j+1)
				break
			}
		}
		c.mu.Unlock()
		if applied := c.count(func(e *chivev1.Envelope) bool { return e.GetConfigApplied().GetMouth() == "fleet" }); applied < 5 {
			t.Errorf("n%d: %d configurations of the fleet in its log", i+1, applied)
		}
		history, err := c.Control().ConfigHistory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var last uint64
		for _, r := range history {
			if r.Revision == 0 {
				continue
			}
			if r.Revision != last+1 {
				t.Errorf("n%d: revision %d behind %d", i+1, r.Revision, last)
			}
			last = r.Revision
		}
	}
}
