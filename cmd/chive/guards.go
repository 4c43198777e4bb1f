package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chive/messages/fold"
)

type guardsCommand struct {
	List  guardsList  `cmd:"" default:"withargs" help:"List guards, now or as of a past moment (what chive guards does)."`
	Retry guardsRetry `cmd:"" help:"Try guards that failed again at once."`
}

type guardsList struct {
	ID string `arg:"" optional:"" help:"Only those whose name begins so."`
	listFlags
	State []string `sep:"," placeholder:"STATE" help:"Only in these states: sampled, reachable, unreachable."`
}

// Help is printed by chive guards list --help.
func (guardsList) Help() string {
	return `Lists the guards that the node's events speak of since it started, now or as of a
past moment. Their names are opaque, for one boot: which relays are guards is in no
event that leaves the node. A guard of an earlier start that was neither reached for
the first time nor failed in this one is not listed; its connections are. TRIED AGAIN
is when the breaker lets a guard be tried; it is empty while no guard
answers, for then they are tried every few seconds whatever their breakers say.

Examples:
  chive guards
  chive guards --at -10m -o json
  chive why guard ID`
}

var guardStates = []string{"sampled", "reachable", "unreachable"}

// Run lists.
func (c guardsList) Run(std streams) error {
	if err := (endedFlags{State: c.State}).check(guardStates...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	n, at, err := c.node(ctx, std, false)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(n.GuardViews(), func(v fold.GuardView) bool {
		return !begins(v.ID, c.ID) || !among(c.State, v.State)
	})
	if c.Output != "json" {
		triedSooner(rows, n.Trouble())
	}
	return table[fold.GuardView]{
		head: "GUARD\tSTATE\tFOR\tCONNECTIONS\tCIRCUITS\tFAILURES\tLAST FAILURE\tOUTCOME\tBREAKER\tTRIED AGAIN", row: guardRow,
		none: "guards",
	}.print(std, c.Output, rows, at)
}

// triedSooner leaves out when breakers let guards be tried again if no guard answers: the
// rounds of tries forgive them before.
func triedSooner(rows []fold.GuardView, trouble *fold.Trouble) {
	if trouble == nil || trouble.What != fold.NoGuard {
		return
	}
	for i := range rows {
		rows[i].RetryAfter = time.Time{}
	}
}

func guardRow(v fold.GuardView, at time.Time) string {
	again := ""
	if !v.RetryAfter.IsZero() {
		again = "now"
		if left := v.RetryAfter.Sub(at); left > 0 {
			again = "in " + brief(left)
		}
	}
	failed := ""
	if !v.LastFailed.IsZero() {
		failed = age(v.LastFailed, at) + " ago"
	}
	return cells(v.ID, v.State, age(v.Since, at), fmt.Sprint(v.Connections), fmt.Sprint(v.Circuits), fmt.Sprint(v.Failures),
		failed, v.Outcome, v.Breaker, again)
}
