package connection

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/tor/cell"
)

// A connection of which a router has lost track, or whose relay hangs, is open as far as the
// kernel knows, for a quarter of an hour perhaps. A relay answers CREATE at once, so one of
// which nothing at all is heard after it is taken for gone:
//
//	       CREATE                    nothing for answerWithin
//	quiet ────────► asked ─────────────────────────────────────► silent ──► closed
//	  ▲               │ anything comes, padding too                │  nothing for lostAfter
//	  └───────────────┘                                            ▼
//	                                                            heard again: ends with its last stream
//
// It takes no new circuits from then on; the next dials anew, and only if that fails it counts
// against the relay. What comes shows that the way and the relay's process are good, whatever
// becomes of a circuit, so nobody but the relay, and who is on the way to it, has a say in it.

const (
	// listenEvery is how often it is looked whether anything came. Looks are counted, not time:
	// when this process does not run, it hears nothing.
	listenEvery = time.Second
	// answerWithin is how long nothing may come after CREATE: some round trips of the worst
	// networks. A relay of C tor's with too much to do refuses what it could not answer within
	// 2 s, and says so. It is longer where it took longer to connect, which is some four round
	// trips.
	answerWithin = 5 * time.Second
	// firstWithin is the same while nothing at all has come since the connection was made, as it
	// may then count against the relay: what it pads with comes within 9.5 s (padding-spec 2.2).
	firstWithin = 10 * time.Second
	// doubtWithin is the same while in doubt, on a connection on which nothing came for
	// answerWithin in all: what took one connection often takes all.
	doubtWithin = 2 * time.Second
	// doubtFor is how long a doubt lasts.
	doubtFor = 20 * time.Second
	// mournEvery is how often a connection that was silent is looked at.
	mournEvery = 10 * time.Second
	// lostAfter is how long a silent one is kept, with its streams, in case that the network
	// comes back. The kernel keeps one as long that nobody acknowledges anything on.
	lostAfter = 3 * time.Minute
	// fairTime is what a relay must have had for its answer, for a circuit that was given up
	// without one to count. C tor drops what was given up and waits in its queue, without an
	// answer; what has waited 2 s there it refuses, which is one.
	fairTime = 3 * time.Second
)

// Silent tells the parent, and each circuit that is on the connection, that the relay went silent.
type Silent struct {
	ID    string
	Heard bool   // something had come since the connection opened
	Cause string // id of the event that says so
}

// Doubt tells a connection that another one went silent just now.
type Doubt struct{}

type listen struct{}

// ask is a CREATE, after the link's epoch.
type ask struct {
	id cell.CircID
	at time.Duration
}

// asked notes a CREATE and sees to it that somebody listens; l.mu is held.
func (l *Link) asked(id cell.CircID) {
	heard := time.Duration(l.activity.heard.Load())
	if n := len(l.asks); n > 0 && l.asks[n-1].at < heard {
		l.asks = l.asks[:0]
	}
	l.asks = append(l.asks, ask{id, time.Since(l.activity.epoch)})
	if !l.listening && l.owner != nil {
		l.listening = true
		l.root.Send(l.owner, &listen{})
	}
}

// unasked forgets a CREATE that was given up too soon for an answer; l.mu is held.
func (l *Link) unasked(id cell.CircID) {
	for i, a := range l.asks {
		if a.id == id {
			if time.Since(l.activity.epoch)-a.at < fairTime {
				l.asks = append(l.asks[:i], l.asks[i+1:]...)
			}
			return
		}
	}
}

// unanswered is the first CREATE since the relay last sent anything. If there is none, nobody
// listens until the next.
func (l *Link) unanswered() (since time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := time.Duration(l.activity.heard.Load())
	for _, a := range l.asks {
		if a.at >= heard {
			return a.at, true
		}
	}
	l.asks, l.listening = l.asks[:0], false
	return 0, false
}

// quiet has the link take no new circuits; those on it are told.
func (l *Link) quiet(m *Silent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent, l.asks, l.listening = true, nil, false
	for _, pid := range l.circuits {
		l.root.Send(pid, m)
	}
}

// Answered: has the relay sent anything since the link opened?
func (l *Link) Answered() bool { return l.activity.heard.Load() > 0 }

// ear is what a connection actor knows of a silence.
type ear struct {
	timer  *kernel.Timer
	since  time.Duration // of the CREATE without answer, after the link's epoch
	looked time.Duration // likewise
	looks  int           // in a row that found nothing
	doubts time.Duration // likewise, until when; 0: there were none
	silent bool
	heard  int64 // the link's activity, when it fell silent
}

// listen looks whether anything came.
func (c *connection) listen(ctx actor.Context) {
	begins := c.ear.timer == nil
	c.ear.timer.Stop()
	c.ear.timer = nil
	if c.over || c.link == nil {
		return
	}
	if c.ear.silent {
		c.mourn(ctx)
		return
	}
	since, asked := c.link.unanswered()
	if !asked {
		return
	}
	e, now := &c.ear, time.Since(c.link.activity.epoch)
	late := now-e.looked > 2*listenEvery // this process did not run, and heard nothing
	if e.looked = now; begins || since != e.since || late || c.link.records.waits.Load() {
		e.since, e.looks = since, 0
	} else if e.looks++; time.Duration(e.looks)*listenEvery >= c.patience(now) {
		c.fallSilent(ctx)
		return
	}
	e.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), listenEvery, &listen{})
}

// patience is how long nothing may come after CREATE.
func (c *connection) patience(now time.Duration) time.Duration {
	limit := answerWithin
	switch heard := time.Duration(c.link.activity.heard.Load()); {
	case heard == 0:
		limit = firstWithin
	case now < c.ear.doubts && now-heard >= answerWithin:
		limit = doubtWithin
	}
	return max(limit, c.opened.Sub(c.started))
}

// doubt has a connection be given up sooner.
func (c *connection) doubt() {
	if c.link != nil {
		c.ear.doubts = time.Since(c.link.activity.epoch) + doubtFor
	}
}

func (c *connection) fallSilent(ctx actor.Context) {
	down := supervisor.StateChanged{Child: c.o.ID, State: supervisor.StateDown, Attempt: 1}
	m := &Silent{ID: c.o.ID, Heard: c.link.Answered(), Cause: c.emit(down.Event(c.o.Name, "connection/"+c.o.ID, chivev1.Outcome_OUTCOME_TIMEOUT))}
	if p := ctx.Parent(); p != nil {
		ctx.Send(p, m) // before a circuit that hears of it has another launched
	}
	c.link.quiet(m)
	c.ear = ear{silent: true, heard: c.link.activity.heard.Load()}
	c.ear.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), mournEvery, &listen{})
}

// mourn ends a connection that stays silent.
func (c *connection) mourn(ctx actor.Context) {
	if c.link.activity.heard.Load() != c.ear.heard {
		return
	}
	if c.ear.looks++; time.Duration(c.ear.looks)*mournEvery >= lostAfter {
		c.end(ctx, chivev1.Outcome_OUTCOME_CONNECTION_LOST, nil)
		return
	}
	c.ear.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), mournEvery, &listen{})
}
