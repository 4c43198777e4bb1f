package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"chive/internal/testnet"
)

// load is bytes in one direction over so many streams at once.
type load struct {
	streams  int
	size     int // bytes a stream
	isolated bool
	up       bool
	onion    string // the service to load from; empty: the target
}

var loads = []load{
	{streams: 1, size: 64 << 20},
	{streams: 10, size: 16 << 20},
	{streams: 10, size: 16 << 20, isolated: true},
	{streams: 100, size: 1 << 20},
	{streams: 100, size: 1 << 20, isolated: true},
	{streams: 1, size: 32 << 20, up: true},
	{streams: 10, size: 4 << 20, isolated: true, up: true},
	{streams: 100, size: 512 << 10, up: true},
}

func (l load) String() string {
	what := "downloads"
	if l.up {
		what = "uploads"
	}
	if l.onion != "" {
		what = "onion " + what
	}
	if l.streams == 1 {
		return "1 " + what[:len(what)-1]
	}
	how := "shared"
	if l.isolated {
		how = "isolated"
	}
	return fmt.Sprintf("%d %s %s", l.streams, how, what)
}

// cost of one round of a load.
type cost struct {
	cpu  float64 // seconds a GiB, of the client
	rate float64 // MiB/s
	rss  float64 // MiB, the most that was seen

	relays float64 // CPU seconds a GiB of relays that one process is
}

// running is a client that has served a byte.
type running struct {
	pid   int
	socks string
}

func startAll(ctx context.Context, network *testnet.Network, subjects []subject, dir, name string) (all []running, stop func() error, err error) {
	var stops []func() error
	stop = func() (err error) {
		for _, s := range stops {
			err = errors.Join(err, s())
		}
		return err
	}
	for i, s := range subjects {
		pid, socks, end, err := s.start(ctx, filepath.Join(dir, fmt.Sprint(name, i)))
		if err == nil {
			stops = append(stops, end)
			err = untilServed(ctx, network, socks)
		}
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", s.name, err), stop())
		}
		all = append(all, running{pid, socks})
	}
	return all, stop, nil
}

// measureLoads runs each load in turns: what else the machine does meets both clients.
func measureLoads(ctx context.Context, network *testnet.Network, clients []running, r *report) error {
	for _, l := range loads {
		costs, err := l.inTurns(ctx, network, clients)
		if err != nil {
			return err
		}
		row := func(what string, more bool, of func(cost) float64) {
			r.add(fmt.Sprintf("%s, %s", l, what), more, each(costs[0], of), each(costs[1], of))
		}
		row("CPU s/GiB", false, func(c cost) float64 { return c.cpu })
		row("MiB/s", true, func(c cost) float64 { return c.rate })
		if l.streams >= 100 {
			row("RSS, MiB", false, func(c cost) float64 { return c.rss })
		}
	}
	return nil
}

// inTurns is the load's cost to each client, in each of the rounds.
func (l load) inTurns(ctx context.Context, network *testnet.Network, clients []running) (costs [2][]cost, err error) {
	for range rounds {
		for i, c := range clients {
			x, err := l.run(ctx, network, c)
			if err != nil {
				return costs, fmt.Errorf("%s: %w", l, err)
			}
			costs[i] = append(costs[i], x)
		}
	}
	return costs, nil
}

func each[T any](all []T, of func(T) float64) (values []float64) {
	for _, x := range all {
		values = append(values, of(x))
	}
	return values
}

func (l load) run(ctx context.Context, network *testnet.Network, c running) (x cost, err error) {
	watching, stop := context.WithCancel(ctx)
	peak := make(chan float64, 1)
	go func() { peak <- peakRSS(watching, c.pid) }()
	before, err := cpuTime(c.pid)
	begin := time.Now()
	errs := make([]error, l.streams)
	var wg sync.WaitGroup
	for i := range l.streams {
		user := "load"
		if l.isolated {
			user = fmt.Sprint("load", i)
		}
		wg.Go(func() {
			switch {
			case l.up:
				errs[i] = send(ctx, network, c.socks, user, l.size)
			case l.onion != "":
				_, errs[i] = download(ctx, l.onion, c.socks, user, l.size)
			default:
				_, errs[i] = fetch(ctx, network, c.socks, user, l.size)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	after, err2 := cpuTime(c.pid)
	stop()
	x.rss = <-peak
	bytes := float64(l.streams * l.size)
	x.cpu = (after - before).Seconds() / (bytes / (1 << 30))
	x.rate = bytes / (1 << 20) / took
	return x, errors.Join(append(errs, err, err2)...)
}

// peakRSS is the most memory that a process had until ctx ends, in MiB.
func peakRSS(ctx context.Context, pid int) (peak float64) {
	for {
		if rss, err := testnet.RSS(pid); err == nil {
			peak = max(peak, float64(rss)/(1<<20))
		}
		select {
		case <-ctx.Done():
			return peak
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send uploads size bytes as one SOCKS user.
func send(ctx context.Context, network *testnet.Network, socks, user string, size int) error {
	client, done := through(socks, user)
	defer done()
	target := fmt.Sprintf("http://%s:%d/upload", network.Target().IP, network.Target().HTTPPort)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, io.LimitReader(zeros{}, int64(size)))
	if err != nil {
		return err
	}
	req.ContentLength = int64(size)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("upload: %s", res.Status)
	}
	return err
}

// zeros are bytes to upload: what they are costs a client nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
