package cbt

import "time"

// Settings are the user's part.
type Settings struct {
	Learn   bool          // LearnCircuitBuildTimeout
	Timeout time.Duration // CircuitBuildTimeout: the initial timeout, or without Learn the only one; 0: the network's
}

// Estimator says how long circuits may take. It belongs to one actor.
type Estimator struct {
	h       History
	p       Params
	s       Settings
	timeout time.Duration
	close   time.Duration
	learned bool

	recent  []bool // of the last circuits that reached their first hop: was it late?
	at      int
	nonlive int       // circuits that lived and died while nothing arrived
	heard   time.Time // when something arrived last
	tested  time.Time // when a circuit was launched last
}

// New makes an estimator of what was measured before. The events are those of a
// history that tells nothing, which begins anew.
func New(h History, p Params, s Settings) (*Estimator, []Event) {
	e := &Estimator{h: h}
	return e, e.Configure(p, s)
}

// Configure takes over new parameters or settings.
func (e *Estimator) Configure(p Params, s Settings) []Event {
	e.p, e.s = p, s
	if len(e.recent) != p.Recent {
		// It need not be kept: it only tells of a sudden change (C tor keeps a part).
		e.recent, e.at = make([]bool, p.Recent), 0
	}
	return e.compute()
}

// Learning says whether timeouts are learned at all.
func (e *Estimator) Learning() bool { return e.s.Learn && !e.p.Disabled }

// Learned says whether the timeout is one that was computed.
func (e *Estimator) Learned() bool { return e.learned }

// Timeout is how long a circuit may take to be of use.
func (e *Estimator) Timeout() time.Duration { return e.timeout }

// Close is how long a circuit is built on to measure it; no less than Timeout.
func (e *Estimator) Close() time.Duration { return e.close }

// Count is how many circuits the history has, and how many of them were
// abandoned.
func (e *Estimator) Count() (circuits, abandoned int) {
	for _, t := range e.h.Times {
		if t == Abandoned {
			abandoned++
		}
	}
	return len(e.h.Times), abandoned
}

// Live says whether build times count just now: no circuit has spent its whole
// life without anything arriving (path-spec §2.4.3).
func (e *Estimator) Live() bool { return e.nonlive == 0 }

// Heard tells that something arrived from the network; times that go back are
// ignored.
func (e *Estimator) Heard(at time.Time) {
	if at.After(e.heard) {
		e.heard, e.nonlive = at, 0
	}
}

// Built tells that a circuit has its third hop; late says that TimedOut was told
// of it. A time that no circuit can have, as after a suspend, does not count.
func (e *Estimator) Built(took time.Duration, late bool) (events []Event) {
	if !e.Learning() || took < 0 || took > 2*e.close+time.Second {
		return nil
	}
	if e.Live() {
		events = e.apply(Event{Kind: Measured, Time: rounded(took.Milliseconds())})
		events = append(events, e.compute()...)
	}
	if !late {
		e.note(false)
	}
	return events
}

// TimedOut tells that a circuit is later than Timeout; firstHop says that its
// guard had answered. Too many of them mean that the network changed: what was
// learned is forgotten, and if that was so before, the timeout doubles.
func (e *Estimator) TimedOut(firstHop bool) []Event {
	if !e.Learning() || !firstHop {
		return nil
	}
	e.note(true)
	late := 0
	for _, l := range e.recent {
		if l {
			late++
		}
	}
	if late < e.p.MaxTimeouts {
		return nil
	}
	return e.reset()
}

// Abandoned tells that a circuit launched at the given time was not built when
// Close came. If nothing at all arrived since its launch it does not count.
func (e *Estimator) Abandoned(launched time.Time) []Event {
	if !e.Learning() {
		return nil
	}
	if e.heard.Before(launched) {
		e.nonlive++
	}
	if !e.Live() {
		return nil
	}
	events := e.apply(Event{Kind: Measured, Time: Abandoned})
	return append(events, e.compute()...)
}

// Forget empties the history.
func (e *Estimator) Forget() []Event {
	e.forgetRecent()
	events := e.apply(Event{Kind: Reset})
	e.initial()
	return events
}

// Wanting says that too little is known and more circuits should be measured.
func (e *Estimator) Wanting() bool { return e.Learning() && e.tooFew() }

// WantsTest says whether a circuit should be built only to measure it, with so
// many unused circuits there (path-spec §2.4.1: slowly, while too little is known).
func (e *Estimator) WantsTest(now time.Time, unused int) bool {
	return e.Wanting() && unused < e.p.MaxOpen && now.Sub(e.tested) > e.p.TestEvery
}

// Launched tells that a circuit was launched, for whatever purpose.
func (e *Estimator) Launched(now time.Time) { e.tested = now }

func (e *Estimator) tooFew() bool { return len(e.h.Times) < min(e.p.MinCircuits, Observed) }

func (e *Estimator) note(late bool) {
	e.recent[e.at] = late
	e.at = (e.at + 1) % len(e.recent)
}

func (e *Estimator) forgetRecent() {
	clear(e.recent)
	e.at = 0
}

// apply changes the history; its own events are always possible.
func (e *Estimator) apply(ev Event) []Event {
	if err := e.h.Apply(ev); err != nil {
		panic(err)
	}
	return []Event{ev}
}

// First is the initial timeout: the user's, or the network's.
func (e *Estimator) First() time.Duration {
	if e.s.Timeout > 0 {
		return max(e.s.Timeout, e.p.MinTimeout)
	}
	return e.p.Initial
}

// initial puts the timeouts in force that hold until enough is known.
func (e *Estimator) initial() {
	e.timeout, e.close, e.learned = e.First(), e.First(), false
	if e.Learning() && e.h.TimeoutMs > 0 {
		e.timeout = max(e.timeout, milliseconds(e.h.TimeoutMs))
		e.close = max(e.timeout, milliseconds(e.h.CloseMs))
	}
}

// reset begins anew with the initial timeouts, or with the doubles of longer ones.
func (e *Estimator) reset() []Event {
	const longest = maxMs / 2
	ev := Event{Kind: Reset}
	if timeout, limit := ms(e.timeout), ms(e.close); e.timeout >= e.First() {
		if timeout <= longest && limit <= longest {
			timeout, limit = 2*timeout, 2*limit
		}
		ev.TimeoutMs, ev.CloseMs = min(timeout, maxMs), min(limit, maxMs)
	}
	e.forgetRecent()
	events := e.apply(ev)
	e.initial()
	return events
}

// compute sets the timeouts by what is known. A history of nothing but abandoned
// circuits would hold the timeout where it is for ever, too short for any circuit
// to be measured (C tor issue 41420): it is a change of the network.
func (e *Estimator) compute() []Event {
	if !e.Learning() || e.tooFew() {
		e.initial()
		return nil
	}
	curve, ok := fit(e.h.Times, e.p.Modes)
	if !ok {
		if !e.learned {
			e.initial()
		}
		return e.reset()
	}
	timeout := min(curve.quantile(e.p.Quantile), curve.max)
	limit := curve.quantile(e.p.CloseQuantile)
	if 2*curve.max < maxMs {
		limit = min(limit, 2*curve.max)
	}
	e.timeout = max(milliseconds(timeout), e.p.MinTimeout)
	// A quick guard gives so steep a curve that the cutoff would be close to the
	// timeout: at least the network's initial one.
	e.close = max(milliseconds(limit), e.p.Initial, e.timeout)
	e.learned = true
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func milliseconds(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
