package circuit

import (
	"bytes"
	"testing"
	"time"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/conflux"
)

// finishingSet is a set with a stream whose application has gone, and which still has something
// to send that nothing lets go.
func finishingSet(t *testing.T) *setRig {
	t.Helper()
	r := linked(t)
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	r.room(0)
	if _, err := app.Write([]byte("farewell")); err != nil {
		t.Fatal(err)
	}
	r.until("a block waits", func() bool { return block.Outstanding() == r.before+1 })
	_ = app.SetLinger(0)
	_ = app.Close()
	hears[*StreamDone](r)
	if n := block.Outstanding() - r.before; n != 1 || len(r.sent) != 0 {
		t.Fatalf("%d blocks wait, %d messages went", n, len(r.sent))
	}
	return r
}

// room is how much may go over each leg.
func (r *setRig) room(cells int) {
	for n := range 2 {
		r.tell(&LegStatus{Number: n, Room: cells, RTT: time.Millisecond})
	}
	r.settled()
}

// What a stream still has to send when its actor is done is let go of when memory is short, and
// its far end told: an exit that takes nothing cannot have it kept for as long as the circuit.
func TestWhatIsStillToBeSentIsShed(t *testing.T) {
	r := finishingSet(t)
	block.LimitMemory(1)
	defer block.LimitMemory(0)
	if s := r.goes(); s.command != cell.RelayEnd {
		t.Errorf("%v goes, want END", s.command)
	}
	r.until("nothing waits", func() bool { return block.Outstanding() == r.before })
}

// What went is not counted any more.
func TestWhatWasStillToBeSentGoes(t *testing.T) {
	r := finishingSet(t)
	r.room(100)
	s := r.goes()
	if s.command == cell.RelayConfluxSwitch {
		s = r.goes()
	}
	if s.command != cell.RelayData || string(s.data) != "farewell" {
		t.Errorf("%+v", s)
	}
	if s := r.goes(); s.command != cell.RelayEnd {
		t.Errorf("%v goes, want END", s.command)
	}
	if shed, all := presses(t, block.Moment()); !shed || all != 1 {
		t.Errorf("%d were shed, who keeps memory among them: %v", all, shed)
	}
}

// The actor of the set panics: nothing of it is kept, and nobody is asked to let go of it.
func TestPanicWithMoreToBeSent(t *testing.T) {
	r := finishingSet(t)
	r.tell(&LegStatus{Number: 99})
	hears[*kernel.ChildFailed](r)
	<-r.ended
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "set", &chivev1.CircuitClosed{Outcome: chivev1.Outcome_OUTCOME_INTERNAL}))
	if shed, all := presses(t, block.Moment()); !shed || all != 1 {
		t.Errorf("%d were shed, who keeps memory among them: %v", all, shed)
	}
}

// What went ahead of the answer to a stream that is handed back goes again on another circuit:
// on this one nothing keeps the rest of it.
func TestWhatWaitsOfAStreamThatIsHandedBack(t *testing.T) {
	r := linked(t)
	r.first()
	app, other := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: other})
	r.reads(app, "connected\n") // the set is kept for it
	r.room(3)
	_, spec := r.requested()
	spec.Optimistic, spec.Early = true, bytes.Repeat([]byte("question "), 1000)
	r.tell(&Attach{Spec: spec})
	s := r.goes()
	for s.command != cell.RelayBegin { // SWITCH, if the other leg is as quick now
		s = r.goes()
	}
	id := s.stream
	r.until("the rest waits", func() bool { return block.Outstanding() > r.before })
	r.tell(&LegSilent{ID: "leg0"})
	if back := hears[*StreamBack](r); back.Spec != spec {
		t.Errorf("%+v", back)
	}
	r.until("nothing waits", func() bool { return block.Outstanding() == r.before })
	for s.command != cell.RelayEnd {
		s = r.goes()
	}
	if s.stream != id {
		t.Errorf("%+v", s)
	}
	r.dispose(spec)
}

// A lane's account follows what goes, block by block.
func TestFinishingMoves(t *testing.T) {
	a, b := block.Get(block.DataOut), block.GetLarge(block.DataOut)
	defer a.Free()
	defer b.Free()
	var f finishing
	f.moved([]*block.Block{a, b})
	if n, since := f.Held(); n != block.Size+block.LargeSize || since == 0 {
		t.Errorf("%d bytes since %d", n, since)
	}
	f.moved([]*block.Block{b})
	if n, _ := f.Held(); n != block.LargeSize {
		t.Errorf("%d bytes", n)
	}
}
