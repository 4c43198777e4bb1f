package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// healsWithin is how long a client may take until what it asks for comes again. It takes some
// seconds; a busy machine is no reason to fail.
const healsWithin = 3 * time.Minute

// heals asks, twice a second, until something is so and several requests in a row were answered
// since. Of all requests at most a third is not.
func (c *client) heals(t *testing.T, n *testnet.Network, so func() bool) {
	t.Helper()
	const enough, oneIn = 10, 3
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	began, first := time.Now(), time.Duration(0)
	all, failed := 0, 0
	for inARow := 0; inARow < enough; all++ {
		at := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), reloadAfter)
		_, got, err := c.get(ctx, fmt.Sprint("heals", all), resource(n, 50_000))
		cancel()
		took := time.Since(at)
		t.Logf("request %d: %d bytes after %v, %v", all, got, took.Round(10*time.Millisecond), err)
		switch {
		case err != nil || got != 50_000:
			failed++
			inARow = 0
		case first == 0:
			first = time.Since(began)
			fallthrough
		default:
			inARow++
		}
		if !so() {
			inARow = 0
		}
		if time.Since(began) > healsWithin {
			t.Fatalf("not healed: %d of %d requests failed", failed, all+1)
		}
		<-tick.C
	}
	t.Logf("the first answer after %v, %d of %d requests failed", first.Round(10*time.Millisecond), failed, all)
	if failed > all/oneIn { // one or none, unless the machine is slow
		t.Errorf("%d of %d requests failed", failed, all)
	}
}

func wentSilent(e *chivev1.Envelope) bool { return e.GetSupervisorStateChanged().GetState() == "down" }

// A router forgets all that was open, and tells nobody. The client dials anew, by itself: no
// guard is blamed, and hardly a request is lost.
func TestConnectionsThatAreForgotten(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	p := startProxy(t)
	c := start(t, n, "Socks4Proxy "+p.l.Addr().String())
	c.serves(t, n, "before")
	p.forget()
	c.heals(t, n, func() bool { return c.count(wentSilent) > 0 })
	blames := func(e *chivev1.Envelope) bool { // a dial that takes long on a slow machine is another matter
		u := e.GetGuardUnreachable()
		return u != nil && u.GetOutcome() != chivev1.Outcome_OUTCOME_TIMEOUT
	}
	if blamed := c.count(blames); blamed > 0 {
		t.Errorf("%d guards are blamed", blamed)
	}
	t.Logf("%d silent connections, %d dials", c.count(wentSilent), c.count(func(e *chivev1.Envelope) bool { return e.GetConnectionDialled() != nil }))
	c.stop()
}

// keeps opens a connection through the client and gives what asks once more over the same one.
func (c *client) keeps(t *testing.T, target string) (again func() error) {
	t.Helper()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5h", Host: c.socks, User: url.UserPassword("keeps", "x")})}
	t.Cleanup(transport.CloseIdleConnections)
	reused := false
	ask := func() error {
		ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
		}), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if err := ask(); err != nil || reused {
			return err
		}
		return errors.New("it was gone, another was made")
	}
}

// A guard hangs, and what is open to it stays open. The client dials anew, in vain, which counts
// against the guard, and goes on through the others. A connection of an application that was open
// works again when the guard does.
func TestGuardThatHangs(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	for name, lines := range map[string][]string{
		"one of those in use": nil,
		"the only one in use": {"NumEntryGuards 1", "ConfluxEnabled 0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, n, lines...)
			again := c.keeps(t, resource(n, 1000))
			hung := c.guard(t, n)
			if err := n.Stop(hung); err != nil {
				t.Fatal(err)
			}
			blamed := func() bool {
				return c.count(func(e *chivev1.Envelope) bool { return e.GetGuardUnreachable() != nil }) > 0
			}
			c.heals(t, n, blamed)
			if c.count(wentSilent) == 0 {
				t.Error("its connection did not go silent")
			}
			if err := n.Cont(hung); err != nil {
				t.Fatal(err)
			}
			if err := again(); err != nil {
				t.Errorf("the application's connection: %v", err)
			}
			c.stop()
		})
	}
}
