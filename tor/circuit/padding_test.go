package circuit

import (
	"errors"
	"testing"
	"time"

	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// padded is a circuit whose second hop pads, with what it asked of that hop last.
func (r *relays) padded() *Circuit {
	r.t.Helper()
	c := r.build()
	c.padding = padding.New(padding.Config{Able: true, Draw: func(n int) int { return n - 1 }})
	return c
}

// asked is the PADDING_NEGOTIATE among cells that the client sent.
func (r *relays) asked(out []byte) (found []padding.Negotiate, others int) {
	r.t.Helper()
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		hop, h, data := r.open(body)
		if h.Cmd != cell.RelayPaddingNegotiate {
			others++
			continue
		}
		n := padding.Negotiate{Command: padding.Command(data[1]), Machine: data[2], Counter: uint32(data[7])}
		if hop != 1 || h.Stream != 0 || len(data) < 8 {
			r.t.Errorf("hop %d, %+v, % x", hop, h, data)
		}
		found = append(found, n)
	}
	return found, others
}

func negotiated(command padding.Command, machine uint8) []byte {
	return []byte{0, byte(command), byte(padding.OK), machine, 0, 0, 0, 1}
}

// The second hop pads an introduction when INTRODUCE1 is sent: 10 cells at most, and the
// circuit stays until it has ended (padding-spec §3.3.1).
func TestIntroductionIsPadded(t *testing.T) {
	r := newRelays(t, 4)
	c := r.padded()
	out, err := c.Introduce(nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if asked, others := r.asked(out); len(asked) != 1 || others != 1 || asked[0].Machine != 0 || asked[0].Command != padding.Start {
		t.Fatalf("%+v, %d other cells", asked, others)
	}
	if _, err := r.receive(c, r.send(1, cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 0))); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if ev, err := r.receive(c, r.send(1, cell.RelayDrop, 0, nil)); err != nil || ev.Kind != None {
			t.Fatal(ev, err)
		}
	}
	if ev, err := r.receive(c, r.send(3, cell.RelayIntroduceAck, 0, []byte{0, 0, 0})); err != nil || ev.Kind != IntroduceAck || !c.PaddingHolds() {
		t.Fatal(ev, err, c.PaddingHolds())
	}
	if _, err := r.receive(c, r.send(1, cell.RelayPaddingNegotiated, 0, negotiated(padding.Stop, 0))); err != nil || c.PaddingHolds() {
		t.Fatal(err, c.PaddingHolds())
	}
	if _, _, err := c.Receive(nil, cell.Relay, r.send(1, cell.RelayDrop, 0, nil)); !errors.Is(err, ErrPadding) {
		t.Errorf("padding after its end: %v", err)
	}
}

// A rendezvous circuit sends a cell of padding and gets one, when the rendezvous point is
// established (§3.3.2); what counts the cells of flow control does not count them.
func TestRendezvousIsPadded(t *testing.T) {
	r := newRelays(t, 3)
	c := r.padded()
	sent, err := c.EstablishRendezvous(nil, [20]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if asked, _ := r.asked(sent); len(asked) != 0 {
		t.Fatal("padding before the rendezvous point is established")
	}
	out, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayRendEstablished, 0, nil))
	if err != nil || ev.Kind != RendezvousEstablished {
		t.Fatal(ev, err)
	}
	if asked, others := r.asked(out); len(asked) != 1 || others != 0 || asked[0].Machine != 1 {
		t.Fatalf("%+v, %d other cells", asked, others)
	}
	at, due := c.PaddingDue()
	if !due || at-r.now > 5*time.Millisecond {
		t.Fatalf("due at %v, %v; it is %v", at, due, r.now)
	}
	r.now = at
	if out := c.Pad(nil); len(out) != cell.FixedLen || c.Counters().Padding != 1 {
		t.Fatalf("%d bytes of padding", len(out))
	} else {
		_, body := r.body(out)
		if hop, h, _ := r.open(body); hop != 1 || h.Cmd != cell.RelayDrop {
			t.Errorf("hop %d, %+v", hop, h)
		}
	}
	if _, due := c.PaddingDue(); due || c.PaddingHolds() {
		t.Error("more padding")
	}
}

// Padding is refused that no machine agreed on, from any other hop, and on circuits that
// have none.
func TestPaddingViolations(t *testing.T) {
	introduce := func(r *relays, c *Circuit) {
		if _, err := c.Introduce(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		before func(*relays, *Circuit)
		cell   func(*relays) []byte
	}{
		"DROP before a machine":       {nil, func(r *relays) []byte { return r.send(1, cell.RelayDrop, 0, nil) }},
		"DROP before it is agreed":    {introduce, func(r *relays) []byte { return r.send(1, cell.RelayDrop, 0, nil) }},
		"NEGOTIATED before a machine": {nil, func(r *relays) []byte { return r.send(1, cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 0)) }},
		"NEGOTIATED of the last hop":  {introduce, func(r *relays) []byte { return r.send(2, cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 0)) }},
		"NEGOTIATED of another":       {introduce, func(r *relays) []byte { return r.send(1, cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 1)) }},
	} {
		r := newRelays(t, 3)
		c := r.padded()
		if tt.before != nil {
			tt.before(r, c)
		}
		if _, _, err := c.Receive(nil, cell.Relay, tt.cell(r)); err == nil || c.State() != Closed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
