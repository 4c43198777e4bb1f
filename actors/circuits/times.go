package circuits

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/durationpb"

	"chive/actors/circuit"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cbt"
	"chive/tor/path"
)

// Times is where the history of build times is kept. Its methods are called in
// this actor's turn and do not wait.
type Times interface {
	History() cbt.History
	Keep(events []cbt.Event)
}

// times is how long circuits may take, as learned so far.
type times struct {
	*cbt.Estimator
	heard  *atomic.Int64 // when cells arrived last on any circuit, in Unix nanoseconds
	unkept []cbt.Event   // to be kept with the next tick
	told   timeouts      // by the last event
}

// mostQueue bounds how many timeouts a circuit may wait behind others.
const mostQueue = 3

type timeouts struct {
	timeout, close time.Duration
	learned        bool
}

// recall begins with what was learned before.
func (c *circuits) recall() {
	var h cbt.History
	if c.o.Times != nil {
		h = c.o.Times.History()
	}
	c.times.heard = &atomic.Int64{}
	var events []cbt.Event
	c.times.Estimator, events = cbt.New(h, cbt.ParamsOf(nil), c.timeSettings())
	c.learn(events)
}

func (c *circuits) timeSettings() cbt.Settings {
	return cbt.Settings{Learn: c.o.Settings.Learn, Timeout: c.o.Settings.BuildTimeout}
}

// retime follows new parameters or settings, for circuits being built too.
func (c *circuits) retime(ctx actor.Context) {
	before := c.times.now()
	first := c.times.First()
	c.learn(c.times.Configure(cbt.ParamsOf(c.dir.Params), c.timeSettings()))
	if c.times.now() != before || c.times.First() != first {
		c.tellTimeouts(ctx)
	}
}

// forgetTimes drops what was learned, and tells of how many circuits that was.
func (c *circuits) forgetTimes(ctx actor.Context) int {
	n, _ := c.times.Count()
	c.learn(c.times.Forget())
	c.tellTimeouts(ctx)
	return n
}

// tellTimeouts has circuits that are being built follow the timeouts.
func (c *circuits) tellTimeouts(ctx actor.Context) {
	for _, r := range c.records {
		if !r.open && !r.isSet {
			limit, last := c.limits(r)
			r.send(ctx, &circuit.BuildTimeout{Limit: limit, Close: last})
		}
	}
}

func (t *times) now() timeouts { return timeouts{t.Timeout(), t.Close(), t.Learned()} }

// limits are the timeout and the close cutoff of a circuit. What is learned is of
// circuits of three hops.
//
// What a circuit waits behind others that this node builds through the same guard
// is added: a burst of requests would else make its own circuits late, and more of
// them in their place.
func (c *circuits) limits(r *record) (limit, last time.Duration) {
	if !r.guarded() {
		return c.times.First(), c.times.First()
	}
	limit = c.times.Timeout()
	if r.hops > path.ForExit.Hops(path.NoLayers) {
		limit = longer(limit, r.hops)
	}
	p := c.pace(r.first)
	limit += min(p.window.Queue(p.building), mostQueue*limit)
	if r.purpose != chivev1.Purpose_PURPOSE_GENERAL { // it is not built on to be measured
		return limit, limit
	}
	return limit, max(limit, c.times.Close())
}

// listen tells the estimator whether anything arrives.
func (c *circuits) listen() {
	if at := c.times.heard.Load(); at != 0 {
		c.times.Heard(time.Unix(0, at))
	}
}

// learn takes what the estimator made of something, and tells of a timeout that
// changed noticeably.
func (c *circuits) learn(events []cbt.Event) {
	c.times.unkept = append(c.times.unkept, events...)
	now, told := c.times.now(), c.times.told
	if now.learned == told.learned && now.close == told.close && (now.timeout-told.timeout).Abs() <= told.timeout/10 {
		return
	}
	c.times.told = now
	circuits, _ := c.times.Count()
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, c.o.Recorder.Node(), &chivev1.BuildTimeoutSet{
		Timeout: rounded(now.timeout), Close: rounded(now.close), Learned: now.learned, Circuits: uint32(circuits),
	}))
}

// rounded is up to 10 ms, so that no timeout is shown as none.
func rounded(d time.Duration) *durationpb.Duration {
	const unit = 10 * time.Millisecond
	return durationpb.New((d + unit - 1) / unit * unit)
}

// keep has what was learned since the last tick kept.
func (c *circuits) keep() {
	if len(c.times.unkept) > 0 && c.o.Times != nil {
		c.o.Times.Keep(c.times.unkept)
	}
	c.times.unkept = nil
}

// slow handles a circuit that is later than the timeout. It carries nothing any
// more, but is built on so that its time can be learned. While no circuit at all
// is open, a slow one is better than none (C tor relaxes its timeout likewise).
func (c *circuits) slow(ctx actor.Context, m *circuit.Slow) {
	r := c.records[m.ID]
	if r == nil || r.open || r.closing {
		return
	}
	r.slow = true
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL && r.set == nil {
		c.o.Bias.TimedOut(r.first)
	}
	c.listen()
	c.learn(c.times.TimedOut(m.FirstHop))
	if !c.anyOpen() {
		return
	}
	c.pace(r.first).window.Late(c.mostBuilding(), c.times.Timeout(), c.o.Now())
	c.ended(r)
	r.tired, r.late = true, true
	r.send(ctx, &circuit.Measure{})
	if !m.FirstHop { // else the guard is there, and its pace is what holds us back
		c.failed(ctx, false)
	}
	c.serve(ctx)
}

func (c *circuits) anyOpen() bool {
	for _, r := range c.records {
		if r.open && r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
			return true
		}
	}
	return false
}

func (c *circuits) measured(m *circuit.Measured) {
	if r := c.records[m.ID]; r != nil {
		r.measured = true
		c.built(r)
		c.listen()
		c.learn(c.times.Built(m.Took, true))
	}
}

// unbuilt counts a circuit that was not built when its time was over.
func (c *circuits) unbuilt(r *record, m *circuit.Gone) {
	if r.measured || r.closing || m.Outcome != chivev1.Outcome_OUTCOME_TIMEOUT {
		return
	}
	c.listen()
	if !r.slow {
		c.learn(c.times.TimedOut(m.Hops > 0))
	}
	c.learn(c.times.Abandoned(r.launched))
}

// test builds a circuit for its time alone, while too little is known. A stream
// may use it.
func (c *circuits) test(ctx actor.Context) {
	if !c.dir.Enough || c.holdOff != nil || c.progress < chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE ||
		!c.o.Settings.Prebuild || !c.times.WantsTest(c.o.Now(), len(c.clean())) || c.building >= c.mostBuilding() {
		return
	}
	if relays, err := c.cleanPath(ctx, c.likely()); err == nil && relays != nil {
		c.launchOver(ctx, relays)
	}
}

// reached learns from the third hop of a circuit of more (C tor likewise). Nobody but this
// node has a say in the hops up to it, whatever the circuit is for.
func (c *circuits) reached(m *circuit.Reached) {
	if r := c.records[m.ID]; r != nil && !r.isSet {
		c.learnFrom(m.Took)
	}
}

// learnFrom takes a time that nobody told to be late.
func (c *circuits) learnFrom(took time.Duration) {
	c.listen()
	late := took > c.times.Timeout()
	if late {
		c.learn(c.times.TimedOut(true))
	}
	c.learn(c.times.Built(took, late))
}

// unreached counts a circuit to or for an onion service that did not come to its third hop.
// What became of it further on was not in this node's hands.
func (c *circuits) unreached(r *record, m *circuit.Gone) {
	if r.closing || r.extended || m.Outcome != chivev1.Outcome_OUTCOME_TIMEOUT || m.Hops >= circuit.LearnAt {
		return
	}
	if counts(r.purpose) {
		c.o.Bias.TimedOut(r.first)
	}
	c.listen()
	c.learn(c.times.TimedOut(m.Hops > 0))
	c.learn(c.times.Abandoned(r.launched))
}
