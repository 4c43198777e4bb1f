// Command bench compares chive with C tor as clients of one private network,
// in one run: start, downloads and uploads, CPU a GiB, and memory. The relays share the
// machine with the client, so throughput is theirs as much as the client's;
// CPU seconds of the client a GiB is what tells. With the argument "circuits" only
// requests that need circuits of their own are measured, with "conflux" only one transfer,
// with and without it. A whole run writes its table into
// docs/performance.md and draws docs/performance.svg.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"chive/internal/testnet"
)

const (
	rounds      = 3 // of each; the median counts
	idleStreams = 2000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// subject is a client that can be started in a folder.
type subject struct {
	name  string
	start func(ctx context.Context, dir string) (pid int, socks string, stop func() error, err error)
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "chive-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "chive")
	if err := build(ctx, binary, "-s -w"); err != nil {
		return err
	}
	network, err := testnet.Start(ctx, testnet.Options{Onions: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	subjects := []subject{
		{"chive", startWith(network, binary, "run", "-f")},
		{"C tor", startWith(network, "tor", "--defaults-torrc", "/dev/null", "-f")},
	}
	if len(os.Args) > 1 {
		r := &report{}
		switch os.Args[1] {
		case "circuits":
			err = circuits(ctx, network, subjects, dir, r)
		case "conflux":
			err = confluxes(ctx, network, binary, dir, r)
		default:
			return fmt.Errorf("%q: want circuits, conflux or nothing", os.Args[1])
		}
		r.print(os.Stdout, 0)
		return err
	}
	r := &report{setting: setting(ctx)}
	for _, measure := range []func() error{
		func() error { return measureStarts(ctx, network, subjects, dir, r) },
		func() error { return measureLong(ctx, network, subjects, dir, r) },
		func() error { return circuits(ctx, network, subjects, dir, r) },
	} {
		from := len(r.rows)
		if err := measure(); err != nil {
			return err
		}
		r.print(os.Stdout, from)
	}
	if err := r.write("docs/performance.md", "docs/performance.svg"); err != nil {
		return err
	}
	return events(ctx, network, dir, binary)
}

// setting says what it was measured on.
func setting(ctx context.Context) string {
	version := "C tor"
	if out, err := exec.CommandContext(ctx, "tor", "--quiet", "--version").Output(); err == nil {
		first, _, _ := strings.Cut(string(out), "\n")
		version = "C tor " + strings.Trim(strings.TrimPrefix(first, "Tor version "), ". ")
	}
	return fmt.Sprintf("Medians of %d rounds in turns on %d cores beside %s.", rounds, runtime.NumCPU(), version)
}

// build makes a chive.
func build(ctx context.Context, binary, flags string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", binary, "./cmd/chive")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// startWith makes a starter: the command's last argument is the torrc.
func startWith(network *testnet.Network, command ...string) func(context.Context, string) (int, string, func() error, error) {
	return startBy(network, nil, command...)
}

// startBy has lines more in the torrc.
func startBy(network *testnet.Network, more []string, command ...string) func(context.Context, string) (int, string, func() error, error) {
	return func(ctx context.Context, dir string) (int, string, func() error, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, "", nil, err
		}
		socks := l.Addr().String()
		if err := errors.Join(l.Close(), os.MkdirAll(dir, 0o700)); err != nil {
			return 0, "", nil, err
		}
		lines := append(network.ClientTorrc(), "DataDirectory "+filepath.Join(dir, "data"), "SocksPort "+socks,
			"Log notice stdout", "ShutdownWaitLength 0")
		lines = append(lines, more...)
		torrc := filepath.Join(dir, "torrc")
		if err := os.WriteFile(torrc, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return 0, "", nil, err
		}
		cmd := exec.Command(command[0], append(append([]string(nil), command[1:]...), torrc)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return 0, "", nil, err
		}
		stop := func() error {
			err := cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait() // C tor's exit code for a signal is not our matter
			return err
		}
		return cmd.Process.Pid, socks, stop, nil
	}
}

// measureStarts starts clients with an empty folder, and again with what they kept.
func measureStarts(ctx context.Context, network *testnet.Network, subjects []subject, dir string, r *report) error {
	var times [2][2][]float64 // cold and warm
	for round := range rounds {
		for i, s := range subjects {
			for again := range 2 {
				begin := time.Now()
				_, socks, stop, err := s.start(ctx, filepath.Join(dir, fmt.Sprint("start", round, "-", i)))
				if err != nil {
					return err
				}
				err = untilServed(ctx, network, socks)
				times[again][i] = append(times[again][i], time.Since(begin).Seconds())
				if err = errors.Join(err, stop()); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	r.add("cold start to first byte, s", false, times[0][0], times[0][1])
	r.add("warm start to first byte, s", false, times[1][0], times[1][1])
	return nil
}

// measureLong is what clients are measured at that run for long.
func measureLong(ctx context.Context, network *testnet.Network, subjects []subject, dir string, r *report) (err error) {
	clients, stop, err := startAll(ctx, network, subjects, dir, "long")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var rss, p50, p99, idles [2][]float64
	for i, c := range clients {
		size, err := network.RSS(c.pid)
		if err != nil {
			return err
		}
		rss[i] = append(rss[i], float64(size)/(1<<20))
	}
	r.add("RSS after start, MiB", false, rss[0], rss[1])
	for i, c := range clients {
		times, err := firstBytes(ctx, network, c.socks)
		if err != nil {
			return err
		}
		p50[i], p99[i] = append(p50[i], quantile(times, 0.5)), append(p99[i], quantile(times, 0.99))
	}
	r.add("request on a built circuit, p50, ms", false, p50[0], p50[1])
	r.add("request on a built circuit, p99, ms", false, p99[0], p99[1])
	if err := measureLoads(ctx, network, clients, r); err != nil {
		return err
	}
	for i, c := range clients {
		each, err := idle(network, c)
		if err != nil {
			return err
		}
		idles[i] = append(idles[i], each)
	}
	r.add("RSS an idle stream, KiB", false, idles[0], idles[1])
	return nil
}

// untilServed asks for a byte until it comes.
func untilServed(ctx context.Context, network *testnet.Network, socks string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		if _, err := fetch(ctx, network, socks, "start", 1); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return fmt.Errorf("no byte after 60 s: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// firstBytes are the times of requests on a circuit that is built already, in ms.
func firstBytes(ctx context.Context, network *testnet.Network, socks string) (times []float64, err error) {
	for range 201 {
		took, err := fetch(ctx, network, socks, "first", 1)
		if err != nil {
			return nil, err
		}
		times = append(times, took.Seconds()*1e3)
	}
	return times[1:], nil // the first may have had to build one
}

// idle holds streams open that carry nothing, and asks what each costs, in KiB.
func idle(network *testnet.Network, client running) (float64, error) {
	before, err := network.RSS(client.pid)
	if err != nil {
		return 0, err
	}
	a4, port := network.Target().IP.As4(), network.Target().EchoPort
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, a4[:]...)
	request = append(request, byte(port>>8), byte(port))
	for range idleStreams {
		c, err := net.Dial("tcp", client.socks)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		var reply [12]byte
		if _, err := c.Write(request); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(bufio.NewReader(c), reply[:]); err != nil {
			return 0, fmt.Errorf("idle stream: %w", err)
		}
	}
	after, err := network.RSS(client.pid)
	return float64(after-before) / 1024 / idleStreams, err
}

// through is a client that asks as one SOCKS user, for one request.
func through(socks, user string) (client *http.Client, done func()) {
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5h", Host: socks, User: url.UserPassword(user, "x")}),
		DisableKeepAlives: true,
	}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// fetch downloads size bytes as one SOCKS user; it gives the time to the end.
func fetch(ctx context.Context, network *testnet.Network, socks, user string, size int) (time.Duration, error) {
	client, done := through(socks, user)
	defer done()
	target := fmt.Sprintf("http://%s:%d/bytes/%d", network.Target().IP, network.Target().HTTPPort, size)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && n != int64(size) {
		err = fmt.Errorf("%d of %d bytes", n, size)
	}
	return time.Since(begin), err
}
