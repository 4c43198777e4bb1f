package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// listing is what the consensus is to say of a relay instead of the truth.
type listing struct {
	at       netip.AddrPort // its address; invalid: as it is
	six      netip.AddrPort // and over IPv6, which nobody uses
	unstable bool
}

// listed writes a consensus by which relays, by nickname, are other ones. It is live for days.
func listed(text string, all map[string]listing) string {
	var out strings.Builder
	var now listing
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch words[0] {
		case "fresh-until", "valid-until":
			until := time.Now().UTC().Add(map[string]time.Duration{"fresh-until": 48 * time.Hour, "valid-until": 72 * time.Hour}[words[0]])
			line = words[0] + " " + until.Format(time.DateTime) + "\n"
		case "r":
			now = all[words[1]]
			if now.at.IsValid() {
				words[len(words)-3], words[len(words)-2] = now.at.Addr().String(), fmt.Sprint(now.at.Port())
				line = strings.Join(words, " ") + "\n"
			}
			if now.six.IsValid() {
				line += "a " + now.six.String() + "\n"
			}
		case "s":
			if now.unstable {
				line = strings.Replace(line, " Stable", "", 1)
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// passOn has who connects to one address be connected to another, until the test ends.
func passOn(t *testing.T, at, to netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	over := false
	keep := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if open = append(open, c); over {
			_ = c.Close()
		}
		return !over
	}
	join := func(a net.Conn) {
		b, err := net.Dial("tcp", to.String())
		if err != nil {
			_ = a.Close()
			return
		}
		if !keep(a) || !keep(b) {
			return
		}
		for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
			all.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			})
		}
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { join(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		over = true
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

// Options that choose relays by what the consensus says of them, in the running node, through
// relays of C tor. The authorities sign that some relays are not Stable, and that others are
// neighbours of an exit: one in its IPv4 /16, where it can be reached for as long, and one in
// its IPv6 /32.
func TestPathOptions(t *testing.T) {
	t.Parallel()
	n := network(t)
	node := func(name string) testnet.Node {
		x, ok := n.Node(name)
		if !ok {
			t.Fatalf("no node %s", name)
		}
		return x
	}
	var guards []string // which are the exit of nobody
	for _, x := range n.Nodes() {
		if x.Guard && !x.Exit {
			guards = append(guards, x.Fingerprint)
		}
	}
	beside := netip.AddrPortFrom(node("relay5").IP.Next(), uint16(node("exit1").ORPort))
	passOn(t, beside, netip.AddrPortFrom(node("exit1").IP, beside.Port()))
	changes := map[string]listing{
		"exit1":  {at: beside, six: netip.MustParseAddrPort("[2001:db8::1]:9001"), unstable: true},
		"exit2":  {unstable: true},
		"relay5": {unstable: true},
		"relay6": {six: netip.MustParseAddrPort("[2001:db8:0:1::1]:9001")},
	}
	bad := badDirectory{prefix: consensusPrefix, served: new(atomic.Int32), change: plain(func(b []byte) []byte {
		return resigned(t, n, b, func(text string) string { return listed(text, changes) })
	})}
	directory := relaydouble.Start(t, relaydouble.Options{Hops: 1, Dir: bad.mirror(t, n)}).Hops()[0]
	const lifetime = "GuardLifetime 1 day"
	base := []string{
		"SocksPort auto", fallbackLine(directory.Addr(), directory.RSA()), "EntryNodes " + strings.Join(guards, ","),
		"ConfluxEnabled 0", "LearnCircuitBuildTimeout 0", // a path is that of one circuit
	}
	var clock machineClock
	l := &lab{
		reloadable: startReloadableBy(t, n, &clock, nil, append(base, lifetime)...), n: n, base: append(base, lifetime),
		http: resource(n, 1000), echo: netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)),
	}
	rejected := l.count(func(e *chivev1.Envelope) bool { return e.GetDocumentRejected() != nil })
	if bad.served.Load() == 0 || rejected > 0 {
		t.Fatal("the node has its consensus from elsewhere")
	}
	// path is that of the circuit that a new user's stream goes over, by name.
	names := map[string]string{}
	for _, x := range n.Nodes() {
		names[x.Fingerprint] = x.Name
	}
	path := func(t *testing.T, ask func(user string) func() error) (out []string) {
		t.Helper()
		l.user++
		circuit := l.carrier(t, ask(fmt.Sprint("path", l.user)))
		for _, hop := range l.hops(circuit) {
			out = append(out, names[hop])
		}
		if len(out) != 3 {
			t.Fatalf("the path %v", out)
		}
		return out
	}
	get := func(user string) func() error { return l.get(t, user) }
	// comes to be, with paths of new users: all relays that are wanted are at a hop.
	comes := func(t *testing.T, ask func(user string) func() error, hop int, want ...string) {
		t.Helper()
		seen := map[string]bool{}
		for range 100 { // each is as likely as another, or more
			seen[path(t, ask)[hop]] = true
			if !slices.ContainsFunc(want, func(x string) bool { return !seen[x] }) {
				return
			}
		}
		t.Fatalf("%v at hop %d, want %v", seen, hop+1, want)
	}

	t.Run("LongLivedPorts", func(t *testing.T) {
		const middle, exit = 1, 2
		l.set(t, fmt.Sprintf("LongLivedPorts 1,%d", l.echo.Port()))
		for range 6 {
			if p := path(t, l.ping); p[exit] != "exit3" || p[middle] == "relay5" {
				t.Errorf("to a long-lived port: %v", p)
			}
		}
		comes(t, get, exit, "exit1", "exit2")
		l.set(t, "LongLivedPorts 1")
		comes(t, l.ping, exit, "exit1", "exit2")
		l.set(t, fmt.Sprintf("LongLivedPorts %d", l.echo.Port()))
		for range 3 {
			if p := path(t, l.ping); p[exit] != "exit3" || p[middle] == "relay5" {
				t.Errorf("to a long-lived port, again: %v", p)
			}
		}
	})

	t.Run("EnforceDistinctSubnets", func(t *testing.T) {
		const middle = 1
		named := []string{
			"ExitNodes " + node("exit1").Fingerprint,
			"MiddleNodes " + join([]testnet.Node{node("relay5"), node("relay6"), node("exit2")}),
		}
		l.set(t, named...)
		for range 6 {
			if p := path(t, get); p[middle] != "exit2" {
				t.Errorf("with neighbours apart: %v", p)
			}
		}
		l.set(t, append(named, "EnforceDistinctSubnets 0")...)
		comes(t, get, middle, "relay5", "relay6")
		l.set(t, named...)
		for range 3 {
			if p := path(t, get); p[middle] != "exit2" {
				t.Errorf("with neighbours apart, again: %v", p)
			}
		}
	})

	t.Run("GuardLifetime", func(t *testing.T) {
		l.set(t)
		l.once(t)
		l.base = base
		// Dates are moved to the past by a tenth of the lifetime at most.
		for _, step := range []struct {
			clock    time.Duration
			lifetime string
			gone     bool
		}{
			{20 * time.Hour, lifetime, false},
			{25 * time.Hour, "GuardLifetime 2 days", false},
			{25 * time.Hour, lifetime, true},
			{25 * time.Hour, "GuardLifetime 3 days", false},
		} {
			had := l.sample()
			_, from := l.events(0)
			clock.set(step.clock)
			l.set(t, step.lifetime)
			l.once(t)
			expired := func() (n int) {
				log, _ := l.events(from)
				for _, e := range log {
					if e.GetGuardRemoved().GetReason() == "expired" {
						n++
					}
				}
				return n
			}
			if step.gone {
				l.until(t, patience, "guards that have expired, and others", func() bool { return expired() >= had && l.sample() > 0 })
			}
			if want := map[bool]int{true: had}[step.gone]; expired() != want || had == 0 || l.sample() == 0 {
				t.Errorf("%s, %v later: %d of %d guards have expired, %d are there now", step.lifetime, step.clock, expired(), had, l.sample())
			}
		}
	})
}

// sample is how many guards the node has.
func (r *reloadable) sample() (n int) {
	log, _ := r.events(0)
	for _, e := range log {
		switch {
		case e.GetGuardSampled() != nil:
			n++
		case e.GetGuardRemoved() != nil:
			n--
		}
	}
	return n
}

// hops are the relays of a circuit, by fingerprint.
func (r *reloadable) hops(circuit string) (out []string) {
	log, _ := r.events(0)
	for _, e := range log {
		if l := e.GetCircuitLaunched(); l != nil && e.GetActorId() == circuit {
			for _, hop := range l.GetPath() {
				out = append(out, fmt.Sprintf("%X", hop))
			}
		}
	}
	return out
}
