package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// learned lists the learned timeouts that were told.
func (c *client) learned() (out []*chivev1.BuildTimeoutSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		if b := e.GetBuildTimeoutSet(); b.GetLearned() {
			out = append(out, b)
		}
	}
	return out
}

// path-spec §2.4: after cbtmincircs circuits through real relays the timeout is
// what they took, and no longer a minute; it is kept over kill -9, and in force at
// once in the next life.
func TestBuildTimeoutIsLearnedAndSurvivesKill(t *testing.T) {
	const enough = 20
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Override: map[string]int32{
		"cbtmincircs": enough, "cbttestfreq": 1, "cbtmintimeout": 50, "cbtinitialtimeout": 45_000,
	}})
	dir := t.TempDir()
	binary, built := building(t, dir)
	built()
	data := filepath.Join(dir, "data")
	p := &process{binary: binary, torrc: filepath.Join(dir, "torrc"), data: data, socks: freePort(t)}
	lines := append(n.ClientTorrc(), "SocksPort "+p.socks, "DataDirectory "+data, "CircuitPoolMinSize 4")
	write(t, p.torrc, []byte(strings.Join(lines, "\n")+"\n"))
	p.start(t)
	t.Cleanup(p.kill)
	status := func(want string) func() bool {
		return func() bool {
			out, err := p.ask(t, "status")
			return err == nil && strings.Contains(out, want)
		}
	}
	within(t, patience, "the network's initial timeout is in force", status("have 45s to be built, not learned yet"))
	user := client{socks: p.socks}
	requests := func(life string) {
		t.Helper()
		for i := range enough { // a circuit each
			within(t, patience, "a request is served", func() bool {
				_, size, err := user.get(t.Context(), fmt.Sprint(life, i), resource(n, 1000))
				return err == nil && size == 1000
			})
		}
	}
	requests("user")
	within(t, patience, "the timeout is learned", status(", learned"))
	requests("other")                              // while what was learned from is put on disk
	tick := time.NewTimer(1500 * time.Millisecond) // it is kept every second
	<-tick.C
	p.kill()

	fixed, err := launch(t, dir, nil, append(n.ClientTorrc(), "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 17 seconds")...)
	if err != nil {
		t.Fatal(err)
	}
	fixed.await(t)
	if s := fixed.Status(); s.BuildLearned || s.BuildTimeout != 17_000 || len(fixed.learned()) > 0 {
		t.Errorf("with LearnCircuitBuildTimeout 0: %+v", s)
	}
	fixed.stop()

	c, err := launch(t, dir, nil, append(n.ClientTorrc(), "LearnCircuitBuildTimeout 1")...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	kept := c.learned()
	if len(kept) == 0 || kept[0].GetCircuits() < enough || kept[0].GetTimeout().AsDuration() >= 45*time.Second || kept[0].GetClose().AsDuration() != 45*time.Second {
		t.Fatalf("after the kill: %v", fmt.Sprint(kept))
	}
	c.serves(t, n, "after")

	operator, err := bridge.Connect(t.Context(), dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	forget := func() (known int) {
		reply, err := operator.Request(t.Context(), messages.VerbTimeoutsForget, nil)
		var answer node.TimeoutsForgetAnswer
		if err == nil {
			err = json.Unmarshal(reply, &answer)
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer.Circuits
	}
	if known := forget(); known < enough {
		t.Errorf("the times of %d circuits were forgotten", known)
	}
	c.until(t, "the first timeout is in force again", func() bool {
		s := c.Status()
		return !s.BuildLearned && s.BuildTimeout == 45_000
	})
	if known := forget(); known >= enough {
		t.Errorf("the times of %d circuits were known at once", known)
	}
}

// within waits until something is so.
func within(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after %v: %s", limit, what)
		}
	}
}
