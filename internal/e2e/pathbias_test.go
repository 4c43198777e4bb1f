package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
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
// restart.
func TestPathBias(t *testing.T) {
	n := network(t)
	whole, guard := withoutGuard(t, n)
	g := &chooser{over: make(chan struct{})}
	impostorWith(t, n, guard, g.streams, g.tamper())
	t.Cleanup(func() { close(g.over) })

	lines := []string{
		"PathBiasCircThreshold 5", "PathBiasNoticeRate 1", "PathBiasUseThreshold 3",
		"LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 3 seconds",
	}
	c := relaunch(t, n, whole, lines...)
	lines = append(lines, "ConfluxEnabled 0")
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
	for began := time.Now(); c.biased("used-circuits") == 0; { // each probe is waited for
		if time.Since(began) > 4*time.Minute { // only bounds a test that fails
			t.Fatal("not told of circuits on which nothing arrives")
		}
		c.dumb(t, g, 1)
	}
	c.serves(t, n, "at the end")
	if got := c.endings(); got["guard-unreachable"] != 0 || c.guard(t, n) != guard {
		t.Errorf("the guard was left: %v", got)
	}
	c.stop()

	again, err := launch(t, c.dir, nil, append(n.ClientTorrc(), lines...)...)
	if err != nil {
		t.Fatal(err)
	}
	again.await(t)
	again.usesUp(t, n, func() bool { return again.biased("circuits") > 0 })
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
