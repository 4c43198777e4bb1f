package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chive/internal/testnet"
)

const (
	freshRequests = 31  // one after the other, each of a new user
	burstRequests = 50  // at once, each of a new user
	burstRounds   = 3   // the median of them counts
	rateRequests  = 400 // as fast as they go, each of a new user
	rateWorkers   = 64
)

// fresh is what requests cost that may share no circuit.
type fresh struct {
	one      time.Duration // median
	burst95  time.Duration // 95th percentile of a burst
	burst50  time.Duration
	circuits float64 // a second
	cpu      float64 // milliseconds of the client for a request
}

// circuits measures requests that need a circuit each, in turns: what else the
// machine does meets both clients.
func circuits(ctx context.Context, network *testnet.Network, subjects []subject, dir string, r *report) (err error) {
	started, stop, err := startAll(ctx, network, subjects, dir, "circuits")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	type client struct {
		running
		users int
		all   []fresh
	}
	var clients []*client
	for _, s := range started {
		clients = append(clients, &client{running: s})
	}
	for range burstRounds {
		for i, c := range clients {
			ask := func() (time.Duration, error) {
				c.users++
				return fetch(ctx, network, c.socks, fmt.Sprint("fresh", c.users), 1)
			}
			spent := func() (time.Duration, error) { return cpuTime(c.pid) }
			f, err := freshOf(ask, spent, func(n, at int) ([]time.Duration, error) {
				first := c.users
				c.users += n
				return together(ctx, network, c.socks, first, n, at)
			})
			if err != nil {
				return fmt.Errorf("%s: %w", subjects[i].name, err)
			}
			c.all = append(c.all, f)
		}
	}
	row := func(what string, more bool, of func(fresh) float64) {
		r.add(what, more, each(clients[0].all, of), each(clients[1].all, of))
	}
	row("a fresh isolated request, p50, ms", false, func(f fresh) float64 { return f.one.Seconds() * 1e3 })
	row("50 fresh isolated requests at once, p50, s", false, func(f fresh) float64 { return f.burst50.Seconds() })
	row("50 fresh isolated requests at once, p95, s", false, func(f fresh) float64 { return f.burst95.Seconds() })
	row("circuits a second", true, func(f fresh) float64 { return f.circuits })
	row("CPU a request with a circuit, ms", false, func(f fresh) float64 { return f.cpu })
	return nil
}

func freshOf(ask, spent func() (time.Duration, error), many func(n, at int) ([]time.Duration, error)) (f fresh, err error) {
	var times []time.Duration
	for range freshRequests {
		took, err := ask()
		if err != nil {
			return f, err
		}
		times = append(times, took)
	}
	slices.Sort(times)
	f.one = times[len(times)/2]
	if times, err = many(burstRequests, burstRequests); err != nil {
		return f, err
	}
	slices.Sort(times)
	f.burst50, f.burst95 = times[len(times)/2], times[len(times)*95/100]
	before, err := spent()
	if err != nil {
		return f, err
	}
	begun := time.Now()
	if _, err = many(rateRequests, rateWorkers); err != nil {
		return f, err
	}
	f.circuits = rateRequests / time.Since(begun).Seconds()
	after, err := spent()
	f.cpu = (after - before).Seconds() * 1e3 / rateRequests
	return f, err
}

// together makes n requests of new users, at most at once.
func together(ctx context.Context, network *testnet.Network, socks string, first, n, at int) ([]time.Duration, error) {
	took, errs := make([]time.Duration, n), make([]error, n)
	var next sync.Mutex
	i := 0
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for {
				next.Lock()
				k := i
				i++
				next.Unlock()
				if k >= n {
					return
				}
				took[k], errs[k] = fetch(ctx, network, socks, fmt.Sprint("fresh", first+k+1), 1)
			}
		})
	}
	wg.Wait()
	return took, errors.Join(errs...)
}
