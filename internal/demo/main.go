// Command demo shows chive's main job end to end: it brings up a private Tor
// network of Debian's tor, runs chive in front of it, downloads 100 MiB with
// curl through SOCKS, compares the hash, and prints the path length and some
// circuit events as an ordinary NATS client receives them. Three nodes are a fleet: one
// signed publication changes all, a harmful one is taken back by the node that tried it.
// Then the torrc changes
// in the middle of a download, relays are killed in the middle of another, and
// chive says why it broke; at last every relay is killed and comes back, and
// circuit breakers open and close. Everything it started is gone when it ends.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

const size = 100 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "chive-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	step("building chive")
	binary := filepath.Join(dir, "chive")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/chive")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	step("starting a private Tor network (3 authorities, 6 relays, 3 exits)")
	network, err := testnet.Start(ctx, testnet.Options{Onions: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	step("the network is up after %s", network.StartTime().Round(100*time.Millisecond))
	return withClient(ctx, dir, binary, network)
}

func step(format string, args ...any) { fmt.Printf("==> "+format+"\n", args...) }

// client is the running chive with where it listens.
type client struct {
	name, binary, keys      string
	torrc, data             string
	socks, nats, credential string
	cmd                     *exec.Cmd
}

func withClient(ctx context.Context, dir, binary string, network *testnet.Network) (err error) {
	all, err := makeFleet(ctx, dir, binary, network)
	if err != nil {
		return err
	}
	c := all[0]
	defer func() {
		step("stopping chive")
		for _, n := range all {
			err = errors.Join(err, n.stop())
		}
	}()
	for i, n := range all {
		step("chive run -f %s.torrc", n.name)
		begin := time.Now()
		if err := n.start(ctx, i == 0); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		step("%s is ready after %s", n.name, time.Since(begin).Round(10*time.Millisecond))
	}
	if err := c.show(ctx, network); err != nil {
		return err
	}
	return c.live(ctx, network)
}

// waitReady prints chive's log until it has bootstrapped, and drops the rest.
func waitReady(ctx context.Context, logs io.Reader, loud bool) error {
	ready := make(chan error, 1)
	go func() {
		scanner := bufio.NewScanner(logs)
		said := false
		for scanner.Scan() {
			if said {
				continue
			}
			if loud {
				fmt.Println("   ", scanner.Text())
			}
			if strings.Contains(scanner.Text(), "percent=100") {
				said = true
				ready <- nil
			}
		}
		if !said {
			ready <- errors.New("chive ended before it was ready")
		}
	}()
	select {
	case err := <-ready:
		return err
	case <-time.After(60 * time.Second):
		return errors.New("chive is not ready after 60 s")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) show(ctx context.Context, network *testnet.Network) error {
	events, stop, err := c.watch("chive.v1.*.n1.evt.circuit.>")
	if err != nil {
		return err
	}
	defer stop()
	target := resource(network, size)
	want, err := directHash(ctx, target)
	if err != nil {
		return err
	}
	step("curl --socks5-hostname %s %s", c.socks, target)
	begin := time.Now()
	got, err := curlHash(ctx, "--socks5-hostname", c.socks, "--proxy-user", "demo:1", target)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	fmt.Printf("    %d MiB in %s, %.1f MiB/s\n    sha256 direct   %s\n    sha256 over Tor %s\n",
		size>>20, took.Round(10*time.Millisecond), float64(size>>20)/took.Seconds(), want, got)
	if got != want {
		return errors.New("the hashes differ")
	}
	return c.story(events)
}

func resource(network *testnet.Network, bytes int) string {
	return fmt.Sprintf("http://%s:%d/bytes/%d", network.Target().IP, network.Target().HTTPPort, bytes)
}

// watch subscribes to events as any NATS client would.
func (c *client) watch(subject string) (<-chan *chivev1.Envelope, func(), error) {
	key, err := nats.NkeyOptionFromSeed(c.credential)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect("nats://"+c.nats, key)
	if err != nil {
		return nil, nil, err
	}
	events := make(chan *chivev1.Envelope, 1024)
	_, err = nc.Subscribe(subject, func(m *nats.Msg) {
		if e, err := messages.Decode(m.Data); err == nil {
			select {
			case events <- e:
			default: // the demo shows only some
			}
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	return events, nc.Close, err
}

// story prints what came over NATS and the length of a path.
func (c *client) story(events <-chan *chivev1.Envelope) error {
	step("circuit events received over NATS, subject chive.v1.*.n1.evt.circuit.>")
	hops, shown := uint32(0), 0
	for {
		select {
		case e := <-events:
			if shown++; shown <= 8 {
				fmt.Println("   ", messages.Text(e))
			}
			hops = max(hops, e.GetCircuitOpened().GetHops(), e.GetCircuitLaunched().GetHops())
		case <-time.After(time.Second):
			if shown == 0 {
				return errors.New("no event came")
			}
			if hops == 0 {
				return errors.New("no circuit was opened while we listened")
			}
			step("path length: %d relays", hops)
			return nil
		}
	}
}

func directHash(ctx context.Context, target string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	h := sha256.New()
	_, err = io.Copy(h, res.Body)
	return hex.EncodeToString(h.Sum(nil)), err
}

func curlHash(ctx context.Context, args ...string) (string, error) {
	h := sha256.New()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sS", "--fail", "--max-time", "120"}, args...)...)
	cmd.Stdout, cmd.Stderr = h, os.Stderr
	err := cmd.Run()
	return hex.EncodeToString(h.Sum(nil)), err
}
