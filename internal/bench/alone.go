package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"chive/internal/collapsed"
	"chive/internal/testnet"
)

// The collapsed network runs in a process of its own, this program started anew, so that
// its CPU time is counted apart from the client's and from the applications', which are
// this process.
const collapsedRole = "collapsed-network"

// serveCollapsed is that process: it tells what a client needs, and ends with its input.
func serveCollapsed(args []string) error {
	n, err := collapsed.Start(collapsed.Options{CGO: len(args) > 0 && args[0] == "CGO"})
	if err != nil {
		return err
	}
	defer n.Close()
	if err := json.NewEncoder(os.Stdout).Encode(n.Torrc()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	// A client that breaks the protocol is not measured.
	return errors.Join(n.Violations()...)
}

// collapsedNetwork is such a process.
type collapsedNetwork struct {
	torrc []string
	pid   int
	close func() error
}

func startCollapsed(scheme string) (*collapsedNetwork, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, collapsedRole, scheme)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n := &collapsedNetwork{pid: cmd.Process.Pid, close: func() error { return errors.Join(in.Close(), cmd.Wait()) }}
	if err := json.NewDecoder(out).Decode(&n.torrc); err != nil {
		return nil, errors.Join(fmt.Errorf("collapsed network: %w", err), n.close())
	}
	return n, nil
}

// schemes of relay cryptography that the network's relays offer.
var schemes = []string{"tor1", "CGO"}

const (
	aloneRounds = 3
	aloneIdle   = 10_000 // streams
	idleAtOnce  = 64     // of them, being opened
	users       = 4      // who share the streams, with circuits of their own
)

// alone is a load that a client has to itself.
type alone struct {
	streams int
	size    int64 // bytes a stream
	target  func(size int64) string
}

var alones = []alone{
	{1, 256 << 20, collapsed.SourceName},
	{1, 256 << 20, collapsed.SinkName},
	{1, 16 << 20, collapsed.PacedName},
	{100, 2 << 20, collapsed.SourceName},
	{100, 2 << 20, collapsed.SinkName},
}

// up says whether the target takes bytes, paced whether it gives them at its own rate.
func (l alone) up() bool    { return l.target(0) == collapsed.SinkName(0) }
func (l alone) paced() bool { return l.target(0) == collapsed.PacedName(0) }

func (l alone) String() string {
	name := load{streams: l.streams, up: l.up()}.String()
	if l.paced() {
		name += fmt.Sprintf(" at %d MiB/s", collapsed.PacedRate>>20)
	}
	return name
}

// measureAlone measures clients whose relays cost next to nothing, so that the machine is
// theirs.
func measureAlone(ctx context.Context, all []program, dir string, floors floors, t *table) error {
	for _, scheme := range schemes {
		if err := measureScheme(ctx, scheme, all, dir, floors[scheme], t); err != nil {
			return fmt.Errorf("%s: %w", scheme, err)
		}
	}
	return nil
}

func measureScheme(ctx context.Context, scheme string, all []program, dir string, floor float64, t *table) (err error) {
	n, err := startCollapsed(scheme)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	var clients []running
	for i, p := range all {
		pid, socks, stop, err := startWith(n.torrc, p.command...)(ctx, filepath.Join(dir, fmt.Sprint("alone-", scheme, i)))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		if err := untilCarried(ctx, socks); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		clients = append(clients, running{pid, socks})
	}
	for _, l := range alones {
		costs := make([][]cost, len(clients))
		for range aloneRounds {
			for i, c := range clients {
				x, err := l.run(ctx, c, n.pid)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", all[i].name, l, err)
				}
				costs[i] = append(costs[i], x)
			}
		}
		row := func(what, last string, of func(cost) float64) {
			cells := []string{fmt.Sprintf("%s: %s, %s", scheme, l, what)}
			for _, c := range costs {
				cells = append(cells, number(quantile(each(c, of), 0.5)))
			}
			t.add(append(cells, last)...)
		}
		row("CPU s/GiB", number(floor), func(c cost) float64 { return c.cpu })
		switch {
		case l.paced():
		case l.streams == 1:
			row("MiB/s", "", func(c cost) float64 { return c.rate })
		default:
			row("RSS, MiB", "", func(c cost) float64 { return c.rss })
		}
		r := quantile(each(costs[0], func(c cost) float64 { return c.relays }), 0.5)
		fmt.Printf("%s: %s: the relays took %s CPU s/GiB\n", scheme, l, number(r))
	}
	if scheme != schemes[len(schemes)-1] {
		return nil // one scheme tells what an idle stream costs
	}
	cells := []string{fmt.Sprintf("%d idle streams, RSS each, KiB", aloneIdle)}
	for i, c := range clients {
		size, err := idleAlone(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: idle streams: %w", all[i].name, err)
		}
		cells = append(cells, number(size))
	}
	t.add(append(cells, "")...)
	return nil
}

// untilCarried asks for a byte until it comes.
func untilCarried(ctx context.Context, socks string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		err := carry(ctx, socks, "1", collapsed.SourceName(1), 1, false)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no byte after 60 s: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run puts the load on a client; relays is the process of the network.
func (l alone) run(ctx context.Context, c running, relays int) (x cost, err error) {
	watching, stop := context.WithCancel(ctx)
	peak := make(chan float64, 1)
	go func() { peak <- peakRSS(watching, c.pid) }()
	before, err := cpuTime(c.pid)
	relaysBefore, err2 := cpuTime(relays)
	begin := time.Now()
	errs := make([]error, l.streams)
	var wg sync.WaitGroup
	for i := range l.streams {
		wg.Go(func() { errs[i] = carry(ctx, c.socks, strconv.Itoa(i%users), l.target(l.size), l.size, l.up()) })
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	after, err3 := cpuTime(c.pid)
	relaysAfter, err4 := cpuTime(relays)
	stop()
	x.rss = <-peak
	gib := float64(l.streams) * float64(l.size) / (1 << 30)
	x.cpu, x.relays, x.rate = (after-before).Seconds()/gib, (relaysAfter-relaysBefore).Seconds()/gib, gib*1024/took
	return x, errors.Join(append(errs, err, err2, err3, err4)...)
}

// idleAlone holds streams open that carry nothing, and asks what each costs, in KiB.
func idleAlone(ctx context.Context, c running) (float64, error) {
	before, err := testnet.RSS(c.pid)
	if err != nil {
		return 0, err
	}
	opened, errs := make([]io.Closer, aloneIdle), make([]error, idleAtOnce)
	defer func() {
		for _, o := range opened {
			if o != nil {
				_ = o.Close()
			}
		}
	}()
	var wg sync.WaitGroup
	for w := range idleAtOnce {
		wg.Go(func() {
			for i := w; i < aloneIdle && errs[w] == nil; i += idleAtOnce {
				opened[i], errs[w] = socksDial(ctx, c.socks, "idle", collapsed.HoldName)
			}
		})
	}
	wg.Wait()
	after, err := testnet.RSS(c.pid)
	return float64(after-before) / 1024 / aloneIdle, errors.Join(append(errs, err)...)
}
