package circuits

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	padding "chive/tor/padding/circuit"
	"chive/tor/path"
)

// Circuits to reach onion services by are asked for by the actors of package onions: each
// has an owner and carries what the owner puts on it. Those of rendezvous become circuits
// for streams when the owner has met the service (meeting.go).

type (
	// Open asks for a circuit to reach an onion service by: to Target, or to a rendezvous
	// point that is chosen here. Ready answers, and Over when it is no more.
	Open struct {
		Owner   *actor.PID
		Token   uint64 // the owner's name for it
		Purpose chivev1.Purpose
		Target  *torcircuit.Hop // nil: a rendezvous point
		Avoid   netdoc.Digest   // which that is not to be; zero: none
		Visit   bool            // the owner hosts the service that is reached
	}
	// Shut ends a circuit, or the wish for it; there is no answer.
	Shut struct {
		Owner *actor.PID
		Token uint64
	}
	// Leave ends a circuit on which a client of a service was met, when the last of his
	// streams has ended; the owner hears no more of it.
	Leave struct {
		Owner *actor.PID
		Token uint64
	}
	// Carry puts a directory stream on a circuit. If it cannot carry it the stream is
	// refused.
	Carry struct {
		Owner *actor.PID
		Token uint64
		Spec  *stream.Spec
	}
	// Orphaned: an owner is no more. Its circuits are closed, but for those that
	// streams go on, and that it has left.
	Orphaned struct{ Owner *actor.PID }

	// Ready tells the owner that its circuit is open.
	Ready struct {
		Token uint64
		ID    string
		PID   *actor.PID
		Last  torcircuit.Hop
		Limit time.Duration // how long a circuit of three hops may take just now
	}
	// Over tells the owner that its circuit, or the wish for one, is no more.
	Over struct {
		Token   uint64
		Outcome chivev1.Outcome
		ToLast  bool // it was open, or only its last hop was missing; else its end says nothing of that
	}
)

// shapes are the shapes of what is launched here.
var shapes = map[chivev1.Purpose]path.Purpose{
	chivev1.Purpose_PURPOSE_GENERAL:         path.ForExit,
	chivev1.Purpose_PURPOSE_DIRECTORY:       path.ForDirectory,
	chivev1.Purpose_PURPOSE_ONION_DIRECTORY: path.ForOnionDirectory,
	chivev1.Purpose_PURPOSE_INTRODUCTION:    path.ForIntroduction,
	chivev1.Purpose_PURPOSE_RENDEZVOUS:      path.ForRendezvous,

	chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION: path.ForServiceIntroduction,
	chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS:   path.ForServiceRendezvous,
	chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY:    path.ForServiceDirectory,

	stem: path.ForStem,
}

// hosts says of a purpose whether its circuits are for an onion service of this node, and
// not to reach one.
func hosts(p chivev1.Purpose) bool {
	return p == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION || p == chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS ||
		p == chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY
}

// maxOpens bounds the circuits that owners wait for.
const maxOpens = 4096

// owned says that a circuit is of an owner, and carries no streams that are chosen here.
func (r *record) owned() bool { return r.wish != nil && r.meets == nil }

func (c *circuits) openFor(ctx actor.Context, m *Open) {
	if c.closing != nil || !c.mayWait(m.Purpose) {
		ctx.Send(m.Owner, &Over{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_OVERLOADED})
		return
	}
	c.stems.demanded(m.Purpose, c.o.Now())
	c.opens = append(c.opens, m)
	c.serve(ctx)
}

// launchOpens launches what owners wait for, as far as it may be launched now.
func (c *circuits) launchOpens(ctx actor.Context) {
	n := c.underway()
	for c.holdOff == nil && c.building < c.mostBuilding() {
		i := c.nextOpen(n)
		if i < 0 {
			return
		}
		m := c.opens[i]
		n.add(m.Purpose)
		if c.takeStem(ctx, m) {
			c.opens = slices.Delete(c.opens, i, i+1)
			c.begun(ctx, m)
			continue
		}
		hops, err := c.onionPath(ctx, m)
		if err == errNotYet || err == nil && !c.roomAt(hops[0].RSA) || err == nil && !c.mayLaunch(ctx) {
			return
		}
		c.opens = slices.Delete(c.opens, i, i+1)
		c.tookTurn(ctx, m, err == nil)
		if err != nil {
			ctx.Logger().Debug("no path", "err", err)
			ctx.Send(m.Owner, &Over{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_NO_PATH})
			continue
		}
		c.launchOwned(ctx, m, hops)
	}
}

// atLast: what is missing of the circuit is a hop that others named. It takes no place of those
// that are being built from then on: else who names relays that never answer could have
// nothing else be built.
func (c *circuits) atLast(ctx actor.Context, m *circuit.AtLast) {
	r := c.records[m.ID]
	if r == nil || r.purpose == stem || r.wish == nil || r.wish.Target == nil {
		return
	}
	c.ended(r)
	r.far = true
	c.serve(ctx)
}

// onionPath is the whole path of a circuit that an owner asked for.
func (c *circuits) onionPath(ctx actor.Context, m *Open) ([]torcircuit.Hop, error) {
	if !c.dir.Enough {
		return nil, errNotYet
	}
	now := c.o.Now()
	guards := c.o.Guards.Candidates(now)
	if len(guards) == 0 {
		return nil, errNotYet
	}
	req := path.OnionRequest{Purpose: shapes[m.Purpose], Guards: guards, Layers: c.layers(ctx)}
	if m.Target != nil {
		req.Last = m.Target.RSA
	}
	if !m.Avoid.IsZero() {
		req.Avoid = []netdoc.Digest{m.Avoid}
	}
	relays, err := c.dir.Index.OnionPath(c.o.Rand, req)
	if notYet(err) {
		return nil, errNotYet
	}
	if err != nil {
		return nil, err
	}
	out := hops(relays)
	if m.Target != nil {
		out = append(out, *m.Target)
	}
	ids := make([]netdoc.Digest, len(out))
	for i := range out {
		ids[i] = out[i].RSA
	}
	return out, req.Purpose.Check(ids, guards, req.Layers)
}

func (c *circuits) launchOwned(ctx actor.Context, m *Open, hops []torcircuit.Hop) {
	r := c.launchFrom(ctx, m.Purpose, hops, m)
	r.wish, r.last = m, hops[len(hops)-1]
}

// launchFrom launches a circuit to or for an onion service. It is m's Owner's, if there is
// one yet.
func (c *circuits) launchFrom(ctx actor.Context, purpose chivev1.Purpose, hops []torcircuit.Hop, m *Open) *record {
	return c.launchWith(ctx, purpose, hops, nil, &circuit.Onion{
		Owner: m.Owner, Token: m.Token, Flow: c.network.onion,
		Pads: c.pads(hops), Policy: c.paddingPolicy(), Life: c.o.Settings.Dirtiness,
	})
}

// pads: does the second hop offer padding?
func (c *circuits) pads(hops []torcircuit.Hop) bool {
	relay, ok := c.dir.Index.ByIdentity(hops[padding.Hop-1].RSA)
	return ok && relay.Protocols.Supports(netdoc.ProtoPadding, circuitPadding)
}

// circuitPadding is the version of the protocol Padding that circuits are padded by.
const circuitPadding = 2

func (c *circuits) paddingPolicy() padding.Policy {
	return padding.Policy{Off: !c.o.Settings.Padding, Reduced: c.o.Settings.ReducedPadding, Params: c.network.padding}
}

// repad has circuits follow the policy.
func (c *circuits) repad(ctx actor.Context) {
	p := c.paddingPolicy()
	if p == c.policy {
		return
	}
	c.policy = p
	for _, r := range c.records {
		if r.wish != nil || r.purpose == stem {
			ctx.Send(r.pid, &circuit.PadBy{Policy: p})
		}
	}
}

// ready tells the owner that its circuit may be used.
func (c *circuits) ready(ctx actor.Context, r *record) {
	ctx.Send(r.wish.Owner, &Ready{
		Token: r.wish.Token, ID: r.id, PID: r.pid, Last: r.last, Limit: c.times.Timeout(),
	})
}

func (m *Open) is(owner *actor.PID, token uint64) bool {
	return m.Token == token && m.Owner.Equal(owner)
}

// ownedBy finds a circuit by its owner's name for it.
func (c *circuits) ownedBy(owner *actor.PID, token uint64) *record {
	for _, r := range c.records {
		if r.wish != nil && !r.abandoned && r.wish.is(owner, token) {
			return r
		}
	}
	return nil
}

func (c *circuits) shut(ctx actor.Context, m *Shut) {
	c.opens = slices.DeleteFunc(c.opens, func(o *Open) bool { return o.is(m.Owner, m.Token) })
	if r := c.ownedBy(m.Owner, m.Token); r != nil && r.owned() {
		c.disown(ctx, r)
	}
}

// leave lets go of a circuit.
func (c *circuits) leave(ctx actor.Context, m *Leave) {
	if r := c.ownedBy(m.Owner, m.Token); r != nil && r.owned() && !r.closing {
		r.abandoned = true
		r.send(ctx, &circuit.Leave{})
	}
}

// disown closes a circuit whose owner wants it no more.
func (c *circuits) disown(ctx actor.Context, r *record) {
	if !r.closing {
		r.abandoned = true
		c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_IDLE)
	}
}

func (c *circuits) orphaned(ctx actor.Context, owner *actor.PID) {
	c.opens = slices.DeleteFunc(c.opens, func(o *Open) bool { return o.Owner.Equal(owner) })
	for _, r := range c.records {
		if r.owned() && !r.abandoned && r.wish.Owner.Equal(owner) {
			c.disown(ctx, r)
		}
	}
}

func (c *circuits) carry(ctx actor.Context, m *Carry) {
	r := c.ownedBy(m.Owner, m.Token)
	if r == nil || !r.open || r.closing {
		c.refuse(m.Spec, chivev1.Outcome_OUTCOME_DESTROYED)
		return
	}
	r.streams++
	c.attachTo(ctx, r, m.Spec)
}

// over tells the owner that its circuit is no more.
func (c *circuits) over(ctx actor.Context, r *record, m *circuit.Gone) {
	if r.owned() && !r.abandoned && !c.stemLost(r) {
		ctx.Send(r.wish.Owner, &Over{Token: r.wish.Token, Outcome: m.Outcome, ToLast: r.open || m.Hops >= r.hops-1})
	}
}

// layers are those for a path that is chosen now. When others are to be used than before,
// what was built takes no new use.
func (c *circuits) layers(ctx actor.Context) path.Layers {
	l := c.o.Vanguards.Layers(c.o.Now())
	if m := l.Mode(); m != c.mode || l.Naming != c.naming {
		c.mode, c.naming = m, l.Naming
		c.relayer(ctx)
	}
	return l
}

// relayer has circuits of the former layers go: one that is being built is built anew, for
// the same owner; introduction points' owners ask for others; what streams are on stays until
// they end, and takes no others. A client who met a service of ours keeps his circuit.
func (c *circuits) relayer(ctx actor.Context) {
	for _, r := range c.records {
		switch {
		case r.purpose == stem && r.wish == nil && !r.closing:
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
		case r.wish == nil || r.closing:
		case r.owned() && !r.open:
			c.anew(ctx, r)
		case r.owned() && r.purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION:
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
		default:
			r.tired = true
			c.retire(ctx, r)
		}
	}
}

// Vanguards are the layers behind the guards; package node joins it with tor/vanguard and
// the events. Its methods are called in this actor's turn.
type Vanguards interface {
	// Update takes a new view of the network.
	Update(x *path.Index, params netdoc.Params, now time.Time)
	// Layers are those for a path that is chosen now.
	Layers(now time.Time) path.Layers
}

// noVanguards is for those who use none.
type noVanguards struct{}

func (noVanguards) Update(*path.Index, netdoc.Params, time.Time) {}
func (noVanguards) Layers(time.Time) path.Layers                 { return path.Layers{} }

// longer is how long a circuit of more than three hops may take, if one of three may take
// limit: each hop is reached over those before it, so that four take 10 steps for 6, and
// five 15; and the time of one more round trip (C tor's fourhop_cutoff).
func longer(limit time.Duration, hops int) time.Duration {
	return limit*time.Duration(hops*(hops+1)/2)/6 + time.Second
}

// onion handles what owners and the arrangers of meetings say.
func (c *circuits) onion(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Open:
		c.openFor(ctx, m)
	case *Shut:
		c.shut(ctx, m)
	case *Leave:
		c.leave(ctx, m)
	case *Carry:
		c.carry(ctx, m)
	case *Orphaned:
		c.orphaned(ctx, m.Owner)
	case *Met:
		c.metWith(ctx, m)
	case *NotMet:
		c.notMet(ctx, m)
	case *OnionsGone:
		c.onionsGone(ctx)
	}
}
