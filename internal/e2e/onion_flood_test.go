package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

const (
	floodClients  = 2               // of C tor
	floodUsers    = 24              // that knock at a time, with each of them
	floodPatience = 8 * time.Second // of each user
	floodMost     = 2400            // knocks
	floodTime     = 5 * time.Minute // at most
	floodInVain   = 20              // users who were not let in: by then more wait than are met in time
)

// fewMet are the lines of a service that meets one client a second, who pays most first.
var fewMet = []string{"HiddenServicePoWDefensesEnabled 1", "HiddenServicePoWQueueRate 1", "HiddenServicePoWQueueBurst 1"}

// flood is many users of clients of C tor who knock at a service, each on circuits of its own.
// They know a descriptor that suggests no effort, and C tor's client pays what is suggested to it
// alone, however often a service does not come.
type flood struct {
	ctx    context.Context // for as long as it is to last
	stop   func()          // ends it; may be called twice
	inVain atomic.Int64    // knocks that nobody answered
	let    atomic.Int64    // those that were let in
	grew   chan struct{}   // of one: inVain did
}

// floods begins one.
func floods(t *testing.T, n *testnet.Network, address string) *flood {
	t.Helper()
	var clients [floodClients]*client
	for i := range clients {
		clients[i] = ctor(t, n, "flood"+rand.Text(), "MaxClientCircuitsPending 1024")
		clients[i].fetchOnion(t, "first", address, 1000) // and so knows the descriptor
	}
	ctx, cancel := context.WithTimeout(t.Context(), floodTime)
	f := &flood{ctx: ctx, grew: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	f.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(f.stop)
	var knocks atomic.Int64
	for i := range floodClients * floodUsers {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := knocks.Add(1)
				if k > floodMost {
					return
				}
				f.knock(clients[i%floodClients], fmt.Sprint("flood", k), address)
			}
		})
	}
	return f
}

// knock has one user ask for a stream. He is gone when it comes or takes too long.
func (f *flood) knock(c *client, user, address string) {
	switch {
	case c.knock(f.ctx, user, address):
		f.let.Add(1)
	case f.ctx.Err() == nil:
		f.inVain.Add(1)
		select {
		case f.grew <- struct{}{}:
		default:
		}
	}
}

// bars waits until so many come that most are not let in.
func (f *flood) bars(t *testing.T) {
	t.Helper()
	for f.inVain.Load() < floodInVain {
		select {
		case <-f.grew:
		case <-f.ctx.Done():
			t.Fatalf("%d are let in, %d are not", f.let.Load(), f.inVain.Load())
		}
	}
}

// introduced counts acknowledged introductions of at least an effort.
func (c *client) introduced(effort uint32) int {
	return c.count(func(e *chivev1.Envelope) bool {
		i := e.GetServiceIntroduced()
		return i != nil && i.GetOutcome() == chivev1.Outcome_OUTCOME_OK && i.GetEffort() >= effort
	})
}

// knock asks for a stream and reports whether it came before the patience of its user ended.
func (c *client) knock(ctx context.Context, user, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, floodPatience)
	defer cancel()
	return knocked(ctx, c.socks, user, host)
}

// knocked: does SOCKS give a user a stream to a service before the context ends?
func knocked(ctx context.Context, proxy, user, host string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", proxy)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// A step at a time: of answers to what comes at once C tor sends the last alone.
	var got [2]byte
	for _, say := range []string{
		"\x05\x01\x02",
		"\x01" + string([]byte{byte(len(user))}) + user + "\x01x",
		"\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + "\x00\x50",
	} {
		if _, err := io.WriteString(conn, say); err != nil {
			return false
		}
		if _, err := io.ReadFull(conn, got[:]); err != nil {
			return false
		}
	}
	return got[1] == 0
}

// metPaying counts the clients that a hosting node met, by whether they paid.
func (c *client) metPaying() (paid, unpaid int) {
	c.count(func(e *chivev1.Envelope) bool {
		switch m := e.GetHostingMet(); {
		case m == nil:
		case m.GetEffort() > 0:
			paid++
		default:
			unpaid++
		}
		return false
	})
	return paid, unpaid
}

const (
	payers      = 3                // of each program, one after the other
	payerWithin = 90 * time.Second // each is served, while hundreds who pay nothing are not
)

// payersAreMet has clients of both programs visit a flooded service that suggests an effort by
// now: each pays it at once, and is served.
func payersAreMet(t *testing.T, f *flood, own, tor *client, solved func() int, address string) {
	t.Helper()
	inVain, let := f.inVain.Load(), f.let.Load()
	began := time.Now()
	var wg sync.WaitGroup
	for name, c := range map[string]*client{"chive": own, "C tor": tor} {
		wg.Go(func() {
			for i := range payers {
				asked := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), payerWithin)
				_, n, err := c.get(ctx, fmt.Sprint("payer", i), bytesOf(address, 20_000))
				cancel()
				if err != nil {
					t.Errorf("%s, payer %d: %d bytes, %v", name, i, n, err)
				}
				t.Logf("%s, payer %d: served after %v", name, i, time.Since(asked).Round(10*time.Millisecond))
			}
		})
	}
	wg.Wait()
	inVain, let = f.inVain.Load()-inVain, f.let.Load()-let
	t.Logf("meanwhile, in %v: of the flood %d were let in, %d were not; payers of chive were introduced %d times, %d with an effort; C tor solved %d puzzles",
		time.Since(began).Round(100*time.Millisecond), let, inVain, own.introduced(0), own.introduced(1), solved())
	if f.ctx.Err() != nil || inVain == 0 {
		t.Errorf("there is no flood any more: %v", f.ctx.Err())
	}
	if own.introduced(0) != own.introduced(1) || own.introduced(1) < payers || solved() < payers {
		t.Error("not every payer paid")
	}
}

// payingClients are one of each program who have not been at any service yet. solved counts the
// proofs of work that the C tor client found.
func payingClients(t *testing.T, n *testnet.Network) (own, tor *client, solved func() int) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "info.log")
	tor = ctor(t, n, "payer", "Log [rend]info file "+log)
	return start(t, n), tor, func() int {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return strings.Count(string(b), "Got a PoW solution we like")
	}
}

// TestOnionFlood: a service of chive that meets one client a second is flooded with
// introductions that pay nothing. It suggests an effort; clients of both programs who come then
// pay it, and are met before all who wait.
func TestOnionFlood(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "guarded")
	host := hosts(t, t.TempDir(), 2, append(append(l.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http), fewMet...)...)
	address := addressOf(t, dir)
	own, tor, solved := payingClients(t, l.Network)

	published := host.publications()
	f := floods(t, l.Network, address)
	began := time.Now()
	suggests := func() bool {
		return host.count(func(e *chivev1.Envelope) bool { return e.GetHostingDescribed().GetReason() == "proof-of-work" }) >= 2
	}
	host.eventually(t, "an effort is suggested, and published for both periods", floodTime, func() bool {
		return suggests() && host.publications() >= published+2
	})
	t.Logf("an effort is published %v after the flood began", time.Since(began).Round(100*time.Millisecond))
	f.bars(t)
	payersAreMet(t, f, own, tor, solved, address)
	paid, unpaid := host.metPaying()
	t.Logf("the service met %d who paid, %d who did not", paid, unpaid)
	if paid < 2*payers {
		t.Errorf("%d clients met for their proof of work", paid)
	}
	f.stop()
}

// TestOnionFloodOfCTor is the same with C tor as host. It looks at the effort to suggest every
// five minutes, so the test takes six, and runs when CHIVE_ONION_FLOOD is set.
func TestOnionFloodOfCTor(t *testing.T) {
	if os.Getenv("CHIVE_ONION_FLOOD") == "" {
		t.Skip("CHIVE_ONION_FLOOD is not set")
	}
	t.Parallel()
	const hostLooks = 5 * time.Minute // HS_UPDATE_PERIOD
	n := testnet.ForTest(t, testnet.Options{Torrc: map[string][]string{"onion": fewMet}})
	up := time.Now() // it was some seconds before
	service, _ := n.Node("onion1")
	own, tor, solved := payingClients(t, n)
	select {
	case <-time.After(time.Until(up.Add(hostLooks - 40*time.Second))):
	case <-t.Context().Done():
	}
	f := floods(t, n, n.Onion())
	published := make(chan error, 1)
	go func() { published <- testnet.WaitPublished(t.Context(), filepath.Join(service.Dir, "control"), 1) }()
	f.bars(t)
	select {
	case err := <-published:
		if err != nil {
			t.Fatal(err)
		}
	case <-f.ctx.Done():
		t.Fatal("no effort is published")
	}
	t.Logf("an effort is published %v after the service was up", time.Since(up).Round(time.Second))
	payersAreMet(t, f, own, tor, solved, n.Onion())
	f.stop()
}
