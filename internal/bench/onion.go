package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"chive/actors/hosting"
	"chive/internal/testnet"
)

const (
	onionRounds   = 3
	onionServices = 5 // each is new to a client once
	onionWarm     = 101
	onionFresh    = 25
	onionSize     = 8 << 20
	onionPatience = time.Minute // until a service that is there answers
)

// onions measures visits of services that C tor hosts, and then the programs as hosts that C
// tor visits.
func onions(ctx context.Context, network *testnet.Network, programs []program, dir string, r *report) error {
	if err := onionVisits(ctx, network, programs, dir, r); err != nil {
		return fmt.Errorf("onion services visited: %w", err)
	}
	if err := onionHosts(ctx, network, programs, dir, r); err != nil {
		return fmt.Errorf("onion services hosted: %w", err)
	}
	return nil
}

// host is a program with onion services of the target's.
type host struct {
	program
	dir string // its own
	pid int
}

// start has it host services that it never hosted before, and returns when all directories
// that are to have their descriptors have them.
func (h *host) start(ctx context.Context, network *testnet.Network, names ...string) (addresses []string, stop func() error, err error) {
	lines := network.ClientTorrc()
	for _, name := range names {
		lines = append(lines, "HiddenServiceDir "+filepath.Join(h.dir, name),
			fmt.Sprintf("HiddenServicePort 80 %s:%d", network.Target().IP, network.Target().HTTPPort))
	}
	socket := filepath.Join(h.dir, "control")
	if h.name != "chive" {
		lines = append(lines, "ControlSocket "+socket)
	}
	h.pid, _, stop, err = startWith(lines, h.command...)(ctx, h.dir)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, onionPatience)
	defer cancel()
	if h.name == "chive" {
		err = h.published(ctx, len(names))
	} else {
		err = testnet.WaitPublished(ctx, socket, len(names))
	}
	for _, name := range names {
		b, err2 := os.ReadFile(filepath.Join(h.dir, name, "hostname"))
		err = errors.Join(err, err2)
		addresses = append(addresses, strings.TrimSpace(string(b)))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s hosts: %w", h.name, err), stop())
	}
	return addresses, stop, nil
}

// published asks chive until its services are at all their directories.
func (h *host) published(ctx context.Context, services int) error {
	for {
		var all []hosting.Status
		ls := exec.CommandContext(ctx, h.command[0], "onion", "ls", "-o", "json", "--data-dir", filepath.Join(h.dir, "data"))
		// It says nothing while the node starts.
		if out, err := ls.Output(); err == nil {
			if err := json.Unmarshal(out, &all); err != nil {
				return err
			}
		}
		done := 0
		for _, s := range all {
			if stored(s) {
				done++
			}
		}
		if done == services {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stored: has a service a descriptor for both periods, at every directory?
func stored(s hosting.Status) bool {
	for _, p := range s.Periods {
		if p.Directories == 0 || p.Stored < p.Directories {
			return false
		}
	}
	return len(s.Periods) == 2
}

func onionVisits(ctx context.Context, network *testnet.Network, programs []program, dir string, r *report) (err error) {
	names := make([]string, onionServices)
	for i := range names {
		names[i] = fmt.Sprint("service", i)
	}
	h := &host{program: programs[1], dir: filepath.Join(dir, "visited")}
	services, end, err := h.start(ctx, network, names...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	clients, stop, err := startAll(ctx, network, subjectsOf(network, programs), dir, "visitor")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var cold, warm, fresh, spent [2][]float64
	for _, s := range services {
		for i, c := range clients {
			before, err := cpuTime(c.pid)
			if err != nil {
				return err
			}
			took, err := visit(ctx, s, c.socks, "cold")
			if err != nil {
				return fmt.Errorf("%s, cold: %w", programs[i].name, err)
			}
			after, err := cpuTime(c.pid)
			if err != nil {
				return err
			}
			cold[i] = append(cold[i], took.Seconds())
			spent[i] = append(spent[i], (after-before).Seconds()*1e3)
		}
	}
	r.add("onion, cold connect (descriptor, introduction), s", false, cold[0], cold[1])
	r.add("onion, cold connect, CPU ms", false, spent[0], spent[1])
	for k := range onionWarm {
		for i, c := range clients {
			took, err := download(ctx, services[0], c.socks, "cold", 1)
			if err != nil {
				return fmt.Errorf("%s, request %d: %w", programs[i].name, k, err)
			}
			warm[i] = append(warm[i], took.Seconds()*1e3)
		}
	}
	r.add("onion, request on a rendezvous circuit, p50, ms", false, warm[0], warm[1])
	for k := range onionFresh {
		for i, c := range clients {
			took, err := visit(ctx, services[0], c.socks, fmt.Sprint("fresh", k))
			if err != nil {
				return fmt.Errorf("%s, fresh: %w", programs[i].name, err)
			}
			fresh[i] = append(fresh[i], took.Seconds())
		}
	}
	quantiles := func(q float64) (out [2][]float64) {
		for i := range fresh {
			out[i] = []float64{quantile(fresh[i], q)}
		}
		return out
	}
	p50, p95 := quantiles(0.5), quantiles(0.95)
	r.add("onion, a fresh isolated request, p50, s", false, p50[0], p50[1])
	r.add("onion, a fresh isolated request, p95, s", false, p95[0], p95[1])
	return onionLoad(ctx, network, [2]string{services[0], services[0]}, clients, "onion, 1 download", r)
}

// visit asks a service until it answers, which is at once as a rule.
func visit(ctx context.Context, service, socks, user string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, onionPatience)
	defer cancel()
	begun := time.Now()
	for {
		_, err := download(ctx, service, socks, user, 1)
		if err == nil || ctx.Err() != nil {
			return time.Since(begun), err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// onionLoad has each of two loads from a service; what is measured is the process of who.
func onionLoad(ctx context.Context, network *testnet.Network, services [2]string, who []running, name string, r *report) error {
	var costs [2][]cost
	for range onionRounds {
		for i, c := range who {
			x, err := load{streams: 1, size: onionSize, onion: services[i]}.run(ctx, network, c)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			costs[i] = append(costs[i], x)
		}
	}
	row := func(unit string, more bool, of func(cost) float64) {
		r.add(name+", "+unit, more, each(costs[0], of), each(costs[1], of))
	}
	row("CPU s/GiB", false, func(c cost) float64 { return c.cpu })
	row("MiB/s", true, func(c cost) float64 { return c.rate })
	return nil
}

// onionHosts: hosts that know the network begin with a new service, and C tor visits it.
func onionHosts(ctx context.Context, network *testnet.Network, programs []program, dir string, r *report) (err error) {
	visitors, stop, err := startAll(ctx, network, subjectsOf(network, programs[1:]), dir, "outside")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var hosts [2]*host
	var stops [2]func() error
	var services [2]string
	var times, spent [2][]float64
	for i, p := range programs {
		hosts[i] = &host{program: p, dir: filepath.Join(dir, fmt.Sprint("host", i))}
	}
	defer func() {
		for _, stop := range stops {
			if stop != nil {
				err = errors.Join(err, stop())
			}
		}
	}()
	for round := range onionRounds + 1 {
		for i, h := range hosts {
			if stops[i] != nil {
				if err := stops[i](); err != nil {
					return err
				}
				stops[i] = nil
			}
			begun := time.Now()
			addresses, stop, err := h.start(ctx, network, fmt.Sprint("service", round))
			if err != nil {
				return err
			}
			services[i], stops[i] = addresses[0], stop
			if _, err := visit(ctx, services[i], visitors[0].socks, "outside"); err != nil {
				return fmt.Errorf("%s hosts: %w", h.name, err)
			}
			took := time.Since(begun)
			cpu, err := cpuTime(h.pid)
			if err != nil {
				return err
			}
			if round > 0 { // the first has to learn the network
				times[i], spent[i] = append(times[i], took.Seconds()), append(spent[i], cpu.Seconds()*1e3)
			}
		}
	}
	r.add("onion host, new service published and visited, s", false, times[0], times[1])
	r.add("onion host, new service, CPU ms", false, spent[0], spent[1])
	var who []running
	for _, h := range hosts {
		who = append(who, running{h.pid, visitors[0].socks})
	}
	return onionLoad(ctx, network, services, who, "onion host, 1 download", r)
}
