package connections

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/supervisor/retry"
)

// Why a Want fails at once, without dialling.
var (
	// ErrBackoff: the relay failed lately.
	ErrBackoff = errors.New("the relay failed lately; it is not tried again yet")
	// ErrBudget: too many relays failed lately, for this purpose.
	ErrBudget = errors.New("too many dials failed lately; relays that failed are not tried again yet")
)

const (
	// rememberFailure is how long after it may be dialled again a relay's
	// failures are remembered.
	rememberFailure = time.Hour
	// setAsideFor is how long a relay whose input crashed its connections is
	// left alone.
	setAsideFor = 10 * time.Minute
)

// strategy is how connections are kept up.
var strategy = supervisor.Connection()

// entry is what is known of one relay.
type entry struct {
	name     string // of the relay in events: random, for one boot
	key      string // its identity, for the quarantine
	id       string // of the last connection
	conn     *conn  // that new circuits share; nil: none
	failures uint32 // in a row
	last     chivev1.Outcome
	until    time.Time // not to be dialled before
	breaker  *retry.Breaker

	mute    uint32        // connections in a row on which nothing came at all
	suspect bool          // the last connection went silent: the next has less time
	took    time.Duration // to make the last
}

func (c *connections) newEntry(relay [20]byte) *entry {
	e := &entry{name: messages.RandomID(), key: string(relay[:])}
	if c.o.Kept != nil {
		if s, ok := c.o.Kept.Breaker(relay); ok && !s.OpenedAt.After(c.o.Now()) { // of an earlier boot
			e.breaker = retry.RestoreBreaker(c.breakerOf(e, relay), s)
			return e
		}
	}
	e.breaker = retry.NewBreaker(c.breakerOf(e, relay))
	return e
}

// breakerOf is the strategy's breaker for a relay, with what the settings say.
func (c *connections) breakerOf(e *entry, relay [20]byte) retry.BreakerConfig {
	config := *strategy.Breaker
	config.Now = c.o.Now
	config.Failures, config.OpenFor = c.o.Settings.BreakerFailures, c.o.Settings.BreakerOpenFor // 0: the strategy's
	config.OnChange = func(change retry.Change) {
		c.o.Recorder.Emit(supervisor.BreakerEvent(e.name, "connection/"+e.id, change, e.last, relay[:]))
		if c.o.Kept != nil {
			c.o.Kept.KeepBreaker(relay, retry.Snapshot{State: change.To, OpenedAt: c.o.Now()})
		}
	}
	return config
}

// newBreakers has every relay's breaker follow the settings from its present
// state on. What a dial under way finds out is not counted.
func (c *connections) newBreakers() {
	for relay, e := range c.relays {
		e.breaker = retry.RestoreBreaker(c.breakerOf(e, relay), e.breaker.Snapshot())
	}
}

// forgettable: is there nothing to remember of a relay without a connection?
func (e *entry) forgettable(now time.Time) bool {
	return e.conn == nil && e.breaker.Quiet() && (e.failures == 0 && e.mute == 0 || now.Sub(e.until) > rememberFailure)
}

func (c *connections) newQuarantine() *supervisor.Quarantine {
	return supervisor.NewQuarantine(supervisor.QuarantineConfig{
		For: setAsideFor, Now: c.o.Now,
		OnSetAside: func(s supervisor.SetAside) {
			c.o.Recorder.Emit(s.Event(c.relays[[20]byte([]byte(s.Key))].name, s.By))
		},
	})
}

// admit allows a dial, or says why there is none now.
func (c *connections) admit(e *entry, purpose chivev1.Purpose) (retry.Permit, chivev1.Outcome, error) {
	const backoff = chivev1.Outcome_OUTCOME_BACKOFF
	if err := c.quarantine.Admit("relay", e.key); err != nil {
		return retry.Permit{}, chivev1.Outcome_OUTCOME_QUARANTINED, err
	}
	if c.o.Now().Before(e.until) || e.breaker.RetryAfter() > 0 {
		return retry.Permit{}, backoff, ErrBackoff
	}
	budget := c.budgets.For(purpose)
	if e.failures == 0 {
		budget.Earn()
	} else if !budget.Spend() {
		return retry.Permit{}, backoff, ErrBudget
	}
	permit, err := e.breaker.Acquire()
	if err != nil {
		return retry.Permit{}, backoff, errors.Join(ErrBackoff, err)
	}
	return permit, chivev1.Outcome_OUTCOME_OK, nil
}

// healthy forgets the relay's failures: its connection is open.
func (c *connections) healthy(e *entry, permit retry.Permit) {
	e.failures, e.until = 0, time.Time{}
	permit.Success()
}

// failed sets when the relay may be dialled again.
func (c *connections) failed(e *entry, permit retry.Permit, out chivev1.Outcome) {
	if out == chivev1.Outcome_OUTCOME_SHUTDOWN || out == chivev1.Outcome_OUTCOME_CANCELLED {
		permit.Cancel()
		return
	}
	e.failures++
	e.last = out
	delay := strategy.Wait(int(e.failures), c.o.Rand)
	e.until = c.o.Now().Add(delay)
	permit.Failure()
	change := supervisor.StateChanged{Child: e.id, State: supervisor.StateBackoff, Attempt: int(e.failures), Delay: delay}
	if strategy.ExhaustedAt(int(e.failures)) {
		told := change
		told.State = supervisor.StateExhausted
		c.o.Recorder.Emit(told.Event(e.name, "connection/"+e.id, out))
	}
	c.o.Recorder.Emit(change.Event(e.name, "connection/"+e.id, out))
}

// forgive forgets failures. What the quarantine holds stays there: it says
// nothing about the network.
func (c *connections) forgive(ctx actor.Context, m *Forgive) {
	for _, relay := range m.Relays {
		if e := c.relays[relay]; e != nil {
			// Its failures are no reason to wait any more, but they count on.
			e.failures, e.until = 0, time.Time{}
			if e.breaker.RetryAfter() > 0 {
				e.breaker.Reset()
			}
		}
	}
	if m.Relays == nil {
		for _, e := range c.relays {
			e.failures, e.until, e.mute, e.suspect = 0, time.Time{}, 0, false
			e.breaker.Reset()
		}
		c.tryHere()
		c.budgets.Refill()
		c.proxy.until = time.Time{}
	}
	if m.Renew && c.closing == nil {
		c.renew(ctx)
	}
}

// renew parts with the network of before: connections that are open take no new circuits, and
// those that are being made, from an address that may be gone, are given up. Who waits for
// one of these waits for another. That blames nobody.
func (c *connections) renew(ctx actor.Context) {
	for _, e := range c.relays {
		e.conn = nil
	}
	var waiting []*Want
	for _, x := range c.conns {
		x.left = true
		if x.link != nil {
			continue
		}
		waiting = append(waiting, x.waiting...)
		x.waiting = nil
		if c.proxy.probe == x.id {
			c.proxy.probe = ""
		}
		ctx.Send(x.pid, &connection.Close{Outcome: chivev1.Outcome_OUTCOME_CANCELLED})
	}
	for _, w := range waiting {
		c.want(ctx, w)
	}
}
