package connections

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/supervisor/retry"
	"chive/tor/upstream"
)

// A proxy on the way to all relays (Socks5Proxy and the like) is supervised as one thing:
//
//	        dial fails, and it is the proxy's fault
//	works ──────────────────────────────────────────► down ─┐ all that would be dialled is
//	  ▲                                                 │   │ refused with proxy-failed
//	  └──── a dial gets through ◄──── one dial tries ◄──┴───┘ when the wait is over
//
// Its failures count against no relay: no breaker, no back-off, no guard (rule 0). That it
// did not connect to a relay may be the fault of either, and its answer does not tell.
// It is taken for the relay's only if the proxy has been seen to work since that relay
// was first refused, or, lest a dead guard be tried for ever where nothing else is
// dialled, once in verdictAfter.

// ErrProxyDown: nothing is dialled, as the proxy does not work.
var ErrProxyDown = errors.New("the upstream proxy does not work; it is not tried again yet")

const (
	// verdictAfter is how long a proxy must have connected to nothing before one relay
	// that it refuses is given up.
	verdictAfter = 10 * time.Minute
	// maxDoubts bounds the relays that are remembered as refused.
	maxDoubts = 256
)

// proxyPause is the wait after failures of the proxy in a row. A proxy is near, or is all
// there is: it is tried more often than a relay.
var proxyPause = retry.Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second, Factor: 2, Jitter: 0.2}

// ProxyChanged tells that the proxy failed, again perhaps, or works again.
type ProxyChanged struct {
	Works    bool
	Failures int // in a row; if it works, those that it recovered from, 0 if another is set
	Outcome  chivev1.Outcome
	Again    time.Duration // until it is tried again
}

// proxy is what is known of the proxy in use.
type proxy struct {
	failures int
	until    time.Time              // not to be tried before
	probe    string                 // id of the connection that tries it while it is down
	cause    string                 // id of the event that tells of the last failure
	worked   time.Time              // when it last made a connection
	silent   time.Time              // since when it has made none, or one relay was given up
	doubts   map[[20]byte]time.Time // relays that it did not connect to, and since when
}

// fault is whose a failed outgoing connection is.
type fault int

const (
	nobodys fault = iota // this node gave up, or failed itself, or its machine
	relays
	proxys
	unsure // the relay is given up without proof, and the proxy has not been seen to work
)

// ofRelay: does it count against the relay?
func (f fault) ofRelay() bool { return f == relays || f == unsure }

// proxied: does the connection go through the proxy in use?
func (c *connections) proxied(x *conn) bool {
	return x.via.Kind != upstream.None && x.via == c.o.Dialer.Proxy
}

// admitProxy allows a dial as far as the proxy goes.
func (c *connections) admitProxy() bool {
	p := &c.proxy
	return c.o.Dialer.Proxy.Kind == upstream.None || p.failures == 0 || p.probe == "" && !c.o.Now().Before(p.until)
}

// faultOf says whose a failed outgoing connection is.
func (c *connections) faultOf(x *conn, m *connection.Down) fault {
	switch m.Outcome {
	case chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_INTERNAL,
		chivev1.Outcome_OUTCOME_MACHINE_FAILED:
		return nobodys
	}
	either := errors.Is(m.Err, upstream.ErrRefused) || errors.Is(m.Err, upstream.ErrSilent)
	switch {
	case !either && !errors.Is(m.Err, upstream.ErrProxy):
		return relays
	case !c.proxied(x): // another proxy is in use by now
		return nobodys
	case either:
		return c.refusedBy([20]byte([]byte(x.entry.key)))
	}
	return proxys
}

// refusedBy says whose it is that the proxy did not connect to a relay.
func (c *connections) refusedBy(relay [20]byte) fault {
	p, now := &c.proxy, c.o.Now()
	if p.silent.IsZero() {
		p.silent = now
	}
	first, again := p.doubts[relay]
	whose := proxys
	switch {
	case again && c.workedSince(first):
		whose = relays
	case again && now.Sub(p.silent) >= verdictAfter:
		whose, p.silent = unsure, now
	case !again && len(p.doubts) < maxDoubts:
		if p.doubts == nil {
			p.doubts = map[[20]byte]time.Time{}
		}
		p.doubts[relay] = now
	}
	if whose.ofRelay() {
		delete(p.doubts, relay)
	}
	return whose
}

// workedSince: has the proxy made a connection, or one that it made earlier carried
// anything to here?
func (c *connections) workedSince(t time.Time) bool {
	if c.proxy.worked.After(t) {
		return true
	}
	for _, x := range c.conns {
		if x.heard != nil && c.proxied(x) && x.heard().After(t) {
			return true
		}
	}
	return false
}

// throughProxy notes how a dial fared as far as the proxy goes.
func (c *connections) throughProxy(x *conn, f fault, out chivev1.Outcome, cause string) {
	p := &c.proxy
	mine := p.probe == x.id
	if mine {
		p.probe = ""
	}
	switch {
	case !c.proxied(x) || f == nobodys:
	case f == relays && out == chivev1.Outcome_OUTCOME_PROXY_REFUSED:
		// The proxy works for others: that is why the relay is blamed.
		c.proxyWorks()
	case f == relays:
		p.worked, p.silent = c.o.Now(), time.Time{}
		delete(p.doubts, [20]byte([]byte(x.entry.key)))
		c.proxyWorks()
	case p.failures > 0 && !mine:
		// Dialled before it was known to be down.
	default:
		c.proxyFailed(out, cause)
	}
}

func (c *connections) proxyWorks() {
	p := &c.proxy
	if p.failures == 0 {
		return
	}
	told := ProxyChanged{Works: true, Failures: p.failures, Outcome: chivev1.Outcome_OUTCOME_OK}
	p.failures, p.until, p.cause = 0, time.Time{}, ""
	c.tellProxy(supervisor.StateUp, told)
}

// newProxy forgets the proxy of before: nothing is known of the one that is set, if one is.
func (c *connections) newProxy() {
	failed := c.proxy.failures > 0
	c.proxy = proxy{}
	if failed {
		c.tellProxy(supervisor.StateGone, ProxyChanged{Works: true, Outcome: chivev1.Outcome_OUTCOME_OK})
	}
}

func (c *connections) proxyFailed(out chivev1.Outcome, cause string) {
	p := &c.proxy
	p.failures++
	p.cause = cause
	wait := proxyPause.Delay(p.failures, c.o.Rand)
	p.until = c.o.Now().Add(wait)
	c.tellProxy(supervisor.StateBackoff, ProxyChanged{Failures: p.failures, Outcome: out, Again: wait})
}

// tellProxy tells of the proxy, which has the actor id "proxy" in events.
func (c *connections) tellProxy(state supervisor.State, told ProxyChanged) {
	change := supervisor.StateChanged{Child: "proxy", State: state, Attempt: told.Failures, Delay: told.Again}
	c.o.Recorder.Emit(change.Event("proxy", "proxy", told.Outcome))
	if c.o.Proxy != nil {
		c.o.Proxy(told)
	}
}

// refuseDown answers a Want that is not dialled, as the proxy is down.
func (c *connections) refuseDown(ctx actor.Context, w *Want) {
	ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_PROXY_FAILED, Err: ErrProxyDown, Cause: c.proxy.cause})
}
