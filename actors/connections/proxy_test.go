package connections

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"chive/actors/connection"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/upstream"
)

var aProxy = upstream.Proxy{Kind: upstream.SOCKS5, Addr: netip.MustParseAddrPort("127.0.0.1:1080")}

// Errors of a dial, as the connection gives them.
var (
	errAway    = fmt.Errorf("%w: connect: %w", upstream.ErrProxy, syscall.ECONNREFUSED)
	errAuth    = fmt.Errorf("%w: %w", upstream.ErrProxy, upstream.ErrAuth)
	errRefuses = fmt.Errorf("through the proxy: %w", upstream.ErrRefused)
	errSilent  = fmt.Errorf("through the proxy: %w", upstream.ErrSilent)
)

// proxyDesk is a desk whose connections go through a proxy.
type proxyDesk struct {
	*desk
	blamed []byte // relays, by their first byte
	said   []ProxyChanged
	now0   time.Time // when the test began
}

func newProxyDesk(t *testing.T) *proxyDesk {
	d := &proxyDesk{desk: newDesk(t)}
	d.o.Dialer.Proxy, d.now0 = aProxy, d.now
	d.o.Unreachable = func(relay [20]byte, _ chivev1.Outcome) { d.blamed = append(d.blamed, relay[0]) }
	d.o.Proxy = func(p ProxyChanged) { d.said = append(d.said, p) }
	return d
}

// begin is a dial that has not ended; nil: the proxy is down, or the relay waits.
func (d *proxyDesk) begin(n byte) *conn {
	if !d.admitProxy() {
		return nil
	}
	e := d.relay(n)
	permit, _, err := d.admit(e, chivev1.Purpose_PURPOSE_GENERAL)
	if err != nil {
		return nil
	}
	x := &conn{id: messages.RandomID(), entry: e, permit: permit, via: d.o.Dialer.Proxy}
	if d.proxy.failures > 0 {
		d.proxy.probe = x.id
	}
	return x
}

// end is how the dial ends: with an error, or with none.
func (d *proxyDesk) end(x *conn, err error) fault {
	if err == nil {
		d.healthy(x.entry, x.permit)
		d.throughProxy(x, relays, chivev1.Outcome_OUTCOME_OK, "")
		return nobodys
	}
	m := &connection.Down{ID: x.id, Outcome: outcome.FromDial(err), Err: err, Cause: "why"}
	whose := d.faultOf(x, m)
	d.throughProxy(x, whose, m.Outcome, m.Cause)
	d.dialFailed(x, m, whose)
	return whose
}

// wait lets the time pass until the proxy is tried again.
func (d *proxyDesk) wait() { d.now = d.now.Add(max(time.Second, d.proxy.until.Sub(d.now))) }

// A proxy that is away, or does not serve this node, is tried again on its schedule: one
// dial at a time. No relay waits for it, no breaker opens, no guard hears of it.
func TestProxyThatIsAwayBlamesNoRelay(t *testing.T) {
	for name, err := range map[string]error{"away": errAway, "wants other credentials": errAuth} {
		t.Run(name, func(t *testing.T) {
			d := newProxyDesk(t)
			for i := range 50 {
				x := d.begin(byte(1 + i%3))
				if x == nil || d.end(x, err) != proxys {
					t.Fatalf("attempt %d: %+v", i, d.proxy)
				}
				if d.begin(7) != nil {
					t.Fatal("another relay is dialled at once")
				}
				if wait := d.proxy.until.Sub(d.now); wait <= 0 || wait > proxyPause.Max {
					t.Fatalf("tried again in %v", wait)
				}
				d.wait()
			}
			for n := range byte(3) {
				if e := d.relay(1 + n); e.failures != 0 || !e.until.IsZero() || !e.breaker.Quiet() {
					t.Errorf("relay %d: %d failures, waits until %v", 1+n, e.failures, e.until)
				}
			}
			if len(d.blamed) > 0 || len(d.said) != 50 || d.said[49].Failures != 50 || d.said[49].Outcome != chivev1.Outcome_OUTCOME_PROXY_FAILED {
				t.Errorf("blamed %v, said %+v", d.blamed, d.said)
			}
			probe := d.begin(1)
			if probe == nil || d.begin(2) != nil {
				t.Fatal("not one dial at a time")
			}
			d.end(probe, nil)
			if d.begin(2) == nil || d.begin(3) == nil || !d.said[50].Works || d.said[50].Failures != 50 {
				t.Errorf("back: %+v", d.said[50])
			}
			names := d.names()
			if !slices.Equal(slices.Compact(slices.Clone(names)), []string{"backoff", "up"}) || len(names) != 51 {
				t.Errorf("told %q", names)
			}
		})
	}
}

// That a proxy refuses a relay, or says nothing, is the relay's only once the proxy has
// been seen to work since.
func TestRefusalsOfAProxy(t *testing.T) {
	for name, err := range map[string]error{"refuses": errRefuses, "silent": errSilent} {
		t.Run(name, func(t *testing.T) {
			d := newProxyDesk(t)
			for n := range byte(20) { // it refuses everything
				d.wait()
				if x := d.begin(1 + n%4); x == nil || d.end(x, err) != proxys {
					t.Fatalf("refusal %d: %+v", n, d.proxy)
				}
			}
			d.wait()
			d.end(d.begin(9), nil) // and works again
			if len(d.blamed) > 0 {
				t.Fatalf("blamed %v", d.blamed)
			}
			if whose := d.end(d.begin(1), err); whose != relays {
				t.Fatalf("a relay that is refused by a proxy that works: %v", whose)
			}
			if d.begin(2) == nil || d.proxy.failures != 0 || d.relay(1).failures != 1 || !slices.Equal(d.blamed, []byte{1}) {
				t.Errorf("blamed %v, %+v", d.blamed, d.proxy)
			}
			// The next refusal of that relay is judged anew, with what happens then.
			d.now = d.now.Add(time.Hour)
			if whose := d.end(d.begin(1), err); whose != proxys {
				t.Errorf("an hour later: %v", whose)
			}
		})
	}
}

// Where nothing else is dialled, a dead guard is given up in the end, one at a time; a
// proxy without a network costs no more than that.
func TestRefusedRelayIsGivenUpInTheEnd(t *testing.T) {
	d := newProxyDesk(t)
	tries := 0
	for len(d.blamed) == 0 {
		d.wait()
		for _, n := range []byte{1, 2} {
			if x := d.begin(n); x != nil {
				d.end(x, errRefuses)
				tries++
				d.wait()
			}
		}
	}
	if passed := d.now.Sub(d.now0); passed < verdictAfter || passed > verdictAfter+4*proxyPause.Max || len(d.blamed) != 1 {
		t.Errorf("blamed %v after %v and %d refusals", d.blamed, passed, tries)
	}
	if d.proxy.failures == 0 {
		t.Error("the proxy is taken to work")
	}
	for until := d.now.Add(verdictAfter - 2*proxyPause.Max); d.now.Before(until); d.wait() {
		if x := d.begin(3); x != nil {
			d.end(x, errRefuses)
		}
	}
	if len(d.blamed) != 1 {
		t.Errorf("blamed %v", d.blamed)
	}
}

// What fails behind a proxy that has connected is the relay's, and shows that it works.
func TestFailureBehindAProxyIsTheRelays(t *testing.T) {
	d := newProxyDesk(t)
	d.end(d.begin(1), errAway)
	d.wait()
	if whose := d.end(d.begin(1), errors.New("TLS handshake: no")); whose != relays || d.proxy.failures != 0 || !slices.Equal(d.blamed, []byte{1}) {
		t.Errorf("whose %v, %+v, blamed %v", whose, d.proxy, d.blamed)
	}
}

// With another proxy, or none, nothing waits for the one of before, and what its last
// dials find out says nothing.
func TestAnotherProxyBeginsAnew(t *testing.T) {
	d := newProxyDesk(t)
	old := d.begin(1)
	d.end(d.begin(2), errAway)
	next := aProxy
	next.Addr = netip.MustParseAddrPort("127.0.0.1:1081")
	d.o.Dialer.Proxy = next
	d.newProxy()
	if last := d.said[len(d.said)-1]; !last.Works || last.Failures != 0 {
		t.Errorf("%+v", last)
	}
	if d.end(old, errAway) != nobodys || d.begin(3) == nil || len(d.blamed) > 0 || d.relay(1).failures != 0 {
		t.Errorf("%+v, blamed %v", d.proxy, d.blamed)
	}
	d.o.Dialer.Proxy = upstream.Proxy{}
	d.newProxy()
	x := d.begin(4)
	if x == nil || d.end(x, fmt.Errorf("connect: %w", syscall.ECONNREFUSED)) != relays || !slices.Equal(d.blamed, []byte{4}) {
		t.Errorf("without a proxy: blamed %v", d.blamed)
	}
}

// A link that carries something since a refusal shows that the proxy works.
func TestTrafficShowsThatAProxyWorks(t *testing.T) {
	d := newProxyDesk(t)
	open := d.begin(1)
	d.end(open, nil)
	d.conns[open.id] = open
	if d.end(d.begin(2), errRefuses) != proxys {
		t.Fatal("a first refusal is the relay's")
	}
	began := d.now
	open.heard = func() time.Time { return began }
	d.wait()
	if d.end(d.begin(2), errRefuses) != proxys {
		t.Fatal("a link that is silent shows that the proxy works")
	}
	d.wait()
	open.heard = func() time.Time { return d.now }
	if d.end(d.begin(2), errRefuses) != relays {
		t.Fatal("a link that carries something does not")
	}
}
