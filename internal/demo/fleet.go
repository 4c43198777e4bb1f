package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"chive/internal/freeport"
	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// fleetName is the demo's; its nodes are n1, on which most is shown, n2 and n3.
const fleetName = "demo"

// makeFleet makes the keys of three nodes, the embedded servers of which are one
// cluster, and their torrcs.
func makeFleet(ctx context.Context, dir, binary string, network *testnet.Network) ([]*client, error) {
	keys := filepath.Join(dir, "keys")
	out, err := exec.CommandContext(ctx, binary, "fleet", "credentials", keys, "--fleet", fleetName, "--nodes", "n1,n2,n3").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var all []*client
	first := ""
	for i := range 3 {
		c := &client{name: fmt.Sprintf("n%d", i+1), binary: binary, keys: keys, credential: filepath.Join(keys, "nats.creds")}
		c.torrc, c.data = filepath.Join(dir, c.name+".torrc"), filepath.Join(dir, c.name)
		var cluster string
		for _, at := range []*string{&c.socks, &c.nats, &cluster} {
			if *at, err = freeport.Address(); err != nil {
				return nil, err
			}
		}
		lines := append(network.ClientTorrc(), "DataDirectory "+c.data, "SocksPort "+c.socks, "ShutdownWaitLength 1",
			"NatsListen "+c.nats, "NatsCredentialFile "+c.credential,
			"NatsClusterListen "+cluster, "NatsClusterCredentialFile "+filepath.Join(keys, "cluster.secret"), "FleetReplicas 3")
		if first == "" {
			first = cluster
		} else {
			lines = append(lines, "NatsRoutes "+first)
		}
		own, err := os.ReadFile(filepath.Join(keys, "node-"+c.name+".torrc"))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(c.torrc, append([]byte(strings.Join(lines, "\n")+"\n"), own...), 0o600); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// start runs the node; its log is shown until it is ready, if it is to be.
func (c *client) start(ctx context.Context, loud bool) error {
	c.cmd = exec.Command(c.binary, "run", "-f", c.torrc)
	logs, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	return waitReady(ctx, logs, loud)
}

func (c *client) stop() error {
	if c.cmd == nil || c.cmd.Process == nil {
		return nil
	}
	return errors.Join(c.cmd.Process.Signal(syscall.SIGTERM), c.cmd.Wait())
}

// fleet configures three nodes at once, well and badly.
func (c *client) fleet(ctx context.Context, _ *testnet.Network, _ <-chan *chivev1.Envelope) error {
	step("a fleet of three nodes")
	set := []string{"fleet", "config", "set", "--data-dir", c.data, "--key", filepath.Join(c.keys, "config.nk")}
	if err := c.members(ctx, 3); err != nil {
		return err
	}
	step("one signed publication changes all of them, live")
	if err := c.chive(ctx, append(slices.Clone(set), "--note", "demo", "MaxCircuitDirtiness", "5 minutes")...); err != nil {
		return err
	}
	step("a harmful one goes to a canary first: too few circuits can be built with it, so the node takes it back by itself, and the others never see it")
	err := c.chive(ctx, append(slices.Clone(set), "--canary", "n2", "--watch", "3s", "--circuits", "20", "CircuitRate", "1")...)
	if err == nil {
		return errors.New("it should have been taken back")
	}
	return c.chive(ctx, "fleet", "status")
}

// members waits until all nodes are there, and lists them.
func (c *client) members(ctx context.Context, want int) error {
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := exec.CommandContext(ctx, c.binary, "fleet", "nodes", "--data-dir", c.data).Output()
		if err == nil && strings.Count(string(out), "100 %") >= want {
			return c.chive(ctx, "fleet", "nodes")
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the fleet has not come together in a minute: %w\n%s", err, out)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
