package hosting

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/onions"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion/client"
	"chive/tor/onion/heal"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// proberName is of the actor that visits the services.
const proberName = "visits"

const (
	// visitGap is between the beginnings of two visits that are not urgent, on average: with
	// the three or four circuits of each, relays are asked for less than what they grant to
	// one address (dos-spec: three a second).
	visitGap = 2 * time.Second
	// Visits at a time: those that can wait, and all.
	mostVisits, mostUrgent = 8, 16
)

// prober visits the services of this node as clients do, some at a time.
type prober struct {
	h        *hosting // its Options
	network  *circuits.OnionNetwork
	view     *client.View
	rng      *rand.Rand
	usual    usual
	queue    []*visit // urgent ones first
	live     []*visiting
	circuits map[uint64]*opening
	token    uint64
	next     time.Time // before that no visit begins that is not urgent
	timer    *kernel.Timer
	turns    *onions.Turns
}

type (
	visitText struct {
		token uint64
		text  []byte
		err   error
	}
	visitSolved struct {
		token uint64
		proof *pow.Proof
	}
	visitTick struct{}
)

func (h *hosting) proberProps() *actor.Props {
	return kernel.Props(func() actor.Actor {
		return &prober{h: h, rng: h.o.Rand(), circuits: map[uint64]*opening{}, turns: &onions.Turns{}}
	})
}

// Receive is the actor's table of messages.
func (p *prober) Receive(ctx actor.Context) {
	now := p.h.o.Now()
	switch m := ctx.Message().(type) {
	case *visit:
		p.queue = append(p.queue, m)
		slices.SortStableFunc(p.queue, func(a, b *visit) int { return cmp.Compare(rank(b), rank(a)) })
	case *left:
		p.left(ctx, m.owner)
	case *circuits.OnionNetwork:
		p.network, p.view = m, onions.ViewOf(m, p.h.o.Testing)
		for _, v := range p.live {
			v.machine.Update(p.view, now)
		}
	case *circuits.Ready:
		p.ready(ctx, m, now)
	case *circuits.Over:
		p.over(ctx, m, now)
	case *circuit.Heard:
		p.heard(m, now)
	case *visitText:
		p.text(ctx, m, now)
	case *visitSolved:
		if c := p.circuits[m.token]; c != nil {
			c.v.solving = false
			c.v.machine.Solved(c.id, m.proof, now)
		}
	case *visitTick:
		p.late(ctx, now)
	case *actor.Stopping:
		p.timer.Stop()
		for _, v := range p.live {
			v.stop()
		}
		ctx.Send(p.h.o.Circuits, &circuits.Orphaned{Owner: ctx.Self()})
		return
	}
	for _, v := range slices.Clone(p.live) {
		p.perform(ctx, v, now)
	}
	p.begin(ctx, now)
	p.rest(ctx, now)
}

func rank(v *visit) int {
	if v.probe.Why.Urgent() {
		return 1
	}
	return 0
}

// stop ends what goes on beside the circuits.
func (v *visiting) stop() {
	if v.work != nil {
		v.work()
		v.work = nil
	}
}

// begin begins visits whose turn it is.
func (p *prober) begin(ctx actor.Context, now time.Time) {
	for len(p.queue) > 0 {
		m := p.queue[0]
		if rank(m) > 0 && len(p.live) >= mostUrgent || rank(m) == 0 && (len(p.live) >= mostVisits || now.Before(p.next)) {
			return
		}
		p.queue = p.queue[1:]
		if rank(m) == 0 {
			gap := gapAfter(m)
			p.next = now.Add(gap/2 + time.Duration(p.rng.Int64N(int64(gap))))
		}
		v := &visiting{visit: m, began: now, stage: now, fetch: p.usual.limit(), tokens: map[client.ID]uint64{}, answer: visited{times: []StageTime{}}}
		v.answer.result = heal.Result{ID: m.probe.ID, Full: m.probe.Full, Stage: heal.Directory}
		if p.view == nil {
			v.answer.out = chivev1.Outcome_OUTCOME_NO_DIRECTORY
			p.tell(ctx, v, now)
			continue
		}
		v.answer.period = p.view.Network.Fetch().Period.Number
		v.machine = client.New(client.Options{
			Address: m.address, Keys: crand.Reader, Rand: p.rng, AllowPrivate: p.h.o.AllowPrivate, Testing: p.h.o.Testing,
			Times: visitTimes(0, v.fetch), Visit: &m.what,
		})
		v.machine.Authorize(&m.key, now)
		v.machine.Update(p.view, now)
		v.attempt = v.machine.Connect(now)
		p.live = append(p.live, v)
		p.perform(ctx, v, now)
	}
}

// perform does what a visit's client says.
func (p *prober) perform(ctx actor.Context, v *visiting, now time.Time) {
	if v.control != 0 {
		return // it is over
	}
	for actions := v.machine.Take(); len(actions) > 0; actions = v.machine.Take() {
		for _, a := range actions {
			if p.do(ctx, v, a, now) {
				return
			}
		}
	}
}

// do does one thing; true: the visit is over.
func (p *prober) do(ctx actor.Context, v *visiting, a client.Action, now time.Time) bool {
	switch m := a.(type) {
	case *client.Fetch:
		v.answer.result.Tried.Directory = m.Directory
		r := p.network.Directory(m.Directory)
		if r == nil { // of a view that was replaced
			v.machine.NotFetched(m.ID, now)
			return false
		}
		hop := circuits.HopOf(r)
		p.open(ctx, v, m.ID, m, &circuits.Open{Purpose: chivev1.Purpose_PURPOSE_ONION_DIRECTORY, Target: &hop})
	case *client.OpenRendezvous:
		p.open(ctx, v, m.ID, m, &circuits.Open{Purpose: chivev1.Purpose_PURPOSE_RENDEZVOUS, Avoid: m.Avoid})
	case *client.OpenIntroduction:
		v.answer.auth = m.Auth
		p.open(ctx, v, m.ID, m, &circuits.Open{Purpose: chivev1.Purpose_PURPOSE_INTRODUCTION, Target: circuits.HopAt(m.Point)})
	case *client.Solve:
		p.solve(ctx, v, m)
	case *client.Introduce:
		if c := p.circuits[v.tokens[m.ID]]; c != nil && c.ready != nil {
			v.sent = true
			v.stage = now
			ctx.Send(v.owner, &expecting{m.Message}) // before it can come
			ctx.Send(c.ready.PID, &circuit.Introduce{Message: m.Message})
		}
	case *client.Join:
		v.passed(heal.Meeting, now)
		v.answer.result.OK, v.answer.result.Stage, v.answer.out = true, heal.Meeting, chivev1.Outcome_OUTCOME_OK
		m.Keys.Wipe()
		p.tell(ctx, v, now)
		return true
	case *client.Close:
		p.close(ctx, v.tokens[m.ID])
	case *client.Failed:
		v.failed(m)
		p.inVain(ctx, v, now)
		return true
	}
	return false
}

func (p *prober) open(ctx actor.Context, v *visiting, id client.ID, what client.Action, m *circuits.Open) uint64 {
	p.token++
	p.circuits[p.token] = &opening{v: v, id: id, what: what}
	v.tokens[id] = p.token
	m.Owner, m.Token, m.Visit = ctx.Self(), p.token, true
	ctx.Send(p.h.o.Circuits, m)
	return p.token
}

// close ends a circuit; 0 is none.
func (p *prober) close(ctx actor.Context, token uint64) {
	c := p.circuits[token]
	if c == nil {
		return
	}
	if _, ok := c.what.(*client.Fetch); ok {
		c.v.stop()
	}
	delete(p.circuits, token)
	ctx.Send(p.h.o.Circuits, &circuits.Shut{Owner: ctx.Self(), Token: token})
}

func (p *prober) solve(ctx actor.Context, v *visiting, m *client.Solve) {
	work, cancel := context.WithCancel(context.Background())
	v.stop()
	v.work, v.solving = cancel, true
	root, self, token, turns := ctx.ActorSystem().Root, ctx.Self(), v.tokens[m.ID], p.turns
	kernel.Go("proof of work of a visit", func() {
		root.Send(self, &visitSolved{token, onions.Search(work, turns, m.Puzzle)})
	}, func(*kernel.Panic) { root.Send(self, &visitSolved{token: token}) })
}

// ready: a circuit is open.
func (p *prober) ready(ctx actor.Context, m *circuits.Ready, now time.Time) {
	c := p.circuits[m.Token]
	if c == nil {
		return // it was shut meanwhile
	}
	v := c.v
	c.ready = m
	v.answer.result.Reached = true
	if c.id == 0 {
		p.tell(ctx, v, now)
		return
	}
	v.machine.SetTimes(visitTimes(m.Limit, v.fetch))
	switch what := c.what.(type) {
	case *client.Fetch:
		p.ask(ctx, m.Token, c, what)
	case *client.OpenRendezvous:
		ctx.Send(m.PID, &circuit.Establish{Cookie: what.Cookie})
	case *client.OpenIntroduction:
		v.opened = true
		v.passed(heal.Point, now)
		v.machine.Opened(c.id, now)
	}
}

// ask has the directory at the end of a circuit asked.
func (p *prober) ask(ctx actor.Context, token uint64, c *opening, what *client.Fetch) {
	work, cancel := context.WithTimeout(context.Background(), c.v.fetch)
	c.v.work = cancel
	root, self, fetch, at := ctx.ActorSystem().Root, ctx.Self(), p.h.o.Fetch, c.ready.Last.IPv4
	kernel.Go("descriptor of a visit", func() {
		text, err := fetch(work, self, token, what.Blinded, at)
		root.Send(self, &visitText{token, text, err})
	}, func(f *kernel.Panic) { root.Send(self, &visitText{token: token, err: f}) })
}

func (p *prober) text(ctx actor.Context, m *visitText, now time.Time) {
	c := p.circuits[m.token]
	if c == nil {
		return
	}
	v := c.v
	p.close(ctx, m.token)
	if !v.fetched(m.text, m.err, now) {
		v.machine.NotFetched(c.id, now)
		return
	}
	p.usual.add(now.Sub(v.began))
	v.machine.Fetched(c.id, m.text, now)
	if !v.read(now) {
		p.inVain(ctx, v, now)
		return
	}
	if !v.probe.Full {
		v.answer.result.OK, v.answer.out = true, chivev1.Outcome_OUTCOME_OK
		for _, a := range v.machine.Take() {
			if f, ok := a.(*client.Failed); ok { // it does not open
				v.answer.result.OK, v.answer.out = false, 0
				v.failed(f)
			}
		}
		p.tell(ctx, v, now)
	}
}

// over: a circuit is no more, or could not be had.
func (p *prober) over(ctx actor.Context, m *circuits.Over, now time.Time) {
	c := p.circuits[m.Token]
	if c == nil {
		return
	}
	delete(p.circuits, m.Token)
	v := c.v
	if c.id == 0 {
		if v.controls < mostControls {
			p.control(ctx, v)
		} else {
			p.tell(ctx, v, now)
		}
		return
	}
	v.lost, v.short = m.Outcome, !m.ToLast
	if _, ok := c.what.(*client.Fetch); ok {
		v.stop()
		v.machine.NotFetched(c.id, now)
		return
	}
	v.machine.Lost(c.id, m.Outcome == chivev1.Outcome_OUTCOME_TIMEOUT, now)
}

// heard: the last hop of a circuit said something.
func (p *prober) heard(m *circuit.Heard, now time.Time) {
	c := p.circuits[m.Token]
	if c == nil || c.ready == nil || c.id == 0 {
		return
	}
	v := c.v
	switch m.What {
	case torcircuit.RendezvousEstablished:
		v.waited = true
		v.passed(heal.Rendezvous, now)
		v.machine.Established(c.id, circuits.PointOf(&c.ready.Last), now)
	case torcircuit.IntroduceAck:
		if status, err := relaymsg.ParseIntroduceAck(m.Data); err == nil && status == relaymsg.AckSuccess {
			v.acked = true
			v.passed(heal.Introduce, now)
		} else {
			v.answer.out = chivev1.Outcome_OUTCOME_ONION_INTRODUCTION
		}
		v.machine.Acked(c.id, m.Data, now)
	case torcircuit.Rendezvous:
		v.machine.Met(c.id, m.Data, now)
	}
}

// inVain ends a visit that failed. If none of its circuits came to be built, it is found out
// first whether any would.
func (p *prober) inVain(ctx actor.Context, v *visiting, now time.Time) {
	if v.answer.result.Reached {
		p.tell(ctx, v, now)
		return
	}
	p.closeAll(ctx, v)
	p.control(ctx, v)
	v.giveUpAt = now.Add(controlTime)
}

// control has some circuit built, to anywhere.
func (p *prober) control(ctx actor.Context, v *visiting) {
	v.controls++
	v.control = p.open(ctx, v, 0, nil, &circuits.Open{Purpose: chivev1.Purpose_PURPOSE_RENDEZVOUS})
}

// late ends what has taken too long.
func (p *prober) late(ctx actor.Context, now time.Time) {
	for _, v := range slices.Clone(p.live) {
		if v.control == 0 {
			v.machine.Tick(now)
		} else if !now.Before(v.giveUpAt) {
			p.tell(ctx, v, now)
		}
	}
}

func (p *prober) closeAll(ctx actor.Context, v *visiting) {
	v.stop()
	for _, token := range v.tokens {
		p.close(ctx, token)
	}
}

// tell ends a visit.
func (p *prober) tell(ctx actor.Context, v *visiting, now time.Time) {
	p.closeAll(ctx, v)
	p.live = slices.DeleteFunc(p.live, func(o *visiting) bool { return o == v })
	v.answer.took = now.Sub(v.began)
	if r := &v.answer.result; !r.OK && r.Stage == heal.Directory && !r.Answer {
		p.usual.miss()
	}
	ctx.Send(v.owner, &v.answer)
}

// left forgets the visits of a service.
func (p *prober) left(ctx actor.Context, owner *actor.PID) {
	p.queue = slices.DeleteFunc(p.queue, func(v *visit) bool { return v.owner.Equal(owner) })
	for _, v := range slices.Clone(p.live) {
		if v.owner.Equal(owner) {
			p.closeAll(ctx, v)
			p.live = slices.DeleteFunc(p.live, func(o *visiting) bool { return o == v })
		}
	}
}

// rest sets the timer for what is due next.
func (p *prober) rest(ctx actor.Context, now time.Time) {
	p.timer.Stop()
	var next time.Time
	earliest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if len(p.queue) > 0 && len(p.live) < mostVisits {
		earliest(p.next)
	}
	for _, v := range p.live {
		if v.control != 0 {
			earliest(v.giveUpAt)
		} else {
			earliest(v.machine.Next())
		}
	}
	if !next.IsZero() {
		p.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), next.Sub(now), &visitTick{})
	}
}
