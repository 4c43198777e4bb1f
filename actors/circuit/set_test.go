package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/conflux"
)

// A stream's data comes over both legs and is put in order; what it sends goes where there
// is room, with a SWITCH before it.
func TestSetCarriesAStream(t *testing.T) {
	r := linked(t)
	r.first()
	app, id := r.application()
	data := func(text string) conflux.Message {
		return conflux.Message{Command: cell.RelayData, Stream: id, Data: []byte(text)}
	}
	// 2 and 3 come before 1.
	r.over(1, skip(2), data("b"), data("c"))
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id}, data("a"))
	r.reads(app, "connected\nabc")
	r.over(1, skip(0))
	r.over(1, data("d"))
	r.reads(app, "d")

	// Up: leg 0 has no room, so leg 1 is used from the second message on.
	r.tell(&LegStatus{Number: 0, Room: 0, RTT: time.Millisecond})
	r.tell(&LegStatus{Number: 1, Room: 100, RTT: 2 * time.Millisecond})
	if _, err := app.Write([]byte("up")); err != nil {
		t.Fatal(err)
	}
	one, two := r.goes(), r.goes()
	if n, err := conflux.ParseSwitch(one.data); one.command != cell.RelayConfluxSwitch || n != 1 || err != nil || one.leg != 1 {
		t.Errorf("%+v: want a SWITCH over the BEGIN", one)
	}
	if two.command != cell.RelayData || two.leg != 1 || string(two.data) != "up" {
		t.Errorf("%+v", two)
	}
	r.over(1, conflux.Message{Command: cell.RelayEnd, Stream: id, Data: []byte{byte(cell.EndDone)}})
	if rest, err := io.ReadAll(app); err != nil || len(rest) != 0 {
		t.Errorf("read %q, %v", rest, err)
	}
	hears[*StreamDone](r)
}

// A long upload over two legs arrives once and in order, and waits when neither has room.
func TestSetUploads(t *testing.T) {
	r := linked(t)
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	want := make([]byte, 300_000)
	_, _ = rand.Read(want)
	wrote := make(chan error, 1)
	go func() { _, err := app.Write(want); wrote <- err }()
	// The exit's end: a number for each message of a leg, and a SWITCH skips some.
	parts, last := map[uint32][]byte{}, [2]uint32{}
	last[r.begun]++
	out, used := [2]int{}, map[int]bool{}
	for i, size := 0, 0; size < len(want); i++ {
		s := r.goes()
		if s.command == cell.RelayConfluxSwitch {
			n, err := conflux.ParseSwitch(s.data)
			if err != nil {
				t.Fatal(err)
			}
			last[s.leg] += n
			continue
		}
		last[s.leg]++
		if _, twice := parts[last[s.leg]]; twice || s.command != cell.RelayData {
			t.Fatalf("number %d twice, or %v", last[s.leg], s.command)
		}
		parts[last[s.leg]] = s.data
		size += len(s.data)
		used[s.leg] = true
		if out[s.leg]++; out[s.leg]%31 == 0 { // acknowledged, with the round trips taking turns
			r.tell(&LegStatus{Number: s.leg, Room: 62, Sent: out[s.leg], RTT: time.Duration(1+(i+s.leg)%3) * time.Millisecond})
		}
	}
	var got []byte
	for n := range uint32(len(parts)) {
		got = append(got, parts[n+2]...) // BEGIN was 1
	}
	if err := <-wrote; err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if len(used) != 2 {
		t.Errorf("legs used: %v", used)
	}
}

// What an exit must not say ends the set with all its legs and streams.
func TestHostileExit(t *testing.T) {
	data := conflux.Message{Command: cell.RelayData, Stream: 9, Data: []byte("x")}
	for name, say := range map[string]func(r *setRig, id cell.StreamID){
		"LINKED again":          func(r *setRig, _ cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayConfluxLinked}) },
		"LINK":                  func(r *setRig, _ cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayConfluxLink}) },
		"LINKED_ACK":            func(r *setRig, _ cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayConfluxLinkedAck}) },
		"two SWITCH":            func(r *setRig, _ cell.StreamID) { r.over(0, skip(1), skip(1)) },
		"SWITCH cut short":      func(r *setRig, _ cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayConfluxSwitch}) },
		"DATA of no stream":     func(r *setRig, _ cell.StreamID) { r.over(0, data) },
		"a gap that stays":      func(r *setRig, _ cell.StreamID) { r.over(0, skip(5), data); r.over(1, skip(5)) },
		"BEGIN_DIR":             func(r *setRig, id cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayBeginDir, Stream: id}) },
		"SENDME of a stream":    func(r *setRig, id cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelaySendme, Stream: id}) },
		"DATA before CONNECTED": func(r *setRig, id cell.StreamID) { data := data; data.Stream = id; r.over(0, data) },
		"RESOLVED to CONNECT":   func(r *setRig, id cell.StreamID) { r.over(0, conflux.Message{Command: cell.RelayResolved, Stream: id}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := linked(t)
			_, id := r.application()
			say(r, id)
			// The stream was not connected: another circuit may have it.
			back := hears[*StreamBack](r)
			if back.Spec.Last != chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL {
				t.Errorf("given back for %v", back.Spec.Last)
			}
			r.dispose(back.Spec)
			if how := r.gone(); how != "closed circuit-protocol" {
				t.Errorf("the set %s", how)
			}
			if !r.closed[0] || !r.closed[1] {
				t.Errorf("legs that were told to end: %v", r.closed)
			}
		})
	}
}

// A message that was delivered already, over another leg, ends the set and what is on it.
func TestNumberTwice(t *testing.T) {
	r := linked(t)
	app, id := r.application()
	connected := conflux.Message{Command: cell.RelayConnected, Stream: id}
	r.over(0, connected)
	r.reads(app, "connected\n")
	r.over(1, connected)
	hears[*StreamDone](r)
	how := r.gone()
	if _, streams := r.ends(); how != "closed circuit-protocol" || !slices.Equal(streams, []string{"circuit-protocol"}) {
		t.Errorf("the set %s, streams %v", how, streams)
	}
}

// A set that waits for more than it may ends.
func TestTooMuchBeforeItsTurn(t *testing.T) {
	r := linked(t)
	_, id := r.application()
	payload := make([]byte, cell.MaxRelayData)
	r.over(1, skip(1))
	for range 1 << 20 / 20 / len(payload) {
		all := make([]conflux.Message, 20)
		for i := range all {
			all[i] = conflux.Message{Command: cell.RelayData, Stream: id, Data: payload}
		}
		r.over(1, all...)
		r.over(1, all...)
	}
	for range 60 {
		r.over(1, slices.Repeat([]conflux.Message{{Command: cell.RelayData, Stream: id, Data: payload}}, 20)...)
	}
	if how := r.gone(); how != "closed overloaded" {
		t.Errorf("the set %s", how)
	}
	if n := block.Memory(); n > 1<<20 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// While the set is linking, legs that go are replaced; when it cannot be, the set ends.
func TestLegsWhileLinking(t *testing.T) {
	r := newSetRig(t)
	l := r.open(0)
	r.tellLeg(1, &Gone{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
	hears[*LegWanted](r)
	r.tell(&AddLeg{Options: Options{ID: "leg2"}})
	r.link(2)
	// The other one answers that it takes it for another set.
	l.Nonce[0]++
	r.over(0, conflux.Message{Command: cell.RelayConfluxLinked, Data: l.Append(nil)})
	if how := r.gone(); how != "failed circuit-protocol" {
		t.Errorf("the set %s", how)
	}

	r = newSetRig(t)
	r.tellLeg(0, &Gone{Outcome: chivev1.Outcome_OUTCOME_CONNECT_REFUSED})
	hears[*LegWanted](r)
	r.tell(&NoLeg{})
	if how := r.gone(); how != "failed no-path" {
		t.Errorf("the set %s", how)
	}

	r = newSetRig(t) // a leg that is only measured from now on is none
	r.tell(&ToLeg{ID: "leg1", Message: &Measure{}})
	hears[*LegWanted](r)
	r.tell(&AddLeg{Options: Options{ID: "leg2"}})
	r.link(0)
	r.link(2)
	if o := hears[*Opened](r); o.ID != "set" {
		t.Fatalf("%+v", o)
	}
	r.tell(&AddLeg{Options: Options{ID: "leg3"}}) // too late: its parent is to forget it
	if g := hears[*Gone](r); g.ID != "leg3" || g.Outcome != chivev1.Outcome_OUTCOME_REPLACED {
		t.Errorf("%+v", g)
	}
}

// Teardown, whatever goes first: the streams are told once and as it was, every leg ends,
// nothing is left.
func TestTeardownInAnyOrder(t *testing.T) {
	gone := func(n int, unacknowledged bool) func(*setRig) {
		return func(r *setRig) {
			r.tellLeg(n, &Gone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED, Unacknowledged: unacknowledged})
		}
	}
	shut := func(r *setRig) { r.tell(&Close{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN}) }
	for _, tt := range []struct {
		name   string
		steps  []func(*setRig)
		set    string
		stream string
	}{
		{"the leg in use", []func(*setRig){gone(0, false)}, "closed destroyed", "destroyed"},
		{"the leg in use, then the other", []func(*setRig){gone(0, false), gone(1, false)}, "closed destroyed", "destroyed"},
		{"the other with cells in flight", []func(*setRig){gone(1, true)}, "closed destroyed", "destroyed"},
		{"the other, then the leg in use", []func(*setRig){gone(1, false), gone(0, false)}, "closed destroyed", "destroyed"},
		{"closed by us", []func(*setRig){shut}, "closed shutdown", "shutdown"},
		{"closed by us, then a leg", []func(*setRig){shut, gone(0, false)}, "closed shutdown", "shutdown"},
		{"a leg that carried nothing, then closed by us", []func(*setRig){gone(1, false), shut}, "closed shutdown", "shutdown"},
		{"a leg's actor fails", []func(*setRig){func(r *setRig) { r.tellLeg(0, "poison") }}, "closed internal", "internal"},
		{"the other's actor fails", []func(*setRig){func(r *setRig) { r.tellLeg(1, "poison") }}, "closed internal", "internal"},
		{"memory is short", []func(*setRig){func(r *setRig) { r.tell(&overloaded{}) }}, "closed overloaded", "overloaded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := linked(t)
			r.first()
			app, id := r.application()
			r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
			r.reads(app, "connected\n")
			for _, step := range tt.steps {
				step(r)
			}
			hears[*StreamDone](r)
			how := r.gone()
			if _, streams := r.ends(); how != tt.set || len(streams) != 1 || streams[0] != tt.stream {
				t.Errorf("the set %s and the stream %v; want %s and %s", how, streams, tt.set, tt.stream)
			}
			if _, err := io.ReadAll(app); err == nil {
				t.Error("the application sees an orderly end")
			}
		})
	}
}

// A set goes on without a leg that carried nothing.
func TestSetSurvivesAnIdleLeg(t *testing.T) {
	r := linked(t)
	r.first()
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	r.tellLeg(1, &Gone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	if g := hears[*Gone](r); g.ID != "leg1" {
		t.Fatalf("%+v", g)
	}
	r.over(0, conflux.Message{Command: cell.RelayData, Stream: id, Data: []byte("on")})
	r.reads(app, "on")
	if _, err := app.Write([]byte("up")); err != nil {
		t.Fatal(err)
	}
	if s := r.goes(); s.leg != 0 || s.command != cell.RelayData || string(s.data) != "up" {
		t.Errorf("%+v", s)
	}
}

// A set that is not linked carries nothing.
func TestNothingBeforeItIsLinked(t *testing.T) {
	r := newSetRig(t)
	r.link(0)
	spec := &stream.Spec{ID: "early", Target: "example.org:80", Purpose: general}
	r.tell(&Attach{Spec: spec})
	if b := hears[*StreamBack](r); b.Spec != spec {
		t.Errorf("%+v", b)
	}
	select {
	case s := <-r.sent:
		t.Errorf("%+v goes out", s)
	default:
	}
}

// A directory is not asked over a set (TROVE-2026-008).
func TestNoDirectoryOverASet(t *testing.T) {
	r := linked(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, "dir", &chivev1.StreamRequested{Purpose: general}))
	go func() { _, _ = io.Copy(io.Discard, a) }()
	r.tell(&Attach{Spec: &stream.Spec{ID: "dir", Conn: pipe{b}, Purpose: general, Front: front{}, Requested: time.Now()}})
	hears[*StreamDone](r)
	select {
	case s := <-r.sent:
		t.Errorf("%+v goes out", s)
	default:
	}
	if _, streams := r.ends(); !slices.Equal(streams, []string{"refused"}) {
		t.Errorf("streams: %v", streams)
	}
}

type pipe struct{ net.Conn }

func (pipe) CloseWrite() error                     { return nil }
func (pipe) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

// The actor of a set panics: its streams end, its legs do, and nothing is left; its parent,
// which tells the set's own end, hears of it after them.
func TestSetPanics(t *testing.T) {
	r := linked(t)
	r.first()
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	r.over(1, skip(5), conflux.Message{Command: cell.RelayData, Stream: id, Data: []byte("waits")})
	r.settled()
	r.tell(&LegStatus{Number: 99})
	if f := hears[*kernel.ChildFailed](r); !f.PID.Equal(r.set) {
		t.Fatalf("%+v", f)
	}
	<-r.ended
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "set", &chivev1.CircuitClosed{Outcome: chivev1.Outcome_OUTCOME_INTERNAL}))
	if _, streams := r.ends(); !slices.Equal(streams, []string{"internal"}) {
		t.Errorf("streams ended %v", streams)
	}
	if n := block.Memory(); n > 1<<20 {
		t.Errorf("%d bytes are still counted", n)
	}
}
