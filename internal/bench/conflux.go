package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chive/internal/testnet"
)

// setsReady is how long clients have to link their sets before a transfer.
const setsReady = 3 * time.Second

// confluxes measures one transfer each way, with conflux and without.
func confluxes(ctx context.Context, network *testnet.Network, programs []program, dir string, r *report) error {
	for _, how := range []string{"1", "0"} {
		if err := confluxRound(ctx, network, subjectsOf(network, programs, "ConfluxEnabled "+how), dir, how, r); err != nil {
			return err
		}
	}
	return nil
}

func confluxRound(ctx context.Context, network *testnet.Network, subjects []subject, dir, how string, r *report) (err error) {
	clients, stop, err := startAll(ctx, network, subjects, dir, "conflux"+how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(setsReady):
	}
	for _, l := range []load{{streams: 1, size: 32 << 20, isolated: true}, {streams: 1, size: 8 << 20, isolated: true, up: true}} {
		costs, err := l.inTurns(ctx, network, clients)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s, ConfluxEnabled %s", l, how)
		r.add(name+", MiB/s", true, each(costs[0], func(c cost) float64 { return c.rate }), each(costs[1], func(c cost) float64 { return c.rate }))
		r.add(name+", CPU s/GiB", false, each(costs[0], func(c cost) float64 { return c.cpu }), each(costs[1], func(c cost) float64 { return c.cpu }))
	}
	return nil
}
