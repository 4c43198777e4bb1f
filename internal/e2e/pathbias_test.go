package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

// biased counts what was told of path bias.
func (c *client) biased(of string) int {
	return c.count(func(e *chivev1.Envelope) bool { return e.GetPathBiasSuspected().GetOf() == of })
}

// suspicion is what was told of path bias, which was to be told once, at this level.
func (c *client) suspicion(t *testing.T, of, level string) (told *chivev1.PathBiasSuspected) {
	t.Helper()
	for _, e := range c.logged() {
		if p := e.GetPathBiasSuspected(); p.GetOf() == of {
			if told != nil || p.GetLevel() != level {
				t.Errorf("%s: told at level %s, want %s alone", of, p.GetLevel(), level)
			}
			told = p
		}
	}
	if told == nil {
		t.Fatalf("%s: nothing was told", of)
	}
	return told
}

// chooser is a guard that has its way with circuits.
type chooser struct {
	tampers atomic.Bool // no circuit gets its third hop
	deaf    atomic.Bool // no probe is answered
	probes  atomic.Int32
	over    chan struct{}
}

const dumbTarget = "192.0.2.1"

func (g *chooser) streams(s *relaydouble.Stream) {
	switch {
	case strings.HasPrefix(s.Target(), "0."):
		g.probes.Add(1)
		if !g.deaf.Load() {
			s.EndWith(cell.EndExitPolicy)
			return
		}
		<-g.over
	case strings.HasPrefix(s.Target(), dumbTarget):
		s.EndWith(cell.EndInternal)
	default:
		toTarget(s)
	}
}

func (g *chooser) tamper() relaydouble.Fault {
	return relaydouble.Fault{
		At: relaydouble.AtExtended, Do: relaydouble.CorruptReply,
		If: func(m *relaydouble.Moment) bool { return m.Hop == 1 && g.tampers.Load() },
	}
}

// A guard that fails circuits beyond the second hop, or swallows what is sent on them, is
// told of, and used on; one behind which a target does not answer is not. The counts survive a
// restart; what level they are told at, and how much old ones weigh, is for the options to say.
func TestPathBias(t *testing.T) {
	n := network(t)
	whole, guard := withoutGuard(t, n)
	g := &chooser{over: make(chan struct{})}
	impostorWith(t, n, guard, g.streams, g.tamper())
	t.Cleanup(func() { close(g.over) })

	lines := []string{
		"PathBiasCircThreshold 5", "PathBiasNoticeRate 1", "PathBiasUseThreshold 3", "PathBiasNoticeUseRate 0.9",
		"LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 10 seconds", // one that is late counts against its guard
	}
	c := relaunch(t, n, whole, append(lines, "PathBiasWarnRate 0", "PathBiasExtremeRate 0", "PathBiasExtremeUseRate 0")...)
	for i := range 7 {
		c.serves(t, n, fmt.Sprint("good", i))
	}
	if told := c.biased("circuits"); told != 0 {
		t.Fatalf("told %d times of an honest guard", told)
	}
	g.tampers.Store(true)
	c.usesUp(t, n, func() bool { return c.biased("circuits") > 0 })
	g.tampers.Store(false)
	c.serves(t, n, "after")

	c.dumb(t, g, 6)
	if told := c.biased("used-circuits"); told != 0 {
		t.Fatalf("told %d times of circuits whose targets do not answer", told)
	}
	g.deaf.Store(true)
	for began := time.Now(); c.biased("used-circuits") == 0; {
		if time.Since(began) > 4*time.Minute { // only bounds a test that fails
			t.Fatal("not told of circuits on which nothing arrives")
		}
		from := len(c.logged())
		c.dumb(t, g, 4)
		// A circuit counts as good until it is over, and many would outweigh those that are.
		c.until(t, "no probe is waited for any more", func() bool {
			used := map[string]bool{}
			for _, e := range c.logged()[from:] {
				switch id := e.GetActorId(); {
				case e.GetCircuitDirtied() != nil:
					used[id] = true
				case e.GetCircuitClosed() != nil, e.GetCircuitFailed() != nil:
					delete(used, id)
				}
			}
			return len(used) == 0
		})
	}
	c.serves(t, n, "at the end")
	if got := c.endings(); got["guard-unreachable"] != 0 || c.guard(t, n) != guard {
		t.Errorf("the guard was left: %v", got)
	}
	c.suspicion(t, "circuits", "notice")
	c.suspicion(t, "used-circuits", "notice")
	c.stop()

	// Other rates tell at once of what was counted, though the guard is honest now.
	again := func(level, levelOfUses string, more ...string) (circuits, uses *chivev1.PathBiasSuspected) {
		t.Helper()
		next, err := launch(t, c.dir, nil, slices.Concat(n.ClientTorrc(), lines, []string{"ConfluxEnabled 0", "EnableCircuitPrebuilding 0", "PathBiasWarnRate 1"}, more)...)
		if err != nil {
			t.Fatal(err)
		}
		next.await(t)
		next.usesUp(t, n, func() bool { return next.biased("circuits") > 0 && next.biased("used-circuits") > 0 })
		for i := range 8 {
			next.serves(t, n, fmt.Sprint("more", i))
		}
		next.stop()
		return next.suspicion(t, "circuits", level), next.suspicion(t, "used-circuits", levelOfUses)
	}
	circuits, uses := again("warn", "notice", "PathBiasExtremeRate 0", "PathBiasExtremeUseRate 0", "PathBiasScaleThreshold 10", "PathBiasScaleUseThreshold 10")
	fewer, less := again("extreme", "extreme", "PathBiasExtremeRate 1", "PathBiasExtremeUseRate 1")
	if fewer.GetAttempts() >= circuits.GetAttempts() || less.GetAttempts() >= uses.GetAttempts() {
		t.Errorf("old circuits weigh as ever: %v and %v, then %v and %v", circuits, uses, fewer, less)
	}
}

// usesUp has streams of users who were not there before, until something is so.
func (c *client) usesUp(t *testing.T, n *testnet.Network, done func() bool) {
	t.Helper()
	for i := 0; !done(); i++ {
		if i == 40 {
			t.Fatal("not after 40 requests")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // none may come to be
		_, _, _ = c.get(ctx, fmt.Sprint("up", i), resource(n, 1000))
		cancel()
	}
}

// dumb has users ask for a target for which the exit neither answers nor refuses, but
// fails. Their circuits are then closed, and each is probed before.
func (c *client) dumb(t *testing.T, g *chooser, times int) {
	t.Helper()
	admin, err := bridge.Connect(t.Context(), c.dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for range times {
		user := fmt.Sprint("dumb", time.Now().UnixNano())
		conn, err := net.Dial("tcp", c.socks)
		if err != nil {
			t.Fatal(err)
		}
		if err := socksRequest(conn, user, 1, dumbTarget, 80); err == nil {
			t.Fatal("the target answered")
		}
		_ = conn.Close()
		before := g.probes.Load()
		question, err := json.Marshal(node.RenewAsk{User: user})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := admin.Request(t.Context(), messages.VerbRenew, question)
		if err != nil {
			t.Fatal(err)
		}
		var renewed node.RenewAnswer
		if err := json.Unmarshal(reply, &renewed); err != nil || renewed.Circuits == 0 {
			t.Fatalf("%d circuits were renewed, %v", renewed.Circuits, err)
		}
		c.until(t, "each circuit is probed", func() bool { return int(g.probes.Load()-before) >= renewed.Circuits })
	}
}
