package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"chive/actors/node"
	diary "chive/actors/node/history"
	"chive/bridge"
	"chive/config"
	"chive/messages/fold"
)

// askNode asks a question of the verb status.
func askNode(ctx context.Context, c *bridge.Client, what string) ([]byte, error) {
	question, err := json.Marshal(node.Ask{What: what})
	if err != nil {
		return nil, err
	}
	return c.Request(ctx, "status", question)
}

// present is the running node as it is now.
func (f nodeFlags) present(ctx context.Context) (*fold.Node, error) {
	c, err := f.connect(ctx)
	if err != nil {
		if errors.Is(err, bridge.ErrNoNode) {
			return nil, &exitError{exitNoNode, fmt.Errorf("%w; --at TIME shows how it was when one ran", err)}
		}
		return nil, err
	}
	defer c.Close()
	answer, err := askNode(ctx, c, "state")
	if err != nil {
		return nil, err
	}
	n := &fold.Node{}
	if err := diary.Inflate(answer, n); err != nil || !n.Valid() {
		return nil, errors.Join(errors.New("the node's answer cannot be read: is it another version of chive?"), err)
	}
	return n, nil
}

// memory is the history of a node on disk.
type memory struct {
	boots []*diary.Boot
	live  *diary.Boot // of the node that runs now; nil: none runs
}

// remember reads the history; a running node writes what it has first. With
// EventHistory 0 there is none, and boots is empty.
func (f nodeFlags) remember(ctx context.Context, std streams) (memory, error) {
	dir := f.DataDir
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDirectory(); err != nil {
			return memory{}, usage("%w; say --data-dir", err)
		}
	}
	kept, err := f.kept(ctx)
	if err != nil {
		return memory{}, err
	}
	boots, err := diary.Read(diary.Dir(dir))
	if err != nil {
		note(std.err, "a part of the history cannot be read: %v", err)
	}
	m := memory{boots: boots}
	for _, b := range boots {
		if b.Damage != nil && b.Boot != kept.Boot { // being written is no damage
			note(std.err, "the history of the node that started %s has a gap: %v", b.Since().UTC().Format(time.DateTime), b.Damage)
		}
		if kept.On && b.Boot == kept.Boot {
			m.live = b
		}
	}
	return m, nil
}

// kept has a running node write its history; zero if none runs.
func (f nodeFlags) kept(ctx context.Context) (node.Kept, error) {
	var kept node.Kept
	c, err := f.connect(ctx)
	if errors.Is(err, bridge.ErrNoNode) {
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	defer c.Close()
	answer, err := askNode(ctx, c, "history")
	if err != nil {
		return kept, err
	}
	return kept, json.Unmarshal(answer, &kept)
}

// errNoHistory: nothing is known of the past.
var errNoHistory = errors.New("there is no history in that DataDirectory: no node ran there lately, or EventHistory is 0")

// past is the node as it was at a moment.
func (f nodeFlags) past(ctx context.Context, std streams, at time.Time) (*fold.Node, error) {
	m, err := f.remember(ctx, std)
	if err != nil {
		return nil, err
	}
	if len(m.boots) == 0 {
		return nil, &exitError{exitNoNode, errNoHistory}
	}
	for _, b := range slices.Backward(m.boots) {
		n := b.At(at)
		if n == nil {
			continue
		}
		until := b.Until()
		switch {
		case b == m.live || !until.Before(at):
		case !n.Stopped.IsZero():
			return nil, fmt.Errorf("no node ran at %s: the last one before stopped at %s", stamp(at), stamp(until))
		default:
			note(std.err, "the history of that node ends at %s, without its stop: this is how it was then", stamp(until))
		}
		return n, nil
	}
	return nil, fmt.Errorf("%s is before the history, which begins at %s (EventHistory says how long it is kept)", stamp(at), stamp(m.boots[0].Since()))
}

// ended is the node with all that ended in the last boot; nil if there is no
// history of a node that runs.
func (f nodeFlags) ended(ctx context.Context, std streams) (*fold.Node, error) {
	m, err := f.remember(ctx, std)
	switch {
	case err != nil:
		return nil, err
	case m.live != nil:
		return m.live.All(), nil
	}
	kept, err := f.kept(ctx)
	if err != nil || kept.Boot != "" || len(m.boots) == 0 {
		return nil, err // it runs, but keeps nothing; or nothing is there at all
	}
	last := m.boots[len(m.boots)-1]
	note(std.err, "no node runs; this is what the last one left, at %s", stamp(last.Until()))
	return last.All(), nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
