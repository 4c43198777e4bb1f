package circuit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/netdoc"
)

var start0 = time.Unix(1_000_000, 0)

func dice(seed uint64) func(int) int { return rand.New(rand.NewPCG(seed, 3)).IntN }

func able() *Padding { return New(Config{Able: true, Draw: dice(1)}) }

// hexes writes messages as "COMMAND body".
func hexes(ms []Message) (out []string) {
	for _, m := range ms {
		out = append(out, m.Command.String()+" "+hex.EncodeToString(m.Data))
	}
	return out
}

func says(t *testing.T, what string, got []Message, want ...string) {
	t.Helper()
	have := hexes(got)
	if len(have) != len(want) {
		t.Fatalf("%s: sends %q, want %q", what, have, want)
	}
	for i := range want {
		if have[i] != want[i] {
			t.Fatalf("%s: sends %q, want %q", what, have, want)
		}
	}
}

func answer(c Command, r Response, machine uint8, counter uint32) Message {
	return Message{cell.RelayPaddingNegotiated, Negotiated{c, r, machine, counter}.Append(nil)}
}

var dropped = Message{Command: cell.RelayDrop}

func takes(t *testing.T, p *Padding, now time.Time, ms ...Message) {
	t.Helper()
	for _, m := range ms {
		if err := p.Receive(Hop, m, now); err != nil {
			t.Fatalf("%v % x: %v", m.Command, m.Data, err)
		}
	}
}

// proposal 302, 3.3.1: [INTRODUCE1] → [PADDING_NEGOTIATE] → PADDING_NEGOTIATED, then
// padding from the middle; the circuit lives until the middle has ended.
func TestIntroduction(t *testing.T) {
	for drops := 7; drops <= 10; drops++ {
		p, now := able(), start0
		says(t, "INTRODUCE1", p.Enter(nil, Introduced, now), "PADDING_NEGOTIATE 0002000000000001")
		if _, ok := p.Due(); ok {
			t.Error("the client pads")
		}
		takes(t, p, now, answer(Start, OK, 0, 1))
		says(t, "INTRODUCE_ACK", p.Enter(nil, Acknowledged, now))
		for range drops {
			now = now.Add(5 * time.Millisecond)
			if !p.Holds(now) {
				t.Fatal("the circuit may close while the relay pads")
			}
			takes(t, p, now, dropped)
		}
		takes(t, p, now, answer(Stop, OK, 0, 1))
		if p.Holds(now) {
			t.Error("the circuit is held after the machine has ended")
		}
	}
}

// proposal 302, 3.3.2: [PADDING_NEGOTIATE] → [DROP] → PADDING_NEGOTIATED → DROP, after
// RENDEZVOUS_ESTABLISHED; our DROP within a millisecond.
func TestRendezvous(t *testing.T) {
	waits := map[time.Duration]int{}
	for seed := range uint64(2000) {
		p := New(Config{Able: true, Draw: dice(seed)})
		says(t, "RENDEZVOUS_ESTABLISHED", p.Enter(nil, Rendezvous, start0), "PADDING_NEGOTIATE 0002010000000001")
		at, ok := p.Due()
		wait := at.Sub(start0)
		if !ok || wait < 0 || wait >= time.Millisecond {
			t.Fatalf("pads after %v, %v", wait, ok)
		}
		waits[wait/(250*time.Microsecond)]++
		if wait > 0 {
			says(t, "too early", p.Tick(nil, at.Add(-1)))
		}
		p.Sent(at) // an application's cell changes nothing
		says(t, "its time", p.Tick(nil, at), "DROP ")
		if _, ok := p.Due(); ok || p.Holds(at) || p.now.machine != nil {
			t.Fatal("the machine goes on")
		}
		takes(t, p, at, answer(Start, OK, 1, 1), dropped)
		says(t, "joined", p.Enter(nil, Rendezvous, at))
		if err := p.Receive(Hop, dropped, at); !errors.Is(err, ErrPadding) {
			t.Errorf("a second cell of padding: %v", err)
		}
	}
	for quarter, n := range waits {
		if n < 400 || n > 600 {
			t.Errorf("%d of 2000 waits in quarter %d of a millisecond", n, quarter)
		}
	}
}

// Padding that comes before ours goes out ends the machine, too.
func TestRelayWasFaster(t *testing.T) {
	p := New(Config{Able: true, Draw: func(int) int { return 900 }})
	p.Enter(nil, Rendezvous, start0)
	takes(t, p, start0, answer(Start, OK, 1, 1), dropped)
	if _, ok := p.Due(); ok {
		t.Error("it still wants to pad")
	}
	says(t, "later", p.Tick(nil, start0.Add(time.Second)))
}

// An introduction point refuses, the circuit is extended to another: the machine is
// stopped and begun again, and the relay's late answers are understood.
func TestRefusedIntroduction(t *testing.T) {
	for name, late := range map[string][]Message{
		"stopped by us": {dropped, answer(Stop, OK, 0, 1), answer(Start, OK, 0, 2), dropped, answer(Stop, OK, 0, 2)},
		"ended by then": {dropped, dropped, answer(Stop, OK, 0, 1), answer(Start, OK, 0, 2), answer(Stop, OK, 0, 2)},
	} {
		p := able()
		p.Enter(nil, Introduced, start0)
		takes(t, p, start0, answer(Start, OK, 0, 1))
		says(t, name, p.Enter(nil, Other, start0), "PADDING_NEGOTIATE 0001000000000001")
		if p.Holds(start0) {
			t.Error("held without a machine")
		}
		says(t, name, p.Enter(nil, Introduced, start0), "PADDING_NEGOTIATE 0002000000000002")
		for i, m := range late {
			if !p.Holds(start0) {
				t.Fatalf("%s: not held before answer %d", name, i)
			}
			takes(t, p, start0, m)
		}
		if p.Holds(start0) {
			t.Errorf("%s: held in the end", name)
		}
	}
}

func TestMachinesOfACircuitAreBounded(t *testing.T) {
	p := able()
	begun := 0
	for range 50 {
		begun += len(p.Enter(nil, Introduced, start0))
		p.Enter(nil, Other, start0)
	}
	if begun != maxStarts {
		t.Errorf("%d machines on one circuit", begun)
	}
}

// A relay that refuses is not asked again.
func TestRelayRefuses(t *testing.T) {
	p := able()
	p.Enter(nil, Introduced, start0)
	takes(t, p, start0, answer(Start, Err, 0, 1))
	if p.Holds(start0) {
		t.Error("held for a machine that the relay refused")
	}
	says(t, "after the refusal", p.Enter(nil, Other, start0))
	says(t, "the next one", p.Enter(nil, Introduced, start0))
}

func TestWhoIsAsked(t *testing.T) {
	params := func(p netdoc.Params) Policy { return Policy{Params: ParamsOf(p)} }
	for name, tt := range map[string]struct {
		able   bool
		policy Policy
		asks   bool
	}{
		"a relay that offers it":    {true, params(nil), true},
		"one that does not":         {false, params(nil), false},
		"switched off":              {true, Policy{Off: true}, false},
		"reduced":                   {true, Policy{Reduced: true}, false},
		"off for all":               {true, params(netdoc.Params{"circpad_padding_disabled": 1}), false},
		"reduced for all":           {true, params(netdoc.Params{"circpad_padding_reduced": 1}), false},
		"limits are no prohibition": {true, params(netdoc.Params{"circpad_global_max_padding_pct": 5}), true},
	} {
		for _, stage := range []Stage{Introduced, Rendezvous} {
			p := New(Config{Able: tt.able, Policy: tt.policy, Draw: dice(1)})
			if asks := len(p.Enter(nil, stage, start0)) > 0; asks != tt.asks {
				t.Errorf("%s, stage %d: asks %v", name, stage, asks)
			}
		}
	}
	p := able()
	for _, stage := range []Stage{Acknowledged, Other} {
		says(t, "a stage without a machine", p.Enter(nil, stage, start0))
	}
}

func TestSwitchedOffLater(t *testing.T) {
	p := able()
	p.Enter(nil, Introduced, start0)
	says(t, "off", p.Configure(nil, Policy{Off: true}), "PADDING_NEGOTIATE 0001000000000001")
	says(t, "on", p.Configure(nil, Policy{}))
	p = able()
	p.Enter(nil, Rendezvous, start0)
	says(t, "off", p.Configure(nil, Policy{Params: Params{Disabled: true}}), "PADDING_NEGOTIATE 0001010000000001")
	says(t, "later", p.Tick(nil, start0.Add(time.Second)))
}

// The consensus limits what a process pads.
func TestGlobalLimit(t *testing.T) {
	for _, tt := range []struct {
		all, padding uint64
		pads         bool
	}{{0, 0, true}, {100, 50, true}, {1000, 100, false}, {10_000, 100, true}} {
		p := New(Config{
			Able: true, Draw: dice(1),
			Policy: Policy{Params: ParamsOf(netdoc.Params{"circpad_global_allowed_cells": 60, "circpad_global_max_padding_pct": 5})},
			Totals: func() (uint64, uint64) { return tt.all, tt.padding },
		})
		p.Enter(nil, Rendezvous, start0)
		if pads := len(p.Tick(nil, start0.Add(time.Second))) > 0; pads != tt.pads {
			t.Errorf("after %d of %d cells: pads %v", tt.padding, tt.all, pads)
		}
	}
}

// A circuit on which nothing happens is not held for ever.
func TestHoldIsBounded(t *testing.T) {
	p := able()
	p.Enter(nil, Introduced, start0)
	heard := start0.Add(time.Hour)
	p.Received(heard)
	if last := heard.Add(maxSilence); !p.Holds(last.Add(-1)) || p.Holds(last) {
		t.Error("held for another time")
	}
}

func TestRefusedMessages(t *testing.T) {
	began := []Message{answer(Start, OK, 0, 1)}
	ten := began
	for range 10 {
		ten = append(ten, dropped)
	}
	for name, tt := range map[string]struct {
		before []Message
		hop    int
		m      Message
		want   error
	}{
		"padding before the answer":    {nil, Hop, dropped, ErrPadding},
		"padding of another hop":       {began, 3, dropped, ErrPadding},
		"padding after the end":        {append(began[:1:1], answer(Stop, OK, 0, 1)), Hop, dropped, ErrPadding},
		"an eleventh cell":             {ten, Hop, dropped, ErrPadding},
		"an answer of another hop":     {nil, 1, began[0], ErrPadding},
		"an answer again":              {began, Hop, began[0], ErrPadding},
		"for another machine":          {nil, Hop, answer(Start, OK, 1, 1), ErrPadding},
		"for a counter that never was": {nil, Hop, answer(Start, OK, 0, 2), ErrPadding},
		"for no counter":               {nil, Hop, answer(Start, OK, 0, 0), ErrPadding},
		"an end before the beginning":  {nil, Hop, answer(Stop, OK, 0, 1), ErrPadding},
		"a second end":                 {append(began[:1:1], answer(Stop, OK, 0, 1)), Hop, answer(Stop, OK, 0, 1), ErrPadding},
		"an end that failed":           {began, Hop, answer(Stop, Err, 0, 1), ErrPadding},
		"a negotiation of its own":     {nil, Hop, Message{cell.RelayPaddingNegotiate, Negotiate{Start, 0, 1}.Append(nil)}, ErrPadding},
		"no body":                      {nil, Hop, Message{Command: cell.RelayPaddingNegotiated}, cell.ErrTruncated},
		"another version":              {nil, Hop, Message{cell.RelayPaddingNegotiated, []byte{1, 2, 1, 0, 0, 0, 0, 1}}, cell.ErrMalformed},
		"another command":              {nil, Hop, Message{cell.RelayPaddingNegotiated, []byte{0, 3, 1, 0, 0, 0, 0, 1}}, cell.ErrMalformed},
		"another response":             {nil, Hop, Message{cell.RelayPaddingNegotiated, []byte{0, 2, 3, 0, 0, 0, 0, 1}}, cell.ErrMalformed},
	} {
		p := able()
		p.Enter(nil, Introduced, start0)
		takes(t, p, start0, tt.before...)
		if err := p.Receive(tt.hop, tt.m, start0); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Whatever a relay sends: it pads no more than its machines may, and answers each
// question once.
func TestHostileRelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := able()
		asked, drops, answers := 0, 0, 0
		now := start0
		for range 100 {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "us")) * time.Microsecond)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				for _, m := range p.Enter(nil, Stage(rapid.IntRange(0, 3).Draw(t, "stage")), now) {
					if m.Data[1] == byte(Start) {
						asked++
					}
				}
			case 1:
				if got := p.Tick(nil, now); len(got) > 1 {
					t.Fatalf("%d cells at once", len(got))
				}
			case 2:
				if p.Receive(Hop, dropped, now) == nil {
					drops++
				}
			case 3:
				m := answer(Command(rapid.IntRange(1, 2).Draw(t, "command")), Response(rapid.IntRange(1, 2).Draw(t, "response")),
					uint8(rapid.IntRange(0, 1).Draw(t, "machine")), uint32(rapid.IntRange(0, 9).Draw(t, "counter")))
				if p.Receive(Hop, m, now) == nil {
					answers++
				}
			}
			if asked > maxStarts || drops > 10*asked || answers > 2*asked {
				t.Fatalf("%d machines, %d cells of padding, %d answers", asked, drops, answers)
			}
		}
	})
}

func FuzzParseNegotiated(f *testing.F) {
	f.Add(Negotiated{Start, OK, 1, 2}.Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		if n, err := ParseNegotiated(body); err == nil && !bytes.HasPrefix(body, n.Append(nil)) {
			t.Errorf("%x is read as %+v", body, n)
		}
	})
}

// A circuit whose machine has ended costs nothing a cell.
func TestCellsAllocateNothing(t *testing.T) {
	p := able()
	p.Enter(nil, Rendezvous, start0)
	if n := testing.AllocsPerRun(100, func() { p.Sent(start0); p.Received(start0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
