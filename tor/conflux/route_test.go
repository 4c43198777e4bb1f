package conflux

import (
	"errors"
	"math"
	"testing"
	"time"

	"chive/tor/cell"
)

// route sends one message, which must go over a leg.
func route(t tb, s *Set, c cell.RelayCommand, leg int) Route {
	t.Helper()
	r, err := s.Route(c)
	if err != nil || r.Leg != leg {
		t.Fatalf("%v goes over %+v, %v; want leg %d", c, r, err, leg)
	}
	return r
}

// For throughput: the fastest leg with room; and each change of leg is told.
func TestThroughput(t *testing.T) {
	for _, asks := range []UX{HighThroughput, NoOpinion} {
		s := ready(t, 2, asks)
		s.Observe(0, 2, 50*time.Millisecond)
		s.Observe(1, 2, 20*time.Millisecond)
		if r := route(t, s, cell.RelayBegin, 1); r.Switch {
			t.Error("SWITCH before the first message")
		}
		for i, want := range []Route{
			{Leg: 1}, {Leg: 1}, {Leg: 0, Switch: true, Skipped: 3}, {Leg: 0},
		} {
			if got, err := s.Route(cell.RelayData); err != nil || got != want {
				t.Fatalf("DATA %d: %+v, %v; want %+v", i, got, err, want)
			}
		}
		if _, err := s.Route(cell.RelayData); !errors.Is(err, ErrBlocked) || s.Room() > 0 {
			t.Errorf("without room: %v", err)
		}
		if r := route(t, s, cell.RelayEnd, 0); r.Switch { // needs no room, and stays behind the data
			t.Error("SWITCH")
		}
		s.Observe(1, 1, 0)
		if r := route(t, s, cell.RelayData, 1); !r.Switch || r.Skipped != 3 {
			t.Errorf("%+v", r)
		}
		s.Observe(1, 1, 60*time.Millisecond)
		s.Observe(0, 1, 0)
		if r := route(t, s, cell.RelayData, 0); !r.Switch || r.Skipped != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// For latency: the fastest leg, and no other if it has no room.
func TestLatency(t *testing.T) {
	for _, asks := range []UX{MinLatency, LowMemLatency, LowMemThroughput} {
		s := ready(t, 2, asks)
		s.Observe(0, 1, 20*time.Millisecond)
		s.Observe(1, 10, 50*time.Millisecond)
		route(t, s, cell.RelayData, 0)
		if _, err := s.Route(cell.RelayData); !errors.Is(err, ErrBlocked) || s.Room() > 0 {
			t.Errorf("without room: %v", err)
		}
		route(t, s, cell.RelayXoff, 0)
		s.Observe(0, 0, 80*time.Millisecond)
		if s.Room() == 0 {
			t.Error("the leg that is the fastest now has room")
		}
		if r := route(t, s, cell.RelayData, 1); !r.Switch || r.Skipped != 2 {
			t.Errorf("%+v", r)
		}
	}
}

// The link round trip counts until congestion control knows better.
func TestFirstLegIsTheOneLinkedFastest(t *testing.T) {
	s := fresh(t, 2)
	open(t, s, 0)
	open(t, s, 1)
	for leg, took := range []time.Duration{300 * time.Millisecond, 200 * time.Millisecond} {
		if _, err := s.Receive(leg, linkedMessage(Link{Nonce: s.nonce, UX: MinLatency}), start.Add(took)); err != nil {
			t.Fatal(err)
		}
	}
	route(t, s, cell.RelayBegin, 1)
}

func TestOutsideTheSequence(t *testing.T) {
	s := ready(t, 2, MinLatency)
	for c := range 256 {
		c := cell.RelayCommand(c)
		if Sequenced(c) {
			continue
		}
		if _, err := s.Route(c); !errors.Is(err, ErrNotSequenced) || s.State() != Ready {
			t.Errorf("%v: %v", c, err)
		}
	}
	s.Close()
	if _, err := s.Route(cell.RelayData); !errors.Is(err, ErrOver) {
		t.Errorf("a set that is over: %v", err)
	}
}

func TestSwitchHasRoomForSoMany(t *testing.T) {
	s := ready(t, 2, HighThroughput)
	s.Observe(0, 1, 10*time.Millisecond)
	s.Observe(1, 1, 20*time.Millisecond)
	route(t, s, cell.RelayData, 0)
	s.sent = math.MaxUint32
	if _, err := s.Route(cell.RelayData); !errors.Is(err, ErrSequence) || s.State() != Over {
		t.Errorf("%v", err)
	}
}

// Room is how many DATA messages Route lets go, whatever the exit asks for.
func TestRoomIsWhatRouteLetsGo(t *testing.T) {
	for _, tt := range []struct {
		asks UX
		want int
	}{{MinLatency, 3}, {LowMemLatency, 3}, {LowMemThroughput, 3}, {HighThroughput, 8}, {NoOpinion, 8}} {
		s := ready(t, 2, tt.asks)
		if s.Asked() != tt.asks || s.Linked() != 2 {
			t.Errorf("asks for %d, %d legs linked", s.Asked(), s.Linked())
		}
		s.Observe(0, 3, 10*time.Millisecond)
		s.Observe(1, 5, 20*time.Millisecond)
		n := 0
		for room := s.Room(); room > 0; room = s.Room() {
			if _, err := s.Route(cell.RelayData); err != nil {
				t.Fatalf("%d: with room for %d: %v", tt.asks, room, err)
			}
			if n++; s.Room() != room-1 {
				t.Fatalf("%d: room for %d after %d", tt.asks, s.Room(), room)
			}
		}
		if _, err := s.Route(cell.RelayData); n != tt.want || !errors.Is(err, ErrBlocked) {
			t.Errorf("%d: %d messages went, want %d; then %v", tt.asks, n, tt.want, err)
		}
		wantSwitches := uint64(0)
		if n == 8 {
			wantSwitches = 1
		}
		if got := s.Counters().SwitchesOut; got != wantSwitches {
			t.Errorf("%d: %d switches, want %d", tt.asks, got, wantSwitches)
		}
	}
	if s := fresh(t, 2); s.Room() != 0 {
		t.Error("room before the set is linked")
	}
}
