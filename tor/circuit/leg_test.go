package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/relaycrypto"
)

// leg brings a leg to Open.
func (r *relays) leg() *Circuit {
	r.t.Helper()
	c := r.build()
	c.cfg.Leg = true // build knows no legs; what Leg does before a circuit is open is below
	return c
}

// Every relay command from the exit on an open leg, of the circuit and of a stream: what
// is not named here ends the leg.
func TestEveryCommandOnALeg(t *testing.T) {
	handed := map[cell.RelayCommand]bool{ // of a stream: true
		cell.RelayConfluxLinked: false, cell.RelayConfluxSwitch: false,
		cell.RelayData: true, cell.RelayConnected: true, cell.RelayEnd: true, cell.RelayResolved: true,
		cell.RelayXon: true, cell.RelayXoff: true,
	}
	for n := range 256 {
		for _, id := range []cell.StreamID{0, 7} {
			r := congested(t)
			c := r.leg()
			command := cell.RelayCommand(n)
			ofStream, legal := handed[command]
			legal = legal && ofStream == (id != 0)
			_, ev, err := c.Receive(nil, cell.Relay, r.send(2, command, id, []byte("body")))
			switch {
			case legal && (err != nil || ev.Kind != Message || ev.Command != command || ev.Stream != id || string(ev.Data) != "body"):
				t.Errorf("%v of stream %d: %+v, %v", command, id, ev, err)
			case !legal && (err == nil || c.State() != Closed):
				t.Errorf("%v of stream %d is accepted: %+v", command, id, ev)
			}
		}
	}
	for name, middle := range map[string]cell.RelayCommand{"LINKED": cell.RelayConfluxLinked, "SWITCH": cell.RelayConfluxSwitch, "DATA": cell.RelayData} {
		r := congested(t)
		c := r.leg()
		if _, _, err := c.Receive(nil, cell.Relay, r.send(1, middle, 0, nil)); !errors.Is(err, ErrUnexpected) {
			t.Errorf("%s from the middle: %v", name, err)
		}
	}
}

// proposal 329, 2.1: no leg without congestion control.
func TestLegNeedsCongestionControl(t *testing.T) {
	for name, tt := range map[string]struct {
		grant []byte
		want  error
	}{"granted": {nil, nil}, "not granted": {[]byte{0}, ErrNoCongestionControl}} {
		r := congested(t, tt.grant...)
		c, err := NewCircuit(Config{
			ID: 1 << 31, Path: r.path[:1], Rand: rand.Reader, FlowParams: testFlow, Leg: true, Now: func() time.Duration { return 0 },
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, body := r.body(out)
		_, skin, err := cell.ParseCreate2(body)
		if err != nil {
			t.Fatal(err)
		}
		created := make([]byte, cell.BodyLen)
		copy(created, cell.AppendCreated2(nil, r.serve(0, skin)))
		if _, _, err := c.Receive(nil, cell.Created2, created); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A leg keeps the windows: what it sends is acknowledged there, and what comes is.
func TestLegCounts(t *testing.T) {
	t.Run("tor1", func(t *testing.T) { legCounts(t, congested(t), cell.MaxRelayData) })
	t.Run("CGO", func(t *testing.T) { legCounts(t, galois(t, 0, 1, 2), cell.MaxRelayDataV1) })
}

func legCounts(t *testing.T, r *relays, most int) {
	c := r.leg()
	if _, err := c.Relay(nil, cell.RelayData, 7, make([]byte, most+1)); !errors.Is(err, cell.ErrRelayLength) {
		t.Errorf("more than a cell holds: %v", err)
	}
	if _, _, err := c.Begin(nil, "target.test:80", 0); !errors.Is(err, ErrNotOpen) {
		t.Errorf("a leg has a stream of its own: %v", err)
	}
	full := bytes.Repeat([]byte{1}, most)
	room := c.Room()
	var tag relaycrypto.Tag
	for i := range 31 {
		out, err := c.Relay(nil, cell.RelayData, 7, full)
		if err != nil {
			t.Fatal(err)
		}
		h, data := r.sent(out)
		if h[0].Cmd != cell.RelayData || h[0].Stream != 7 || !bytes.Equal(data[0], full) {
			t.Fatalf("%+v", h)
		}
		tag = r.layers[2].ForwardTag()
		if c.Sent() != i+1 || c.Room() != room-i-1 || c.Unacknowledged() != (i == 30) {
			t.Fatalf("after %d cells: %d sent, room %d, unacknowledged %v", i+1, c.Sent(), c.Room(), c.Unacknowledged())
		}
	}
	if out, err := c.Relay(nil, cell.RelayConfluxSwitch, 0, []byte{0, 0, 0, 1}); err != nil || c.Sent() != 31 {
		t.Errorf("SWITCH: %v, %d sent", err, c.Sent())
	} else {
		r.sent(out)
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes()))); err != nil || ev.Kind != MayPackage {
		t.Fatalf("SENDME: %+v, %v", ev, err)
	}
	if c.Unacknowledged() || c.RTT() <= 0 {
		t.Errorf("after SENDME: unacknowledged %v, round trip %v", c.Unacknowledged(), c.RTT())
	}
	for i := range 31 {
		out, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayData, 7, full))
		if err != nil || ev.Kind != Message || (len(out) > 0) != (i == 30) {
			t.Fatalf("cell %d: %+v, %v, %d bytes answered", i, ev, err, len(out))
		}
	}
	plain := congested(t)
	if _, err := plain.build().Relay(nil, cell.RelayData, 7, full); !errors.Is(err, ErrNotOpen) {
		t.Errorf("Relay on a circuit that is no leg: %v", err)
	}
}

// set notes what a circuit without hops sends.
type set struct {
	room   int
	format cell.RelayFormat
	sent   []cell.RelayCommand
	data   int
}

func (s *set) Room() int       { return s.room }
func (s *set) OnTheirWay() int { return 3 }
func (s *set) Send(command cell.RelayCommand, _ cell.StreamID, data []byte) {
	if command == cell.RelayData {
		s.room--
		s.data += len(data)
	}
	s.sent = append(s.sent, command)
}

func (s *set) MaxData(command cell.RelayCommand) int { return s.format.MaxData(command) }

func over(t *testing.T, s *set) *Circuit {
	t.Helper()
	c, err := Over(s, testFlow, func() time.Duration { return 0 }, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The streams of a set have what those of a circuit have, and what a set cannot carry is
// refused.
func TestStreamsOverASet(t *testing.T) {
	s := &set{room: 3}
	c := over(t, s)
	if _, _, err := c.BeginDir(nil); !errors.Is(err, ErrNoDirectory) {
		t.Errorf("BEGIN_DIR: %v", err)
	}
	_, id, err := c.Begin(nil, "target.test:80", 0)
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := c.Deliver(cell.RelayConnected, id, nil); err != nil || ev.Kind != Connected || ev.Stream != id {
		t.Fatalf("CONNECTED: %+v, %v", ev, err)
	}
	if _, n := c.Send(nil, id, make([]byte, 5*cell.MaxRelayData), 100); n != 3*cell.MaxRelayData || s.data != n || c.Sendable(id) != 0 {
		t.Errorf("%d bytes went with room for three cells, the set has %d", n, s.data)
	}
	full := bytes.Repeat([]byte("x"), cell.MaxRelayDataV1)
	for i := range testFlow.XoffClient {
		if ev, err := c.Deliver(cell.RelayData, id, full); err != nil || ev.Kind != Data || !bytes.Equal(ev.Data, full) {
			t.Fatalf("DATA %d: %+v, %v", i, ev, err)
		}
	}
	c.Consumed(nil, id, testFlow.XoffClient, testFlow.XoffClient*len(full))
	if _, err := c.End(nil, id); err != nil {
		t.Fatal(err)
	}
	want := []cell.RelayCommand{cell.RelayBegin, cell.RelayData, cell.RelayData, cell.RelayData, cell.RelayXoff, cell.RelayXon, cell.RelayEnd}
	if len(s.sent) != len(want) {
		t.Fatalf("sent %v, want %v", s.sent, want)
	}
	for i := range want {
		if s.sent[i] != want[i] {
			t.Fatalf("sent %v, want %v", s.sent, want)
		}
	}
	// What was on its way when END went out comes, and not more.
	for i := range 3 {
		if _, err := c.Deliver(cell.RelayData, id, []byte("x")); err != nil {
			t.Fatalf("DATA %d after END: %v", i, err)
		}
	}
	var beyond error
	for range 2 {
		if _, err := c.Deliver(cell.RelayData, id, []byte("x")); err != nil {
			beyond = err
			break
		}
	}
	if !errors.Is(beyond, ErrStreamID) {
		t.Errorf("more DATA after END than can have been on its way: %v", beyond)
	}
	if out := c.Destroy(nil); len(out) != 0 {
		t.Error("a circuit without hops sends DESTROY")
	}
	if _, err := c.Deliver(cell.RelayData, id, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("DATA on a set that is closed: %v", err)
	}
}

// Every command for a stream that is open, and for none.
func TestEveryCommandOverASet(t *testing.T) {
	legal := map[cell.RelayCommand]bool{cell.RelayData: true, cell.RelayEnd: true}
	for n := range 256 {
		command := cell.RelayCommand(n)
		for _, known := range []bool{true, false} {
			c := over(t, &set{})
			_, id, err := c.Begin(nil, "target.test:80", 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Deliver(cell.RelayConnected, id, nil); err != nil {
				t.Fatal(err)
			}
			to := id
			if !known {
				to++
			}
			_, err = c.Deliver(command, to, []byte{0, 0, 0, 0, 0})
			if want := known && legal[command]; (err == nil) != want {
				t.Errorf("%v, of a stream that is there: %v: %v", command, known, err)
			}
		}
	}
}

// What the exit's cells do not hold is refused before anything is sent, and DATA is cut to
// them.
func TestFormatOverASet(t *testing.T) {
	s := &set{room: 10, format: cell.RelayV1}
	c := over(t, s)
	if _, _, err := c.Begin(nil, string(bytes.Repeat([]byte{'a'}, 485))+":80", 0); !errors.Is(err, cell.ErrRelayLength) || len(s.sent) > 0 {
		t.Errorf("%v, %v went out", err, s.sent)
	}
	_, id, err := c.Begin(nil, "target.test:80", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, n := c.Send(nil, id, make([]byte, 2*cell.MaxRelayDataV1), 10); n != 2*cell.MaxRelayDataV1 || len(s.sent) != 3 {
		t.Errorf("%d bytes in %v", n, s.sent)
	}
}

// What a leg and a set do for each cell takes no memory.
func TestLegsTakeNoMemory(t *testing.T) {
	r := congested(t)
	c := r.leg()
	full := make([]byte, cell.MaxRelayData)
	dst := make([]byte, 0, cell.FixedLen)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Relay(dst, cell.RelayData, 7, full); err != nil {
			t.Fatal(err)
		}
	}); n > 0.2 { // what SENDMEs are due for is noted once in a while
		t.Errorf("%v allocations a cell that a leg sends", n)
	}
	s := &set{room: 1 << 20, sent: make([]cell.RelayCommand, 0, 1<<20)}
	over := over(t, s)
	_, id, err := over.Begin(nil, "target.test:80", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := over.Deliver(cell.RelayConnected, id, nil); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, n := over.Send(nil, id, full, 1); n != len(full) {
			t.Fatal(n)
		}
		if _, err := over.Deliver(cell.RelayData, id, full); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a message of a set", n)
	}
}
