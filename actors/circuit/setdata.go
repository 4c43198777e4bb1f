package circuit

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/conflux"
)

// messages takes what came over a leg, in the leg's order, and hands on what the set's
// order lets go.
func (s *setActor) messages(ctx actor.Context, b *block.Block) {
	defer b.Free()
	if s.closing {
		return
	}
	l, now := s.legs[b.Leg], s.o.Now()
	mayPackage := false
	var failed error
	for rest := b.Bytes; len(rest) > 0 && failed == nil; {
		var m conflux.Message
		m.Command, m.Stream, m.Data, rest = nextMessage(rest)
		verdict, err := s.flux.Receive(l.number, m, now)
		if failed = err; failed != nil {
			break
		}
		switch verdict {
		case conflux.OwnMessage: // a leg keeps its own to itself
			failed = conflux.ErrUnexpected
		case conflux.Deliver:
			mayPackage, failed = s.deliver(ctx, m, mayPackage)
		case conflux.Linked:
			s.linked(ctx, l)
		case conflux.TooSlow:
			s.tooSlow(ctx, l)
		}
	}
	for i, p := range s.posts {
		ctx.Send(p.pid, p.msg)
		s.posts[i] = post{}
	}
	s.posts, s.slots = s.posts[:0], s.slots[:0]
	s.held.set(s.flux, s.moved)
	s.moved = false
	if mayPackage && failed == nil {
		s.unblock(ctx)
	}
	s.flush()
	if failed != nil {
		s.endSet(ctx, ofConflux(failed), failed)
	}
}

// deliver takes a message whose turn it is, and those that waited for it.
func (s *setActor) deliver(ctx actor.Context, m conflux.Message, mayPackage bool) (bool, error) {
	for ok := true; ok; {
		ev, err := s.core.Deliver(m.Command, m.Stream, m.Data)
		if err != nil {
			return mayPackage, err
		}
		switch ev.Kind {
		case circuit.Data:
			s.gatherCopy(ev)
		case circuit.MayPackage:
			mayPackage = true
		default:
			s.event(ctx, ev)
		}
		if m, ok, err = s.flux.Next(); err != nil {
			return mayPackage, err
		}
		s.moved = s.moved || ok
	}
	return mayPackage, nil
}

// gatherCopy adds a payload to its stream's block, or to another one when that is full.
// It is copied: what waited is in no block.
func (s *setActor) gatherCopy(ev circuit.Event) {
	l := s.lanes[ev.Stream]
	if l == nil || l.pid == nil {
		return // finishing: its END is about to go out
	}
	var to *slot
	for i := range s.slots {
		if s.slots[i].id == ev.Stream {
			to = &s.slots[i]
		}
	}
	if to == nil {
		s.slots = append(s.slots, slot{id: ev.Stream})
		to = &s.slots[len(s.slots)-1]
	}
	if to.b == nil || len(to.b.Bytes)+len(ev.Data) > len(to.b.Buf) {
		to.b = block.GetLarge(block.DataIn)
		to.b.Here, to.b.Bytes = true, to.b.Buf[:0]
		s.posts = append(s.posts, post{l.pid, to.b})
	}
	to.b.Bytes = append(to.b.Bytes, ev.Data...)
	to.b.Cells++
}

// tooSlow: the exit took a leg when it was no use any more.
func (s *setActor) tooSlow(ctx actor.Context, l *setLeg) {
	s.giveUp(ctx, l, chivev1.Outcome_OUTCOME_TIMEOUT)
}

// observe follows a leg's window: what the set has sent it since is not in the status.
func (s *setActor) observe(ctx actor.Context, m *LegStatus) {
	l := s.legs[m.Number]
	if l.lost || s.closing {
		return
	}
	s.flux.Observe(l.number, m.Room-(l.sent-m.Sent), m.RTT)
	s.unblock(ctx)
	s.flush()
}

// Room implements circuit.Carrier.
func (s *setActor) Room() int { return s.flux.Room() }

// MaxData implements circuit.Carrier. The exit is one, and chooses by leg how cells lie:
// what each of them holds.
func (s *setActor) MaxData(command cell.RelayCommand) int {
	most := cell.RelayV0.MaxData(command)
	for _, l := range s.legs {
		if l.opened && !l.lost {
			most = min(most, l.format.MaxData(command))
		}
	}
	return most
}

// OnTheirWay implements circuit.Carrier. The far end's windows are not known here: twice
// where slow start ends is beyond what any is, on each leg, and then there is what waits.
func (s *setActor) OnTheirWay() int {
	return s.flux.MostWaiting() + 2*s.conflux.Params.Legs*s.o.Flow.Congestion.SlowStartMax
}

// Send implements circuit.Carrier: a message goes to the leg that the set's state machine
// names. That there is none ends the set, after this turn.
func (s *setActor) Send(command cell.RelayCommand, id cell.StreamID, data []byte) {
	r, err := s.flux.Route(command)
	if err != nil {
		if s.failed == nil {
			s.failed = err
		}
		return
	}
	l := s.legs[r.Leg]
	if r.Switch {
		var room [4]byte
		s.put(l, cell.RelayConfluxSwitch, 0, conflux.AppendSwitch(room[:0], r.Skipped))
	}
	s.put(l, command, id, data)
	l.ofSet = true
	if command == cell.RelayData {
		l.sent++
		s.last = l
	}
}

// put adds a message to what a leg is to send after this turn.
func (s *setActor) put(l *setLeg, command cell.RelayCommand, id cell.StreamID, data []byte) {
	if l.out != nil && len(l.out.Bytes)+messageHead+len(data) > len(l.out.Buf) {
		s.flushLeg(l)
	}
	if l.out == nil {
		l.out = block.Get(block.MessagesOut)
		l.out.Here, l.out.Bytes = true, l.out.Buf[:0]
	}
	l.out.Bytes = l.out.Buf[:putMessage(l.out.Buf, len(l.out.Bytes), command, id, data)]
}

func (s *setActor) flushLeg(l *setLeg) {
	b := l.out
	l.out = nil
	if l.ofSet {
		l.ofSet, l.used = false, s.o.Now()
	}
	s.root.Send(l.pid, b)
}

// flushLegs gives the legs what this turn has for them.
func (s *setActor) flushLegs() {
	for _, l := range s.legs {
		if l.out != nil {
			s.flushLeg(l)
		}
	}
}

// pumpBlock sends up to a block of messages; the stream's credit travels with the last of
// its data.
func (s *setActor) pumpBlock(id cell.StreamID, b *block.Block) int {
	s.flushLegs()
	s.last = nil
	_, n := s.core.Send(nil, id, b.Bytes, block.CellsPerBlock)
	if b.Bytes = b.Bytes[n:]; len(b.Bytes) == 0 && s.last != nil && s.last.out != nil {
		s.last.out.Credit, b.Credit = b.Credit, nil
	}
	s.flushLegs()
	return n
}

// heldMessages tells the memory account what waits for its turn. It implements
// block.Holder.
type heldMessages struct {
	shed         func()
	memory       int          // that is counted
	bytes, since atomic.Int64 // of messages that wait; when one of them last had its turn
}

// set notes what a set holds now. moved: something of what waited had its turn, and what
// still waits is counted anew.
func (h *heldMessages) set(of *conflux.Set, moved bool) {
	bytes := int64(of.Held())
	if bytes > 0 && (moved || h.bytes.Load() == 0) {
		h.since.Store(block.Moment())
	}
	h.bytes.Store(bytes)
	h.keep(of.Memory())
}

// forget is for a set that is over.
func (h *heldMessages) forget() {
	h.bytes.Store(0)
	h.keep(0)
}

func (h *heldMessages) keep(memory int) {
	block.Keep(memory - h.memory)
	h.memory = memory
}

// Held implements block.Holder.
func (h *heldMessages) Held() (bytes, since int64) { return h.bytes.Load(), h.since.Load() }

// Shed implements block.Holder.
func (h *heldMessages) Shed() { h.shed() }
