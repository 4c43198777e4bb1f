package client

import (
	"fmt"
	"io"
	"time"

	"chive/tor/handshake"
	"chive/tor/netdoc"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// Bounds of one attempt.
const (
	mostRendezvous    = 3
	mostIntroductions = 8
	mostRefetches     = 1
)

// queueTime is how long a service under attack may keep an introduction waiting that paid
// for its place (C tor's MAX_REND_TIMEOUT).
const queueTime = 30 * time.Second

// attempt is one wish for a rendezvous.
type attempt struct {
	id    ID
	waits bool // for a descriptor
	rend  *rendezvous
	intro *introduction
	last  Cause // of the last thing that failed

	rendezvous, introductions, refetched int // begun
}

type phase uint8

const (
	opening phase = iota
	ready         // established, or open
	sent          // INTRODUCE1 is out
	acked         // and the service has got it, says the introduction point
)

// rendezvous is the circuit on which the service is waited for.
type rendezvous struct {
	id     ID
	phase  phase
	until  time.Time
	cookie relaymsg.Cookie
	point  Point
	// hands is of the introduction that names this cookie; nil: none does yet.
	hands *handshake.HSNtor
	wait  time.Duration // for the service, once it has heard
	inc   int           // SENDME increment that was agreed on; 0: none
	auth  [32]byte      // of the introduction point
}

// introduction is the circuit by which the service hears of the rendezvous.
type introduction struct {
	id      ID
	phase   phase
	until   time.Time // zero: only the attempt's end bounds it
	desc    *cached
	point   descriptor.IntroPoint
	relay   [20]byte // its RSA identity
	solving bool
	proof   *pow.Proof
}

// step does what can be done for an attempt.
func (s *Service) step(a *attempt, now time.Time) {
	if a.rend != nil && a.rend.phase >= sent {
		return // the service knows: nothing to do but wait
	}
	a.waits = false
	if a.intro == nil && (s.desc == nil || !s.desc.usable(now)) {
		s.without(a, now)
		return
	}
	if a.intro == nil && !s.introduce(a, now) {
		return
	}
	if a.rend == nil && !s.meet(a, now) {
		return
	}
	if a.rend.phase == ready && a.intro.phase == ready && !a.intro.solving {
		s.send(a, now)
	}
}

// without: there is no descriptor to begin with.
func (s *Service) without(a *attempt, now time.Time) {
	if s.desc != nil && s.desc.cause != 0 {
		s.fail(a, s.desc.cause)
		return
	}
	a.waits = true
	s.seek(now)
}

// introduce opens a circuit to an introduction point; false: there is none just now.
func (s *Service) introduce(a *attempt, now time.Time) bool {
	if a.introductions >= s.most(mostIntroductions, 1) {
		s.fail(a, a.last)
		return false
	}
	ip, point := s.choose(s.desc.open)
	if ip == nil {
		a.last = s.noIntro(s.desc.open)
		s.renewed(a, now)
		return false
	}
	a.introductions++
	a.intro = &introduction{id: s.newID(), until: now.Add(s.o.Times.Open), desc: s.desc, point: *ip, relay: point.RSA}
	s.circuits[a.intro.id] = a
	s.do(&OpenIntroduction{Attempt: a.id, ID: a.intro.id, Point: point, Auth: ip.AuthKey})
	s.work(a)
	return true
}

// most is how often something is tried: so often, or as often for a visit.
func (s *Service) most(often, visit int) int {
	if s.o.Visit != nil {
		return visit
	}
	return often
}

// renewed looks for a newer descriptor, if the attempt may: its introduction points may be
// others.
func (s *Service) renewed(a *attempt, now time.Time) {
	if a.refetched >= s.most(mostRefetches, 0) {
		s.fail(a, a.last)
		return
	}
	a.refetched++
	a.waits = true
	s.desc = nil
	s.seek(now)
}

// work has a proof of work made, if the service asks for one.
func (s *Service) work(a *attempt) {
	i := a.intro
	if i.desc.open.PoW == nil {
		return
	}
	effort := pow.Effort(i.desc.open.PoW.Suggested, s.failures[i.point.AuthKey].useless)
	if effort == 0 {
		return
	}
	i.solving = true
	s.do(&Solve{ID: i.id, Puzzle: pow.Puzzle{
		BlindedID: i.desc.sealed.Blinded, Seed: i.desc.open.PoW.Seed, Effort: effort,
	}})
}

// meet opens a circuit to a rendezvous point; false: the attempt has ended.
func (s *Service) meet(a *attempt, now time.Time) bool {
	if a.rendezvous >= mostRendezvous {
		s.fail(a, RendezvousFailed)
		return false
	}
	a.rendezvous++
	r := &rendezvous{id: s.newID(), until: now.Add(s.o.Times.Open)}
	if _, err := io.ReadFull(s.o.Keys, r.cookie[:]); err != nil {
		s.fail(a, Internal)
		return false
	}
	a.rend = r
	s.circuits[r.id] = a
	s.do(&OpenRendezvous{Attempt: a.id, ID: r.id, Cookie: r.cookie, Avoid: a.intro.relay})
	return true
}

// Established: the rendezvous point waits for the service.
func (s *Service) Established(id ID, at Point, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	if a == nil || a.rend == nil || a.rend.id != id || a.rend.phase != opening {
		return
	}
	a.rend.phase, a.rend.point = ready, at
	a.rend.until = now.Add(s.o.Times.idle())
	s.step(a, now)
}

// idle is how long a circuit that is ready may wait for the other one.
func (t *Times) idle() time.Duration { return 10 * t.Open }

// Opened: the circuit to the introduction point is there.
func (s *Service) Opened(id ID, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	if a == nil || a.intro == nil || a.intro.id != id || a.intro.phase != opening {
		return
	}
	a.intro.phase, a.intro.until = ready, now.Add(s.o.Times.idle())
	s.step(a, now)
}

// Solved is the end of a search; nil: there is no proof, and the introduction is tried
// through another point.
func (s *Service) Solved(id ID, proof *pow.Proof, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	if a == nil || a.intro == nil || a.intro.id != id || !a.intro.solving {
		return
	}
	a.intro.solving, a.intro.proof = false, proof
	if proof == nil {
		s.do(&Close{id})
		s.introLost(a, false, now)
	}
	s.resume(a, now)
}

// resume goes on with an attempt that may have ended.
func (s *Service) resume(a *attempt, now time.Time) {
	if s.attempts[a.id] != nil {
		s.step(a, now)
	}
}

// send introduces the client.
func (s *Service) send(a *attempt, now time.Time) {
	i, r := a.intro, a.rend
	if i.relay == r.point.RSA { // this introduction point came after that choice
		a.rendezvous-- // it is not the rendezvous that failed; introductions have a bound of their own
		s.spend(a)
		s.resume(a, now)
		return
	}
	message, err := s.message(i, r)
	if err != nil { // its key is one that no honest service has
		s.do(&Close{i.id})
		s.note(i.point.AuthKey, now, func(f *failure) { f.refused = true })
		s.intro(a)
		a.last = IntroFailed
		s.step(a, now)
		return
	}
	i.phase, i.until = sent, now.Add(s.o.Times.Ack)
	r.phase, r.wait = sent, s.o.Times.Rendezvous
	if i.proof != nil {
		r.wait += queueTime
	}
	r.until = i.until.Add(r.wait)
	s.do(&Introduce{ID: i.id, Message: message})
}

func (s *Service) message(i *introduction, r *rendezvous) ([]byte, error) {
	hands, err := handshake.StartHSNtor(s.o.Keys, handshake.HSIntroduction{
		AuthKey: i.point.AuthKey, EncKey: i.point.EncKey, Subcredential: [32]byte(s.o.Address.Subcredential(i.desc.sealed.Blinded)),
	})
	if err != nil {
		return nil, err
	}
	req := &relaymsg.Request{Cookie: r.cookie, OnionKey: r.point.OnionKey, Specs: r.point.Specs()}
	inc := s.congestion(i.desc.open)
	if inc > 0 {
		req.Extensions = append(req.Extensions, relaymsg.Extension{Type: relaymsg.ExtCongestionControl})
	}
	if i.proof != nil {
		req.Extensions = append(req.Extensions, relaymsg.Extension{Type: relaymsg.ExtProofOfWork, Body: i.proof.Append(nil)})
	}
	out, err := relaymsg.Introduce1(hands, i.point.AuthKey, req)
	if err != nil {
		return nil, fmt.Errorf("introduction: %w", err)
	}
	r.hands, r.inc, r.auth = hands, inc, i.point.AuthKey
	return out, nil
}

// congestionControl is the capability that a service offers congestion control by.
const congestionControl = 2

// congestion is the SENDME increment of congestion control with the service; 0: there is
// none. As with relays it must be near the consensus's.
func (s *Service) congestion(d *descriptor.Descriptor) int {
	if s.view == nil || s.view.SendmeIncrement == 0 || d.FlowControl == nil || !d.FlowControl.Versions.Supports(netdoc.ProtoFlowCtrl, congestionControl) {
		return 0
	}
	inc, ours := int(d.FlowControl.SendmeInc), s.view.SendmeIncrement
	if inc == 0 || inc*2 < ours || inc > ours*2 {
		return 0
	}
	return inc
}

// Acked is the introduction point's answer; it may be anything.
func (s *Service) Acked(id ID, data []byte, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	if a == nil || a.intro == nil || a.intro.id != id || a.intro.phase != sent {
		return
	}
	status, err := relaymsg.ParseIntroduceAck(data)
	auth := a.intro.point.AuthKey
	s.do(&Close{id})
	s.intro(a)
	if err == nil && status == relaymsg.AckSuccess {
		if a.rend != nil {
			a.rend.phase, a.rend.until = acked, now.Add(a.rend.wait)
		}
		return
	}
	s.note(auth, now, func(f *failure) { f.refused = true })
	a.last = IntroFailed
	if err != nil { // who knows what it did with it
		s.spend(a)
	} else if r := a.rend; r != nil { // a clear no: nobody but us knows the cookie
		r.phase, r.hands, r.until = ready, nil, now.Add(s.o.Times.idle())
	}
	s.resume(a, now)
}

// Met is what the rendezvous point passed on of the service; it may be anything. It may
// come before the introduction point's answer.
func (s *Service) Met(id ID, data []byte, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	if a == nil || a.rend == nil || a.rend.id != id {
		return
	}
	r := a.rend
	if r.hands == nil { // nobody was told of this cookie
		s.do(&Close{id})
		s.rendLost(a, now)
		s.resume(a, now)
		return
	}
	reply, err := relaymsg.ParseRendezvous2(data)
	var keys handshake.HSKeyMaterial
	if err == nil {
		keys, err = r.hands.Finish(reply)
	}
	if err != nil { // not the service that was asked
		s.do(&Close{id})
		s.rendLost(a, now)
		s.resume(a, now)
		return
	}
	delete(s.circuits, id)
	a.rend = nil
	j := &Join{Attempt: a.id, ID: id, Keys: keys, SendmeIncrement: r.inc}
	if i := a.intro; i != nil && i.phase == sent && i.point.AuthKey == r.auth {
		j.Introduced = i.id
	}
	s.do(j)
	delete(s.failures, r.auth)
	clear(s.asked) // the directories may be asked again when this descriptor is of no use
	s.drop(a)
}

// Lost: a circuit ended, or could not be built. timedOut says that it was too slow.
func (s *Service) Lost(id ID, timedOut bool, now time.Time) {
	now = s.at(now)
	a := s.circuits[id]
	switch {
	case a == nil:
		return
	case a.intro != nil && a.intro.id == id:
		s.introLost(a, timedOut, now)
	case a.rend != nil && a.rend.id == id:
		s.rendLost(a, now)
	}
	s.resume(a, now)
}

// introLost: the introduction point was of no use.
func (s *Service) introLost(a *attempt, timedOut bool, now time.Time) {
	i := a.intro
	s.note(i.point.AuthKey, now, func(f *failure) {
		f.useless++
		f.timedOut = f.timedOut || timedOut && !i.solving
	})
	a.last = IntroFailed
	if timedOut {
		a.last = IntroTimedOut
	}
	s.intro(a)
	if i.phase == sent { // it may have been passed on
		s.spend(a)
	}
}

// rendLost: the rendezvous is not to be. If the service was told of it that way of
// introduction was of no use either.
func (s *Service) rendLost(a *attempt, now time.Time) {
	r := a.rend
	a.last = RendezvousFailed
	delete(s.circuits, r.id)
	a.rend = nil
	if r.phase >= sent {
		s.note(r.auth, now, func(f *failure) { f.useless++ })
		if a.intro != nil {
			s.do(&Close{a.intro.id})
			s.intro(a)
		}
	}
	if a.rendezvous >= mostRendezvous {
		s.fail(a, RendezvousFailed)
	}
}

// intro lets go of the introduction.
func (s *Service) intro(a *attempt) {
	delete(s.circuits, a.intro.id)
	a.intro = nil
}

// spend closes a rendezvous that the service may know of.
func (s *Service) spend(a *attempt) {
	if a.rend == nil {
		return
	}
	s.do(&Close{a.rend.id})
	delete(s.circuits, a.rend.id)
	a.rend = nil
}

// drop ends an attempt with what it has.
func (s *Service) drop(a *attempt) {
	if a.intro != nil {
		s.do(&Close{a.intro.id})
		s.intro(a)
	}
	s.spend(a)
	delete(s.attempts, a.id)
	if len(s.attempts) == 0 && s.fetch != nil { // nobody waits for it any more
		s.do(&Close{s.fetch.id})
		s.fetch = nil
	}
}
