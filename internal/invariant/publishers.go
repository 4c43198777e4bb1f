package invariant

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// term is one node's time as the publisher of a service.
type term struct {
	node, id string // the service's, at the node
	epoch    uint64
	from, to time.Time // to: zero as long as it is not known to have ended
	lost     time.Time // when it was told
}

// onWay is how long after an end that was told a service may still be heard of: its actor
// is told by a message.
const onWay = 3 * time.Second // a busy machine has messages wait

// publishers checks the logs of nodes that share one service.
type publishers struct {
	found []Violation
	terms []*term
	now   map[string]*term // by node and service; nil: it does not publish
}

// Publishers checks the merged logs of several nodes, by one clock, that host one shared
// onion service and no other: that its epochs grow, that no two nodes had the right to
// publish it at once, and that none made or stored a descriptor without having it, or after
// another had taken it. The logs may end anywhere: a node that was killed says nothing of
// its end.
func Publishers(logs ...[]*chivev1.Envelope) []Violation {
	all := slices.Concat(logs...)
	slices.SortStableFunc(all, func(a, b *chivev1.Envelope) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	p := &publishers{now: map[string]*term{}}
	for _, e := range all {
		if e.GetKind() == chivev1.Kind_KIND_HOSTING {
			p.see(e)
		}
	}
	p.overlaps()
	return p.found
}

func (p *publishers) say(e *chivev1.Envelope, format string, args ...any) {
	p.found = append(p.found, Violation{e.GetNode() + " " + e.GetId() + " " + messages.Name(e), fmt.Sprintf(format, args...)})
}

func (p *publishers) see(e *chivev1.Envelope) {
	who, at := e.GetNode()+" "+e.GetActorId(), e.GetTime().AsTime()
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingLeaseTaken:
		epoch := body.HostingLeaseTaken.GetEpoch()
		if n := len(p.terms); n > 0 && epoch <= p.terms[n-1].epoch {
			p.say(e, "epoch %d after %d", epoch, p.terms[n-1].epoch)
		}
		if t := p.now[who]; t != nil && t.lost.IsZero() {
			p.say(e, "taken in epoch %d, which has not ended", t.epoch)
		}
		p.now[who] = &term{node: e.GetNode(), id: e.GetActorId(), epoch: epoch, from: at}
		p.terms = append(p.terms, p.now[who])
	case *chivev1.Envelope_HostingLeaseLost:
		t := p.now[who]
		if t == nil || !t.lost.IsZero() || t.epoch != body.HostingLeaseLost.GetEpoch() {
			p.say(e, "lost in epoch %d, which it had not", body.HostingLeaseLost.GetEpoch())
			return
		}
		// A process that was stopped tells of it late.
		t.lost, t.to = at, at.Add(-body.HostingLeaseLost.GetAgo().AsDuration())
	case *chivev1.Envelope_HostingDescribed, *chivev1.Envelope_HostingPublished:
		p.act(e, who, at)
	case *chivev1.Envelope_HostingStored:
		if body.HostingStored.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
			p.act(e, who, at)
		}
	}
}

// act is something that only the publisher does.
func (p *publishers) act(e *chivev1.Envelope, who string, at time.Time) {
	t := p.now[who]
	switch last := len(p.terms) - 1; {
	case t == nil:
		p.say(e, "the node does not hold the lease")
	case !t.lost.IsZero() && at.Sub(t.lost) > onWay:
		p.say(e, "the node has lost epoch %d %v ago", t.epoch, at.Sub(t.lost))
	case p.terms[last].epoch > t.epoch && p.terms[last].node != t.node:
		p.say(e, "in epoch %d, and %s has epoch %d since %v", t.epoch, p.terms[last].node, p.terms[last].epoch, at.Sub(p.terms[last].from))
	}
}

// overlaps compares the terms whose end is known.
func (p *publishers) overlaps() {
	slices.SortFunc(p.terms, func(a, b *term) int { return cmp.Compare(a.epoch, b.epoch) })
	for i, t := range p.terms {
		for _, next := range p.terms[i+1:] {
			if t.node != next.node && t.to.After(next.from) {
				p.found = append(p.found, Violation{t.node + " " + t.id, fmt.Sprintf("epoch %d ended %v after %s took epoch %d", t.epoch, t.to.Sub(next.from), next.node, next.epoch)})
			}
		}
	}
}
