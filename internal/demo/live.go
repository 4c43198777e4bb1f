package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"chive/internal/shell"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// live changes and breaks things under a running chive.
func (c *client) live(ctx context.Context, network *testnet.Network) error {
	events, stop, err := c.watch("chive.v1.*.n1.evt.>")
	if err != nil {
		return err
	}
	defer stop()
	for _, part := range []func(context.Context, *testnet.Network, <-chan *chivev1.Envelope) error{c.fleet, c.reload, c.kill, c.breakers} {
		if err := part(ctx, network, events); err != nil {
			return err
		}
	}
	return nil
}

// reload edits the torrc while a download runs.
func (c *client) reload(ctx context.Context, network *testnet.Network, events <-chan *chivev1.Envelope) error {
	step("a live reload: the torrc is edited in the middle of a download")
	target := resource(network, 40<<20)
	want, err := directHash(ctx, target)
	if err != nil {
		return err
	}
	hash, failed := make(chan string, 1), make(chan error, 1)
	connected := c.background(ctx, events, "reload:1", target, hash, failed)
	if !connected {
		return errors.Join(errors.New("the download does not begin"), <-failed)
	}
	text, err := os.ReadFile(c.torrc)
	if err != nil {
		return err
	}
	text = append(text, "NewCircuitPeriod 20 seconds\nRelayBreakerFailures 2\nRelayBreakerOpenTime 5 seconds\n"...)
	if err := os.WriteFile(c.torrc, text, 0o600); err != nil {
		return err
	}
	if err := await(ctx, events, "the change", func(e *chivev1.Envelope) bool { return e.GetConfigApplied() != nil }); err != nil {
		return err
	}
	if err := c.chive(ctx, "config", "history"); err != nil {
		return err
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("the download did not survive the change: %w", err)
	}
	if got := <-hash; got != want {
		return errors.New("the download did not survive the change: the hashes differ")
	}
	fmt.Println("    the download under way is complete, its hash is right")
	return nil
}

// background starts a download and says whether it began.
func (c *client) background(ctx context.Context, events <-chan *chivev1.Envelope, user, target string, hash chan<- string, failed chan<- error) bool {
	go func() {
		got, err := curlHash(ctx, "--socks5-hostname", c.socks, "--proxy-user", user, "--no-show-error", target)
		hash <- got
		failed <- err
	}()
	return await(ctx, events, "a connected stream", func(e *chivev1.Envelope) bool { return e.GetStreamConnected() != nil }) == nil
}

// kill ends the relays that chive is connected to.
func (c *client) kill(ctx context.Context, network *testnet.Network, events <-chan *chivev1.Envelope) error {
	step("a relay is killed: the first relays of chive's circuits, in the middle of a download")
	hash, failed := make(chan string, 1), make(chan error, 1)
	if !c.background(ctx, events, "kill:1", resource(network, 200<<20), hash, failed) {
		return errors.Join(errors.New("the download does not begin"), <-failed)
	}
	guards, err := c.connected(network)
	if err != nil {
		return err
	}
	for _, name := range guards {
		fmt.Println("    kill -9", name)
		if err := network.Kill(name); err != nil {
			return err
		}
	}
	if err := <-failed; err == nil {
		return errors.New("the download lost its relay and did not end in an error")
	}
	if err := c.chive(ctx, "why", "stream", "--last"); err != nil {
		return err
	}
	if err := c.fetch(ctx, network, "after:1"); err != nil {
		return fmt.Errorf("the next request: %w", err)
	}
	fmt.Println("    the next request goes through other relays")
	return nil
}

// connected names the relays to which chive has a connection.
func (c *client) connected(network *testnet.Network) ([]string, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil, err
	}
	sockets, err := c.sockets()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range network.Nodes() {
		if n.Role == testnet.RoleAuth || !n.IP.Is4() {
			continue
		}
		relay := hexAddress(n.IP, n.ORPort)
		for _, line := range strings.Split(string(table), "\n") {
			if f := strings.Fields(line); len(f) > 9 && f[2] == relay && sockets["socket:["+f[9]+"]"] {
				names = append(names, n.Name)
				break
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("chive has no connection to a relay")
	}
	return names, nil
}

// sockets are those of chive's process, as /proc names them.
func (c *client) sockets() (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, f := range files {
		if link, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil { // else closed meanwhile
			out[link] = true
		}
	}
	return out, nil
}

// hexAddress is how /proc/net/tcp writes one on a little-endian machine.
func hexAddress(ip netip.Addr, port int) string {
	a := ip.As4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", a[3], a[2], a[1], a[0], port)
}

// breakers kills every relay, waits for a breaker to open, brings the relays back
// and waits for it to close.
func (c *client) breakers(ctx context.Context, network *testnet.Network, events <-chan *chivev1.Envelope) error {
	step("every relay is killed: circuit breakers open")
	var killed []string
	for _, n := range network.Nodes() {
		killed = append(killed, n.Name)
		_ = network.Kill(n.Name) // some are dead already
	}
	opened := func(e *chivev1.Envelope) bool { return e.GetBreakerOpened() != nil }
	if err := await(ctx, events, "an open breaker", opened); err != nil {
		return err
	}
	step("the relays come back: the breakers are probed, and close")
	for _, name := range killed {
		if err := network.Restart(name); err != nil {
			return err
		}
	}
	asked, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan int, 1)
	go func() { served <- c.ask(asked, network) }()
	closed := func(e *chivev1.Envelope) bool { return e.GetBreakerClosed() != nil }
	if err := await(ctx, events, "a closed breaker", closed); err != nil {
		return err
	}
	if err := c.fetch(ctx, network, "back:1"); err != nil {
		return fmt.Errorf("after the relays came back: %w", err)
	}
	stop()
	fmt.Println("    requests are served again:", <-served+1)
	return nil
}

// ask makes small isolated requests, one after the other, until the context ends,
// and counts those that were served.
func (c *client) ask(ctx context.Context, network *testnet.Network) (served int) {
	for i := 0; ctx.Err() == nil; i++ {
		_, err := curlHash(ctx, "--socks5-hostname", c.socks, "--proxy-user", fmt.Sprintf("ask%d:1", i),
			"--max-time", "20", "--no-show-error", resource(network, 10_000))
		if err == nil {
			served++
		}
	}
	return served
}

// fetch is one small request.
func (c *client) fetch(ctx context.Context, network *testnet.Network, user string) error {
	_, err := curlHash(ctx, "--socks5-hostname", c.socks, "--proxy-user", user, "--max-time", "20", "--retry", "5", "--retry-all-errors", resource(network, 100_000))
	return err
}

// shown are the events that await prints on its way.
func shown(e *chivev1.Envelope) bool {
	return e.GetConfigApplied() != nil || e.GetBreakerOpened() != nil || e.GetBreakerHalfOpened() != nil || e.GetBreakerClosed() != nil ||
		e.GetGuardUnreachable() != nil
}

// await reads events until one is it.
func await(ctx context.Context, events <-chan *chivev1.Envelope, what string, it func(*chivev1.Envelope) bool) error {
	late := time.After(2 * time.Minute)
	for {
		select {
		case e := <-events:
			if shown(e) {
				fmt.Println("   ", messages.Text(e))
			}
			if it(e) {
				return nil
			}
		case <-late:
			return fmt.Errorf("%s did not come in 2 minutes", what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// chive runs one of its commands and prints what it says.
func (c *client) chive(ctx context.Context, args ...string) error {
	fmt.Println("    $ chive", shell.Line(args...))
	if !slices.Contains(args, "--data-dir") {
		args = append(args, "--data-dir", c.data)
	}
	out, err := exec.CommandContext(ctx, c.binary, args...).CombinedOutput()
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	for i, line := range lines {
		if i == 14 && len(lines) > 16 {
			fmt.Println("      … and " + strconv.Itoa(len(lines)-i) + " lines more")
			break
		}
		fmt.Println("      " + line)
	}
	return err
}
