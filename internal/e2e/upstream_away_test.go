package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/internal/diary"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// trouble counts what the log tells of a proxy that fails, and of whom it blames.
type trouble struct{ proxyBackoffs, proxyUp, breakers, guards, streams int }

func (c *client) trouble() (t trouble) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		s := e.GetSupervisorStateChanged()
		switch {
		case s.GetChild() == "proxy" && s.GetState() == "backoff":
			t.proxyBackoffs++
		case s.GetChild() == "proxy" && s.GetState() == "up":
			t.proxyUp++
		case e.GetBreakerOpened() != nil:
			t.breakers++
		case e.GetGuardUnreachable() != nil:
			t.guards++
		case e.GetStreamEnded().GetOutcome() == chivev1.Outcome_OUTCOME_PROXY_FAILED && !slices.Contains(c.directoryStreams(), e.GetActorId()):
			t.streams++
		}
	}
	return t
}

// directoryStreams are those of the node itself. Called with mu held.
func (c *client) directoryStreams() (ids []string) {
	for _, e := range c.log {
		if r := e.GetStreamRequested(); r.GetPurpose() == chivev1.Purpose_PURPOSE_DIRECTORY {
			ids = append(ids, e.GetActorId())
		}
	}
	return ids
}

func (c *client) awaitTrouble(t *testing.T, what string, so func(trouble) bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so(c.trouble()) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after %v: %s; %+v", patience, what, c.trouble())
		}
	}
}

// A proxy goes away, or refuses everything, under a node that works; it is tried again on
// its schedule, named in the reason, and when it is back the node works again by itself,
// with the guards of before. No relay's breaker opens, and no guard is blamed.
func TestUpstreamProxyAway(t *testing.T) {
	t.Parallel()
	n := network(t)
	socks := []string{"Socks5ProxyUsername " + proxyUser, "Socks5ProxyPassword " + proxyPassword}
	t.Run("away", func(t *testing.T) { proxyAway(t, n, "Socks5Proxy", socks, false) })
	t.Run("refuses", func(t *testing.T) { proxyAway(t, n, "Socks5Proxy", socks, true) })
	t.Run("HTTPSProxy refuses", func(t *testing.T) {
		proxyAway(t, n, "HTTPSProxy", []string{"HTTPSProxyAuthenticator " + proxyUser + ":" + proxyPassword}, true)
	})
}

func proxyAway(t *testing.T, n *testnet.Network, option string, credentials []string, refuses bool) {
	at := freePort(t) // nobody else has it while the proxy is away
	p := startProxyAt(t, at)
	logged := &diary.Log{}
	torrc := append(n.ClientTorrc(), option+" "+at, "SocksTimeout 10 seconds", "RelayBreakerFailures 1")
	c, err := launch(t, t.TempDir(), slog.NewTextHandler(logged, nil), append(torrc, credentials...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	c.serves(t, n, "before")
	guard := c.guard(t, n)
	(&reloadable{client: c}).settled(t) // a relay with which it was about to talk would be blamed

	if refuses {
		p.refuses.Store(true)
		p.cut()
	} else {
		p.stop()
	}
	c.awaitTrouble(t, "the proxy is tried again and again", func(tr trouble) bool { return tr.proxyBackoffs >= 3 })
	if s := c.Status(); s.Proxy != "proxy-failed" && s.Proxy != "proxy-refused" {
		t.Errorf("the status tells of %q", s.Proxy)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	if _, _, err := c.get(ctx, "meanwhile", resource(n, 1000)); err == nil {
		t.Error("a stream went past the proxy")
	}
	cancel()
	c.awaitTrouble(t, "a stream ends with the proxy as the reason", func(tr trouble) bool { return tr.streams > 0 })

	if refuses {
		p.refuses.Store(false)
	} else {
		p = startProxyAt(t, at)
	}
	c.awaitTrouble(t, "the proxy works again", func(tr trouble) bool { return tr.proxyUp > 0 })
	answered := false
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, _, err := c.get(ctx, fmt.Sprintf("after%d", i), resource(n, 1000))
		cancel()
		if answered = err == nil; answered {
			break
		}
	}
	if !answered || c.Status().Proxy != "" {
		t.Errorf("answered %v, %+v", answered, c.Status())
	}
	if again := c.guard(t, n); again != guard {
		t.Logf("guards in use: %s, then %s", guard, again) // both may be: two are in use at once
	}
	c.stop()
	tr := c.trouble()
	if tr.breakers != 0 || tr.guards != 0 {
		t.Errorf("%+v", tr)
	}
	if refuses && p.refused.Load() == 0 {
		t.Error("the proxy was not asked")
	}
	if logged.Count("the proxy does not work") == 0 || logged.Count("option="+option) == 0 {
		t.Errorf("the log does not name the proxy:\n%s", logged.String())
	}
	var failed []string
	for _, e := range c.log {
		if f := e.GetConnectionFailed(); f != nil {
			failed = append(failed, messages.OutcomeName(f.GetOutcome()))
		}
	}
	want := "proxy-failed"
	if refuses {
		want = "proxy-refused"
	}
	if !slices.Contains(failed, want) || strings.Contains(strings.Join(failed, " "), "connect-") {
		t.Errorf("connections failed with %q", failed)
	}
}

// A node that starts while its proxy is away bootstraps when that comes.
func TestUpstreamProxyComesLater(t *testing.T) {
	n := network(t)
	at := freePort(t)
	c, err := launch(t, t.TempDir(), nil, append(n.ClientTorrc(), "Socks5Proxy "+at, "Socks5ProxyUsername "+proxyUser, "Socks5ProxyPassword "+proxyPassword)...)
	if err != nil {
		t.Fatal(err)
	}
	c.awaitTrouble(t, "the proxy is tried", func(tr trouble) bool { return tr.proxyBackoffs >= 2 })
	startProxyAt(t, at)
	c.await(t)
	c.serves(t, n, "")
	c.stop()
	rejected := c.count(func(e *chivev1.Envelope) bool {
		return e.GetDocumentRejected().GetOutcome() == chivev1.Outcome_OUTCOME_PROXY_FAILED
	})
	if tr := c.trouble(); rejected == 0 || tr.breakers != 0 || tr.guards != 0 || tr.proxyUp == 0 {
		t.Errorf("%d documents were rejected for the proxy; %+v", rejected, tr)
	}
}
