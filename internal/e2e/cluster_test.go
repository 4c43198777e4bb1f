package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/internal/testnet"
	"chive/messages"
)

// process is a node in a process of its own, as chive run starts it.
type process struct {
	name, torrc, data, nats string
	socks                   string
	cmd                     *exec.Cmd
	over                    chan struct{} // closed: it has ended, with err
	err                     error
	said                    bytes.Buffer
	binary                  string
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.binary, "run", "-f", p.torrc)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHIVE_") }) // those of tests are no options
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, over := p.cmd, make(chan struct{})
	p.over = over
	go func() {
		defer close(over)
		p.err = cmd.Wait()
	}()
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.over
		p.cmd = nil
	}
}

// stop ends it in order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if <-p.over; p.err != nil {
		t.Errorf("%s: %v", p.name, p.err)
	}
	p.cmd = nil
}

// ask runs chive with the process' data directory.
func (p *process) ask(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.binary, append(args, "--data-dir", p.data)...).CombinedOutput()
	return string(out), err
}

// building builds the program into a folder while other things are done; built returns when
// that is over.
func building(t *testing.T, dir string) (binary string, built func()) {
	t.Helper()
	binary = filepath.Join(dir, "chive")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "chive/cmd/chive")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	var said bytes.Buffer
	build.Stdout, build.Stderr = &said, &said
	if err := build.Start(); err != nil {
		t.Fatal(err)
	}
	return binary, func() {
		t.Helper()
		if err := build.Wait(); err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
	}
}

// embedded are three nodes whose embedded servers are one cluster.
func embedded(t *testing.T, n *testnet.Network) (all []*process, signer []byte) {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, built := building(t, dir)
	built()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	public, err := bridge.KeptKey(filepath.Join(dir, "signer"))
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = os.ReadFile(filepath.Join(dir, "signer")); err != nil {
		t.Fatal(err)
	}
	secret := write("secret", "a-secret-of-all-servers\n")
	var routes []string
	for i := range 3 {
		p := &process{name: fmt.Sprintf("n%d", i+1), binary: binary, nats: freePort(t), socks: freePort(t)}
		p.data = filepath.Join(dir, p.name)
		listen := freePort(t)
		lines := append(n.ClientTorrc(), "DataDirectory "+p.data, "SocksPort "+p.socks, "Fleet f", "NodeName "+p.name,
			"NatsListen "+p.nats, "NatsCredentialFile "+filepath.Join(dir, "observe"), "NatsClusterListen "+listen,
			"NatsClusterCredentialFile "+secret, "FleetConfigKey "+public, "FleetReplicas 3")
		for _, r := range routes {
			lines = append(lines, "NatsRoutes "+r)
		}
		routes = append(routes, listen)
		p.torrc = write(p.name+".torrc", strings.Join(lines, "\n")+"\n")
		all = append(all, p)
	}
	for _, r := range []string{"observe", "observe.operate", "observe.configure"} {
		if _, err := bridge.KeptKey(filepath.Join(dir, r)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, p := range all {
			p.kill()
			if t.Failed() {
				t.Logf("%s:\n%s", p.name, p.said.String())
			}
		}
	})
	return all, signer
}

// Three processes, the embedded servers of which are one cluster: one of them is
// killed, node and NATS server at once, and comes back.
func TestFleetOnEmbeddedServers(t *testing.T) {
	t.Parallel()
	n := network(t)
	all, signer := embedded(t, n)
	clients := make([]*client, 3)
	for i, p := range all {
		p.start(t)
		clients[i] = &client{t: t, socks: p.socks}
	}
	for _, p := range all {
		p.bootstrapped(t)
	}
	c := roleOf(t, all[0], "observe.configure")
	p := &publisher{c, signer}
	membersAre(t, roleOf(t, all[1], "observe"), 3)
	p.acknowledged(t, p.publish(t, nil, line("MaxCircuitDirtiness", "3 minutes")), 3, messages.FleetApplied)
	for _, node := range all {
		node.has(t, "MaxCircuitDirtiness", "3 minutes")
	}
	f0, f1 := flows(t, n, "n1", clients[0]), flows(t, n, "n2", clients[1])
	defer f0.end()
	defer f1.end()

	all[2].kill()
	number := p.publish(t, nil, line("MaxCircuitDirtiness", "4 minutes"))
	p.acknowledged(t, number, 2, messages.FleetApplied)
	poison := p.publish(t, nil, line("MaxCircuitDirtiness", "never"))
	p.acknowledged(t, poison, 2, messages.FleetRejected)
	for _, node := range all[:2] {
		node.has(t, "MaxCircuitDirtiness", "4 minutes")
	}
	number = p.publish(t, nil, line("MaxCircuitDirtiness", "5 minutes"))

	all[2].start(t) // with the torrc of the one that others find: no route is named there
	all[2].bootstrapped(t)
	p.acknowledged(t, number, 3, messages.FleetApplied)
	for _, node := range all {
		node.has(t, "MaxCircuitDirtiness", "5 minutes")
	}
	clients[2].serves(t, n, "back")
	f0.end()
	f1.end()
	for _, node := range all {
		out, err := node.ask(t, "config", "history")
		if err != nil || strings.Count(out, "(fleet's revision") < 2 {
			t.Errorf("%s: history %q, %v", node.name, out, err)
		}
		node.stop(t)
	}
}

func roleOf(t *testing.T, p *process, file string) *fleet.Client {
	t.Helper()
	_, c := dialAs(t, "nats://"+p.nats, filepath.Join(filepath.Dir(p.data), file))
	return c
}

// bootstrapped waits until the process serves streams.
func (p *process) bootstrapped(t *testing.T) {
	t.Helper()
	eventually(t, p.name+" is ready", func() error {
		out, err := p.ask(t, "status")
		if err == nil && !strings.Contains(out, "100 %") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
}

func (p *process) has(t *testing.T, option, value string) {
	t.Helper()
	if out, err := p.ask(t, "config", "show", option); err != nil || strings.TrimSpace(out) != value {
		t.Errorf("%s: %s is %q, want %s; %v", p.name, option, out, value, err)
	}
}
