// Command bench compares chive with C tor as clients of one private network,
// in one run: start, downloads, CPU a GiB, and memory. The relays share the
// machine with the client, so throughput is theirs as much as the client's;
// CPU seconds of the client a GiB is what tells. With the argument "circuits" only
// requests that need circuits of their own are measured.
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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"chive/internal/testnet"
)

const (
	rounds      = 3 // of each download; the median counts
	oneSize     = 64 << 20
	tenSize     = 16 << 20
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

// result is what one client was measured at.
type result struct {
	cold, warm      time.Duration // start to first byte
	oneCPU, tenCPU  float64       // seconds a GiB
	oneRate         float64       // MiB/s
	tenRate         float64
	rssStart        float64 // MiB, after bootstrap
	rssIdle         float64 // KiB an idle stream
	firstByteMedian time.Duration
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
	if len(os.Args) > 1 && os.Args[1] == "circuits" {
		return circuits(ctx, network, subjects, dir)
	}
	var results []result
	for i, s := range subjects {
		r, err := measure(ctx, network, s, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, r)
	}
	table(results[0], results[1])
	if err := circuits(ctx, network, subjects, dir); err != nil {
		return err
	}
	return events(ctx, network, dir, binary)
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

func measure(ctx context.Context, network *testnet.Network, s subject, dir string) (r result, err error) {
	for i, at := range []*time.Duration{&r.cold, &r.warm} {
		begin := time.Now()
		pid, socks, stop, err := s.start(ctx, dir)
		if err != nil {
			return r, err
		}
		err = untilServed(ctx, network, socks)
		*at = time.Since(begin)
		if err == nil && i == 1 {
			err = r.load(ctx, network, pid, socks)
		}
		if err = errors.Join(err, stop()); err != nil {
			return r, err
		}
	}
	return r, nil
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

func (r *result) load(ctx context.Context, network *testnet.Network, pid int, socks string) error {
	if rss, err := network.RSS(pid); err == nil {
		r.rssStart = float64(rss) / (1 << 20)
	}
	cpu := func(streams, size int) (perGiB float64, took time.Duration, err error) {
		before, err := network.CPU(pid)
		if err != nil {
			return 0, 0, err
		}
		begin := time.Now()
		errs := make([]error, streams)
		var wg sync.WaitGroup
		for i := range streams {
			wg.Go(func() { _, errs[i] = fetch(ctx, network, socks, fmt.Sprintf("load%d", i), size) })
		}
		wg.Wait()
		after, err := network.CPU(pid)
		return (after - before).Seconds() / (float64(streams*size) / (1 << 30)), time.Since(begin), errors.Join(append(errs, err)...)
	}
	median := func(streams, size int) (perGiB, rate float64, err error) {
		var costs, rates []float64
		for range rounds {
			cost, took, err := cpu(streams, size)
			if err != nil {
				return 0, 0, err
			}
			costs = append(costs, cost)
			rates = append(rates, float64(streams*size)/(1<<20)/took.Seconds())
		}
		slices.Sort(costs)
		slices.Sort(rates)
		return costs[rounds/2], rates[rounds/2], nil
	}
	var err error
	if r.oneCPU, r.oneRate, err = median(1, oneSize); err != nil {
		return err
	}
	if r.tenCPU, r.tenRate, err = median(10, tenSize); err != nil {
		return err
	}
	if r.firstByteMedian, err = firstByte(ctx, network, socks); err != nil {
		return err
	}
	return r.idle(network, pid, socks)
}

// firstByte is the median over streams on circuits that are built already.
func firstByte(ctx context.Context, network *testnet.Network, socks string) (time.Duration, error) {
	const tries = 51
	var times []time.Duration
	for range tries {
		took, err := fetch(ctx, network, socks, "first", 1)
		if err != nil {
			return 0, err
		}
		at := 0
		for at < len(times) && times[at] < took {
			at++
		}
		times = append(times[:at], append([]time.Duration{took}, times[at:]...)...)
	}
	return times[tries/2], nil
}

// idle holds streams open that carry nothing, and asks what each costs.
func (r *result) idle(network *testnet.Network, pid int, socks string) error {
	before, err := network.RSS(pid)
	if err != nil {
		return err
	}
	a4, port := network.Target().IP.As4(), network.Target().EchoPort
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, a4[:]...)
	request = append(request, byte(port>>8), byte(port))
	for range idleStreams {
		c, err := net.Dial("tcp", socks)
		if err != nil {
			return err
		}
		defer c.Close()
		var reply [12]byte
		if _, err := c.Write(request); err != nil {
			return err
		}
		if _, err := io.ReadFull(bufio.NewReader(c), reply[:]); err != nil {
			return fmt.Errorf("idle stream: %w", err)
		}
	}
	after, err := network.RSS(pid)
	r.rssIdle = float64(after-before) / 1024 / idleStreams
	return err
}

// fetch downloads size bytes as one SOCKS user; it gives the time to the end.
func fetch(ctx context.Context, network *testnet.Network, socks, user string, size int) (time.Duration, error) {
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5h", Host: socks, User: url.UserPassword(user, "x")}),
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	target := fmt.Sprintf("http://%s:%d/bytes/%d", network.Target().IP, network.Target().HTTPPort, size)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	res, err := (&http.Client{Transport: transport}).Do(req)
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

func table(a, b result) {
	fmt.Printf("%-34s %10s %10s %8s\n", "", "chive", "C tor", "ratio")
	row := func(what string, x, y float64) { fmt.Printf("%-34s %10.2f %10.2f %8.2f\n", what, x, y, x/y) }
	row("cold start to first byte, s", a.cold.Seconds(), b.cold.Seconds())
	row("warm start to first byte, s", a.warm.Seconds(), b.warm.Seconds())
	row("1 download, CPU s/GiB", a.oneCPU, b.oneCPU)
	row("10 isolated downloads, CPU s/GiB", a.tenCPU, b.tenCPU)
	row("1 download, MiB/s", a.oneRate, b.oneRate)
	row("10 isolated downloads, MiB/s", a.tenRate, b.tenRate)
	row("request on a built circuit, ms", a.firstByteMedian.Seconds()*1e3, b.firstByteMedian.Seconds()*1e3)
	row("RSS after start, MiB", a.rssStart, b.rssStart)
	row("RSS an idle stream, KiB", a.rssIdle, b.rssIdle)
}
