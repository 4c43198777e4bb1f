package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"chive/internal/testnet"
)

const (
	eventRounds   = 9   // of each workload and program, in turns
	eventRequests = 600 // small ones, of ten users
	eventDownload = 12 << 20
)

// spent is what one round took.
type spent struct{ cpu, wall float64 } // seconds

// events compares chive with one that tells nobody of its events. Both run at the same
// time and work in turns, so that what else the machine does meets both.
func events(ctx context.Context, network *testnet.Network, dir, binary string) error {
	silent := filepath.Join(dir, "chive-quiet")
	if err := build(ctx, silent, "-s -w -X chive/messages.quiet=yes"); err != nil {
		return err
	}
	programs := []struct {
		pid   int
		socks string
	}{{}, {}}
	for i, b := range []string{binary, silent} {
		pid, socks, stop, err := startWith(network.ClientTorrc(), b, "run", "-f")(ctx, filepath.Join(dir, fmt.Sprint("events", i)))
		if err != nil {
			return err
		}
		defer stop() //nolint:errcheck // it is measured by then
		programs[i].pid, programs[i].socks = pid, socks
		if err := untilServed(ctx, network, socks); err != nil {
			return err
		}
	}
	fmt.Printf("\n%-34s %10s %10s %8s\n", "", "events", "none", "ratio")
	for _, w := range []struct {
		name  string
		users int
		each  int
		size  int
	}{{"10 isolated downloads", 10, 1, eventDownload}, {"600 requests of 10 users", 10, eventRequests / 10, 1000}} {
		var all [2][]spent
		for range eventRounds {
			for i, p := range programs {
				s, err := work(ctx, network, p.pid, p.socks, w.users, w.each, w.size)
				if err != nil {
					return err
				}
				all[i] = append(all[i], s)
			}
		}
		for what, of := range map[string]func(spent) float64{"CPU s": func(s spent) float64 { return s.cpu }, "s": func(s spent) float64 { return s.wall }} {
			on, off := quantile(each(all[0], of), 0.5), quantile(each(all[1], of), 0.5)
			fmt.Printf("%-34s %10.3f %10.3f %8.3f\n", w.name+", "+what, on, off, on/off)
		}
	}
	return nil
}

// work makes requests, one after the other for each user.
func work(ctx context.Context, network *testnet.Network, pid int, socks string, users, each, size int) (spent, error) {
	before, err := cpuTime(pid)
	if err != nil {
		return spent{}, err
	}
	begun := time.Now()
	errs := make([]error, users)
	var wg sync.WaitGroup
	for i := range users {
		wg.Go(func() {
			for range each {
				if _, err := fetch(ctx, network, socks, fmt.Sprint("user", i), size); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	wall := time.Since(begun)
	after, err := cpuTime(pid)
	return spent{(after - before).Seconds(), wall.Seconds()}, errors.Join(append(errs, err)...)
}
