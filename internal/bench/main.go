// Command bench measures chive, beside C tor in one run: before real relays of a private
// network (start, downloads and uploads, CPU a GiB, memory), and alone, before the collapsed
// network of internal/collapsed. Real relays share the machine with the client, so
// throughput is theirs as much as the client's; CPU seconds of the client a GiB is what
// tells.
//
//	bench            everything; writes tables and plot into docs/
//	bench alone      the client alone and its layers; writes their tables
//	bench circuits   requests that need circuits of their own; writes nothing
//	bench conflux    one transfer with conflux and without; writes nothing
//	bench onion      onion services, visited and hosted; writes nothing
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
	"slices"
	"strings"
	"syscall"
	"time"

	"chive/internal/freeport"
	"chive/internal/testnet"
)

const (
	rounds      = 3 // of each; the median counts
	idleStreams = 2000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := part(ctx, os.Args[1:])
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

// program is a client that can be started: the command's last argument is to be a torrc.
type program struct {
	name    string
	command []string
}

// part does what the arguments say.
func part(ctx context.Context, args []string) (err error) {
	what := ""
	if len(args) > 0 {
		what = args[0]
	}
	if what == collapsedRole {
		return serveCollapsed(args[1:])
	}
	dir, err := os.MkdirTemp("", "chive-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "chive")
	if err := build(ctx, binary, "-s -w"); err != nil {
		return err
	}
	programs := []program{
		{"chive", []string{binary, "run", "-f"}},
		{"C tor", []string{"tor", "--defaults-torrc", "/dev/null", "-f"}},
	}
	switch what {
	case "":
		if err := tables(ctx, programs, dir); err != nil {
			return err
		}
		return beside(ctx, programs, dir, measureAll)
	case "alone":
		return tables(ctx, programs, dir)
	case "circuits":
		return beside(ctx, programs, dir, measureCircuits)
	case "conflux":
		return beside(ctx, programs, dir, measureConflux)
	case "onion":
		return beside(ctx, programs, dir, measureOnions)
	default:
		return fmt.Errorf("there is no part %q: want alone, circuits, conflux, onion, or nothing", what)
	}
}

const page = "docs/performance.md"

// tables measures the client's layers and the client alone.
func tables(ctx context.Context, programs []program, dir string) error {
	byLayer := &table{
		name: " alone: layers", setting: "Nanoseconds a cell of 514 bytes on one core, the fastest of many short runs.",
		columns: []string{"", "chive", "floor", "ratio"},
	}
	least, err := measureLayers(ctx, byLayer)
	if err != nil {
		return err
	}
	byLayer.print(os.Stdout)
	whole := &table{name: " alone: client", setting: setting(ctx, aloneRounds), columns: []string{""}}
	for _, p := range programs {
		whole.columns = append(whole.columns, p.name)
	}
	whole.columns = append(whole.columns, "floor")
	if err := measureAlone(ctx, programs, dir, least, whole); err != nil {
		return err
	}
	whole.print(os.Stdout)
	for _, t := range []*table{byLayer, whole} {
		if err := writePart(page, t.name, t.markdown()); err != nil {
			return err
		}
	}
	return nil
}

// measurement is of clients that have a network of real relays.
type measurement func(ctx context.Context, network *testnet.Network, programs []program, dir string) error

// beside measures the clients before real relays.
func beside(ctx context.Context, programs []program, dir string, measure measurement) (err error) {
	network, err := testnet.Start(ctx, testnet.Options{Onions: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	return measure(ctx, network, programs, dir)
}

// subjectsOf are the clients with lines of their own beside the network's.
func subjectsOf(network *testnet.Network, programs []program, lines ...string) (out []subject) {
	for _, p := range programs {
		out = append(out, subject{p.name, startWith(append(network.ClientTorrc(), lines...), p.command...)})
	}
	return out
}

func measureCircuits(ctx context.Context, network *testnet.Network, programs []program, dir string) error {
	r := &report{}
	err := circuits(ctx, network, subjectsOf(network, programs), dir, r)
	r.print(os.Stdout, 0)
	return err
}

func measureConflux(ctx context.Context, network *testnet.Network, programs []program, dir string) error {
	r := &report{}
	err := confluxes(ctx, network, programs, dir, r)
	r.print(os.Stdout, 0)
	return err
}

func measureOnions(ctx context.Context, network *testnet.Network, programs []program, dir string) error {
	r := &report{setting: setting(ctx, onionRounds)}
	err := onions(ctx, network, programs, dir, r)
	r.print(os.Stdout, 0)
	return err
}

func measureAll(ctx context.Context, network *testnet.Network, programs []program, dir string) error {
	subjects := subjectsOf(network, programs)
	r := &report{setting: setting(ctx, rounds)}
	for _, measure := range []func() error{
		func() error { return measureStarts(ctx, network, subjects, dir, r) },
		func() error { return measureLong(ctx, network, subjects, dir, r) },
		func() error { return circuits(ctx, network, subjects, dir, r) },
		func() error { return onions(ctx, network, programs, dir, r) },
	} {
		from := len(r.rows)
		if err := measure(); err != nil {
			return err
		}
		r.print(os.Stdout, from)
	}
	if err := r.write(page, "docs/performance.svg"); err != nil {
		return err
	}
	return events(ctx, network, dir, programs[0].command[0])
}

// setting says what it was measured on.
func setting(ctx context.Context, rounds int) string {
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

// startWith makes a starter of clients of a network: the command's last argument is the
// torrc.
func startWith(network []string, command ...string) func(context.Context, string) (int, string, func() error, error) {
	return func(ctx context.Context, dir string) (int, string, func() error, error) {
		socks, err := freeport.Address()
		if err != nil {
			return 0, "", nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return 0, "", nil, err
		}
		lines := append(slices.Clone(network), "DataDirectory "+filepath.Join(dir, "data"), "SocksPort "+socks,
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
		size, err := testnet.RSS(c.pid)
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
	before, err := testnet.RSS(client.pid)
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
	after, err := testnet.RSS(client.pid)
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
	return download(ctx, fmt.Sprintf("%s:%d", network.Target().IP, network.Target().HTTPPort), socks, user, size)
}

// download is fetch from any host, which may have a port.
func download(ctx context.Context, host, socks, user string, size int) (time.Duration, error) {
	client, done := through(socks, user)
	defer done()
	target := fmt.Sprintf("http://%s/bytes/%d", host, size)
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
