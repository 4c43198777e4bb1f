package conflux

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

// sender is the other end: it numbers messages from 1 and sends them over legs.
type sender struct {
	legs    [][]Message // on their way
	last    []uint64    // sent on the leg
	sent    uint64
	current int
}

func newSender(legs int) *sender {
	return &sender{legs: make([][]Message, legs), last: make([]uint64, legs)}
}

func (e *sender) send(leg int, m Message) {
	if leg != e.current {
		e.legs[leg] = append(e.legs[leg], Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, uint32(e.sent-e.last[leg]))})
		e.current = leg
	}
	e.sent++
	e.last[leg] = e.sent
	e.legs[leg] = append(e.legs[leg], m)
}

var fromExit = []cell.RelayCommand{
	cell.RelayData, cell.RelayData, cell.RelayData, cell.RelayData, cell.RelayEnd, cell.RelayConnected, cell.RelayResolved, cell.RelayXon, cell.RelayXoff,
}

// stamped is message i: its number is its data, and its length and kind vary.
func stamped(i int, c cell.RelayCommand, length int) Message {
	m := Message{c, cell.StreamID(i%5 + 1), make([]byte, max(length, 8))}
	binary.BigEndian.PutUint64(m.Data, uint64(i))
	return m
}

// drain takes what is in turn.
func drain(t tb, s *Set, got func(Message)) {
	t.Helper()
	for {
		m, ok, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		got(m)
	}
}

// However an exit spreads messages over legs, and however the legs' messages meet on
// their way, streams get exactly what was sent in its order.
func TestAnyInterleavingYieldsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		legs := rapid.IntRange(2, 4).Draw(t, "legs")
		s := ready(t, legs, HighThroughput)
		e := newSender(legs)
		count := rapid.IntRange(0, 300).Draw(t, "messages")
		var sent []Message
		for i := range count {
			m := stamped(i, rapid.SampledFrom(fromExit).Draw(t, "command"), rapid.IntRange(0, cell.MaxRelayData).Draw(t, "length"))
			sent = append(sent, m)
			e.send(rapid.IntRange(0, legs-1).Draw(t, "over"), m)
		}
		next := 0
		got := func(m Message) {
			want := sent[next]
			next++
			if m.Command != want.Command || m.Stream != want.Stream || string(m.Data) != string(want.Data) {
				t.Fatalf("message %d is %v of stream %d, want %v of %d", next, m.Command, m.Stream, want.Command, want.Stream)
			}
		}
		for left := legs; left > 0; {
			leg := rapid.IntRange(0, legs-1).Draw(t, "comes from")
			if len(e.legs[leg]) == 0 {
				left = 0
				for i := range e.legs {
					if len(e.legs[i]) > 0 {
						leg, left = i, legs
					}
				}
				if left == 0 {
					break
				}
			}
			m := e.legs[leg][0]
			e.legs[leg] = e.legs[leg][1:]
			v, err := s.Receive(leg, m, later)
			if err != nil {
				t.Fatal(err)
			}
			if v == Deliver {
				got(m)
				drain(t, s, got)
			}
			if s.Memory() > s.cfg.Params.MaxWaiting {
				t.Fatalf("%d bytes wait", s.Memory())
			}
		}
		if next != len(sent) || s.State() != Ready {
			t.Fatalf("%d of %d messages, state %v", next, len(sent), s.State())
		}
		if s.Held() != 0 || s.Memory() > chunkSize {
			t.Fatalf("%d bytes are held for nothing, and %d kept", s.Held(), s.Memory())
		}
	})
}

// Whatever room and round trips legs have, what Route sends is in order at the exit,
// by the exit's way of counting.
func TestRouteCountsAsTheExitDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		legs := rapid.IntRange(2, 4).Draw(t, "legs")
		s := ready(t, legs, UX(rapid.IntRange(0, 4).Draw(t, "asks")))
		received := make([]uint64, legs)
		last := -1
		for sent := uint64(1); sent < 200; {
			leg := rapid.IntRange(0, legs-1).Draw(t, "observed")
			s.Observe(leg, rapid.IntRange(0, 5).Draw(t, "room"), time.Duration(rapid.IntRange(1, 9).Draw(t, "rtt"))*time.Millisecond)
			c := rapid.SampledFrom([]cell.RelayCommand{cell.RelayData, cell.RelayBegin, cell.RelayXon}).Draw(t, "command")
			r, err := s.Route(c)
			if errors.Is(err, ErrBlocked) {
				if c != cell.RelayData || s.Room() > 0 {
					t.Fatalf("%v is blocked", c)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if last >= 0 && r.Switch != (r.Leg != last) {
				t.Fatalf("SWITCH %v from leg %d to %d", r.Switch, last, r.Leg)
			}
			if r.Switch {
				received[r.Leg] += uint64(r.Skipped)
			}
			received[r.Leg]++
			if received[r.Leg] != sent {
				t.Fatalf("message %d is number %d at the exit", sent, received[r.Leg])
			}
			last = r.Leg
			sent++
		}
	})
}

// What no exit sends ends the set, at once or when it shows.
func TestHostileSequences(t *testing.T) {
	data := Message{cell.RelayData, 1, []byte("x")}
	skip := func(n uint32) Message { return Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, n)} }
	type on struct {
		leg int
		m   Message
	}
	of := func(m Message, stream cell.StreamID) Message { m.Stream = stream; return m }
	for name, tt := range map[string]struct {
		all  []on // only the last of which is refused
		want error
	}{
		"SWITCH after SWITCH":            {[]on{{0, skip(1)}, {0, skip(1)}}, ErrUnexpected},
		"SWITCH of a stream":             {[]on{{0, of(skip(1), 1)}}, ErrUnexpected},
		"SWITCH cut off":                 {[]on{{0, Message{Command: cell.RelayConfluxSwitch, Data: []byte{0, 0, 1}}}}, cell.ErrTruncated},
		"DATA of no stream":              {[]on{{0, of(data, 0)}}, ErrUnexpected},
		"LINKED again":                   {[]on{{0, Message{Command: cell.RelayConfluxLinked}}}, ErrUnexpected},
		"LINK":                           {[]on{{0, Message{Command: cell.RelayConfluxLink}}}, ErrUnexpected},
		"LINKED_ACK":                     {[]on{{0, Message{Command: cell.RelayConfluxLinkedAck}}}, ErrUnexpected},
		"BEGIN_DIR":                      {[]on{{0, Message{Command: cell.RelayBeginDir, Stream: 1}}}, ErrUnexpected},
		"BEGIN":                          {[]on{{0, Message{Command: cell.RelayBegin, Stream: 1}}}, ErrUnexpected},
		"a number again":                 {[]on{{0, data}, {1, data}}, ErrSequence},
		"old numbers":                    {[]on{{0, data}, {0, data}, {1, skip(0)}, {1, data}}, ErrSequence},
		"a gap that nobody fills":        {[]on{{0, skip(5)}, {0, data}, {1, skip(6)}}, ErrSequence},
		"a gap once the rest has passed": {[]on{{0, data}, {0, skip(7)}, {0, data}, {1, skip(3)}}, ErrSequence},
	} {
		s := ready(t, 2, MinLatency)
		for i, m := range tt.all {
			v, err := s.Receive(m.leg, m.m, later)
			last := i == len(tt.all)-1
			if last && (!errors.Is(err, tt.want) || s.State() != Over) || !last && err != nil {
				t.Errorf("%s: message %d: %v", name, i, err)
			}
			if v == Deliver {
				drain(t, s, func(Message) { t.Errorf("%s: something waited", name) })
			}
		}
		if _, err := s.Receive(0, data, later); !errors.Is(err, ErrOver) {
			t.Errorf("%s: the set goes on", name)
		}
	}
}

// A number that waits and comes over another leg as well is found out before it is
// handed on twice.
func TestNumberTwiceWhileWaiting(t *testing.T) {
	s := ready(t, 3, MinLatency)
	data := Message{cell.RelayData, 1, []byte("x")}
	skip := Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, 1)}
	for _, leg := range []int{0, 1} { // number 2 on both
		for _, m := range []Message{skip, data} {
			if v, err := s.Receive(leg, m, later); err != nil || v != Taken {
				t.Fatal(v, err)
			}
		}
	}
	if v, err := s.Receive(2, data, later); err != nil || v != Deliver {
		t.Fatal(v, err)
	}
	if _, ok, err := s.Next(); ok || !errors.Is(err, ErrSequence) || s.State() != Over {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestSkipsDoNotWrapAround(t *testing.T) {
	s := ready(t, 2, MinLatency)
	s.legs[0].received = math.MaxUint64 - 5
	if _, err := s.Receive(0, Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, 100)}, later); !errors.Is(err, ErrSequence) {
		t.Error(err)
	}
}

// Whatever an exit sends: memory is bounded, numbers are handed on once and in order,
// and a set that has ended stays so and holds nothing.
func TestHostileExit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := ready(t, 2, MinLatency)
		s.cfg.Params.MaxWaiting = 3 * chunkSize
		s.waiting.most = 3
		var handed uint64
		for range 400 {
			leg := rapid.IntRange(0, 1).Draw(t, "leg")
			m := Message{Command: cell.RelayData, Stream: 1, Data: make([]byte, rapid.IntRange(0, cell.MaxRelayData).Draw(t, "length"))}
			switch rapid.IntRange(0, 20).Draw(t, "kind") {
			case 0:
				m = Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, rapid.Uint32Range(0, 50).Draw(t, "skip"))}
			case 1:
				m.Command = cell.RelayCommand(rapid.Byte().Draw(t, "command"))
			}
			v, err := s.Receive(leg, m, later)
			for ok := v == Deliver; ok; {
				handed++
				if s.delivered != handed {
					t.Fatalf("%d messages, number %d", handed, s.delivered)
				}
				_, ok, err = s.Next()
			}
			if s.Memory() > 3*chunkSize {
				t.Fatalf("%d bytes", s.Memory())
			}
			if err != nil {
				if s.State() != Over || s.Memory() != 0 {
					t.Fatalf("after %v: state %v, %d bytes", err, s.State(), s.Memory())
				}
				if _, err := s.Receive(leg, m, later); !errors.Is(err, ErrOver) {
					t.Fatalf("a set that has ended: %v", err)
				}
				if _, ok, _ := s.Next(); ok {
					t.Fatal("a set that has ended hands on")
				}
				return
			}
			if s.legs[0].received > s.delivered && s.legs[1].received > s.delivered {
				t.Fatal("it waits for what cannot come")
			}
		}
	})
}

// More than may wait ends the set.
func TestWaitingIsBounded(t *testing.T) {
	s := ready(t, 2, MinLatency)
	if _, err := s.Receive(0, Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, 1)}, later); err != nil {
		t.Fatal(err)
	}
	data := Message{cell.RelayData, 1, make([]byte, cell.MaxRelayData)}
	for n := 0; ; n += len(data.Data) {
		_, err := s.Receive(0, data, later)
		if n > maxWaiting {
			t.Fatalf("%d bytes wait", n)
		}
		if s.Memory() > maxWaiting {
			t.Fatalf("%d bytes of memory", s.Memory())
		}
		if err != nil {
			if !errors.Is(err, ErrWaiting) || n < maxWaiting*9/10 {
				t.Errorf("after %d bytes: %v", n, err)
			}
			return
		}
	}
}

// Cells in their turn and cells that wait a little cost no allocation.
func TestSequenceAllocatesNothing(t *testing.T) {
	s := ready(t, 2, HighThroughput)
	data := Message{cell.RelayData, 1, make([]byte, cell.MaxRelayData)}
	skip := Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, 10)}
	got := 0
	receive := func(leg int, m Message, n int) {
		for range n {
			v, err := s.Receive(leg, m, later)
			if err != nil {
				t.Fatal(err)
			}
			for ok := v == Deliver; ok; got++ {
				if _, ok, err = s.Next(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		receive(1, skip, 1) // ten before their turn
		receive(1, data, 10)
		receive(0, data, 10)
		receive(0, skip, 1)
		s.Observe(0, 10, 10*time.Millisecond)
		s.Observe(1, 10, 20*time.Millisecond)
		for range 20 {
			if _, err := s.Route(cell.RelayData); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if got != 101*20 {
		t.Errorf("%d messages", got)
	}
}
