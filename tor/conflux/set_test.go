package conflux

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"chive/tor/cell"
)

var (
	start = time.Unix(1_000_000, 0)
	later = start.Add(100 * time.Millisecond)
)

type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// fresh is a set whose legs are being built.
func fresh(t tb, legs int) *Set {
	t.Helper()
	p := ParamsOf(nil)
	p.Legs = legs
	s, err := New(Config{Params: p, UX: HighThroughput, MaxRTT: time.Second, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	for i := range legs {
		if leg, ok := s.Launch(); !ok || leg != i {
			t.Fatalf("launch %d: leg %d, %v", i, leg, ok)
		}
	}
	return s
}

func open(t tb, s *Set, leg int) Link {
	t.Helper()
	body, err := s.Opened(nil, leg, start)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseLink(body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func linkedMessage(l Link) Message {
	return Message{Command: cell.RelayConfluxLinked, Data: l.Append(nil)}
}

// answer has the exit accept a leg.
func answer(t tb, s *Set, leg int, asks UX) {
	t.Helper()
	if v, err := s.Receive(leg, linkedMessage(Link{Nonce: s.nonce, UX: asks}), later); err != nil || v != Linked {
		t.Fatalf("leg %d: %v, %v", leg, v, err)
	}
}

// ready is a set with all its legs.
func ready(t tb, legs int, asks UX) *Set {
	t.Helper()
	s := fresh(t, legs)
	for i := range legs {
		open(t, s, i)
		answer(t, s, i, asks)
	}
	if s.State() != Ready {
		t.Fatalf("state %v", s.State())
	}
	return s
}

// Every command in every state of a leg. What is not named here is refused, and ends
// the set.
func TestEveryStateAndCommand(t *testing.T) {
	states := map[string]struct {
		set     func(t tb) *Set
		allowed map[cell.RelayCommand]Verdict
	}{
		"building": {
			func(t tb) *Set { return fresh(t, 2) },
			map[cell.RelayCommand]Verdict{cell.RelayExtended2: OwnMessage, cell.RelayDrop: OwnMessage, cell.RelayTruncated: OwnMessage},
		},
		"linking": {
			func(t tb) *Set { s := fresh(t, 2); open(t, s, 0); return s },
			map[cell.RelayCommand]Verdict{cell.RelayConfluxLinked: Linked, cell.RelayDrop: OwnMessage, cell.RelayTruncated: OwnMessage},
		},
		"linked, another not": {
			func(t tb) *Set { s := fresh(t, 2); open(t, s, 0); answer(t, s, 0, MinLatency); return s },
			map[cell.RelayCommand]Verdict{cell.RelayDrop: OwnMessage, cell.RelayTruncated: OwnMessage},
		},
		"ready": {
			func(t tb) *Set { return ready(t, 2, MinLatency) },
			map[cell.RelayCommand]Verdict{
				cell.RelayData: Deliver, cell.RelayEnd: Deliver, cell.RelayConnected: Deliver, cell.RelayResolved: Deliver,
				cell.RelayXon: Deliver, cell.RelayXoff: Deliver, cell.RelayConfluxSwitch: Taken,
				cell.RelaySendme: OwnMessage, cell.RelayDrop: OwnMessage, cell.RelayTruncated: OwnMessage,
			},
		},
		"gone": {
			func(t tb) *Set {
				s := ready(t, 3, MinLatency)
				if err := s.LegClosed(0, false); err != nil {
					t.Fatal(err)
				}
				return s
			},
			map[cell.RelayCommand]Verdict{},
		},
		"the set is over": {
			func(t tb) *Set { s := ready(t, 2, MinLatency); s.Close(); return s },
			nil,
		},
	}
	for c := range 256 { // what a leg that is gone still had on its way does nothing
		states["gone"].allowed[cell.RelayCommand(c)] = Taken
	}
	for name, state := range states {
		for c := range 256 {
			s := state.set(t)
			m := Message{Command: cell.RelayCommand(c), Data: make([]byte, 100)}
			switch {
			case Sequenced(m.Command):
				m.Stream = 7
			case m.Command == cell.RelayConfluxLinked:
				m = linkedMessage(Link{Nonce: s.nonce})
			}
			v, err := s.Receive(0, m, later)
			want, allowed := state.allowed[m.Command]
			switch {
			case allowed && (err != nil || v != want):
				t.Errorf("%s: %v: %v, %v; want %v", name, m.Command, v, err, want)
			case !allowed && (err == nil || s.State() != Over):
				t.Errorf("%s: %v is accepted: %v", name, m.Command, v)
			}
		}
	}
}

func TestLinking(t *testing.T) {
	s := fresh(t, 2)
	if _, ok := s.Launch(); ok {
		t.Error("a third leg for a set of two")
	}
	a, b := open(t, s, 0), open(t, s, 1)
	if a != b || a.Nonce == ([NonceLen]byte{}) || a.Sent != 0 || a.Received != 0 || a.UX != HighThroughput {
		t.Errorf("LINK of %+v and %+v", a, b)
	}
	if _, err := s.Opened(nil, 0, start); !errors.Is(err, ErrUnexpected) {
		t.Errorf("a second LINK on a leg: %v", err)
	}
	answer(t, s, 1, MinLatency)
	if s.State() != Linking || s.Room() > 0 {
		t.Error("used before all its legs are linked")
	}
	if _, err := s.Route(cell.RelayBegin); !errors.Is(err, ErrNotSequenced) {
		t.Errorf("Route before all legs are linked: %v", err)
	}
	answer(t, s, 0, MinLatency)
	if s.State() != Ready {
		t.Error("not ready with all its legs")
	}
	if other := fresh(t, 2); other.nonce == s.nonce {
		t.Error("two sets with one nonce")
	}
}

// What a LINKED must not say.
func TestBadLinked(t *testing.T) {
	other := [NonceLen]byte{1}
	for name, tt := range map[string]struct {
		m    func(nonce [NonceLen]byte) Message
		want error
	}{
		"another set": {func([NonceLen]byte) Message { return linkedMessage(Link{Nonce: other}) }, ErrNonce},
		"it has sent": {func(n [NonceLen]byte) Message { return linkedMessage(Link{Nonce: n, Sent: 1, UX: MinLatency}) }, ErrSequence},
		"it received": {func(n [NonceLen]byte) Message { return linkedMessage(Link{Nonce: n, Received: 1, UX: MinLatency}) }, ErrSequence},
		"of a stream": {func(n [NonceLen]byte) Message { m := linkedMessage(Link{Nonce: n}); m.Stream = 1; return m }, ErrUnexpected},
		"too short": {func(n [NonceLen]byte) Message {
			m := linkedMessage(Link{Nonce: n})
			m.Data = m.Data[:40]
			return m
		}, cell.ErrTruncated},
		"asks otherwise than the other leg's": {func(n [NonceLen]byte) Message { return linkedMessage(Link{Nonce: n, UX: LowMemThroughput}) }, ErrUnexpected},
	} {
		s := fresh(t, 2)
		open(t, s, 0)
		open(t, s, 1)
		answer(t, s, 0, MinLatency)
		if _, err := s.Receive(1, tt.m(s.nonce), later); !errors.Is(err, tt.want) || s.State() != Over {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Legs that fail while the set is linking are replaced, so many times.
func TestLegsAreReplacedWhileLinking(t *testing.T) {
	s := fresh(t, 2)
	for failures := range s.cfg.Params.Retries {
		leg := failures // 0 first, then those launched for it
		if failures > 0 {
			leg++
		}
		if failures%2 == 0 {
			if err := s.LegClosed(leg, false); err != nil {
				t.Fatal(err)
			}
		} else {
			open(t, s, leg)
			v, err := s.Receive(leg, linkedMessage(Link{Nonce: s.nonce}), start.Add(time.Second))
			if err != nil || v != TooSlow || s.Leg(leg) != LegGone {
				t.Fatalf("a LINKED after a second: %v, %v", v, err)
			}
		}
		if next, ok := s.Launch(); !ok || next != failures+2 {
			t.Fatalf("after %d failures: leg %d, %v", failures+1, next, ok)
		}
	}
	if err := s.LegClosed(1, false); !errors.Is(err, ErrLegs) || s.State() != Over {
		t.Errorf("%v", err)
	}
	if _, ok := s.Launch(); ok {
		t.Error("a set that is over gets a leg")
	}
}

// A set that is ready gets no legs, and ends with one that was in use.
func TestLegsThatGo(t *testing.T) {
	data := Message{cell.RelayData, 1, []byte("x")}
	skip := func(n uint32) Message { return Message{Command: cell.RelayConfluxSwitch, Data: AppendSwitch(nil, n)} }
	receive := func(t tb, s *Set, leg int, ms ...Message) {
		t.Helper()
		for _, m := range ms {
			if _, err := s.Receive(leg, m, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		before         func(t tb, s *Set)
		unacknowledged bool
		lives          bool
	}{
		"never used":         {func(tb, *Set) {}, false, true},
		"cells in flight":    {func(tb, *Set) {}, true, false},
		"the exit's last":    {func(t tb, s *Set) { receive(t, s, 0, data) }, false, false},
		"passed by another":  {func(t tb, s *Set) { receive(t, s, 0, data); receive(t, s, 1, skip(1), data) }, false, true},
		"a gap before it":    {func(t tb, s *Set) { receive(t, s, 1, skip(1), data) }, false, false},
		"our current":        {func(t tb, s *Set) { s.legs[0].room = 1; route(t, s, cell.RelayBegin, 0) }, false, false},
		"not ours any more":  {func(t tb, s *Set) { s.legs[0].room = 1; route(t, s, cell.RelayData, 0); route(t, s, cell.RelayData, 1) }, false, true},
		"all ended already":  {func(_ tb, s *Set) { s.Close() }, true, false},
		"another is the use": {func(t tb, s *Set) { receive(t, s, 1, data) }, false, true},
	} {
		s := ready(t, 2, HighThroughput)
		s.Observe(0, 0, 10*time.Millisecond)
		s.Observe(1, 50, 20*time.Millisecond)
		tt.before(t, s)
		err := s.LegClosed(0, tt.unacknowledged)
		if lives := s.State() == Ready; lives != tt.lives {
			t.Errorf("%s: the set lives: %v, %v", name, lives, err)
		}
		if again := s.LegClosed(0, true); again != nil {
			t.Errorf("%s: and again: %v", name, again)
		}
		if _, ok := s.Launch(); ok {
			t.Errorf("%s: the set gets another leg", name)
		}
		if err := s.LegClosed(1, false); s.State() != Over {
			t.Errorf("%s: a set without legs lives: %v", name, err)
		}
	}
}

func TestNewRefusesNoLegs(t *testing.T) {
	if _, err := New(Config{Rand: rand.Reader}); err == nil {
		t.Error("a set of no legs")
	}
	if _, err := New(Config{Params: ParamsOf(nil), Rand: broken{}}); err == nil {
		t.Error("a set without a nonce")
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("no randomness") }
