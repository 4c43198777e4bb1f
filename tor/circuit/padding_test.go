package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// padded is a circuit whose machines may run.
func (r *relays) padded() *Circuit {
	r.t.Helper()
	c := r.build()
	c.cfg.Now = func() time.Duration { return r.now }
	c.padding = padding.New(padding.Config{Able: true, Draw: func(int) int { return 0 }})
	return c
}

// answered is a relay's answer to a machine.
func (r *relays) answered(c *Circuit, hop int, n padding.Negotiated) (Event, error) {
	return r.receive(c, r.send(hop, cell.RelayPaddingNegotiated, 0, n.Append(nil)))
}

func (r *relays) drop(c *Circuit, hop int) error {
	ev, err := r.receive(c, r.send(hop, cell.RelayDrop, 0, nil))
	if err == nil && ev.Kind != None {
		r.t.Errorf("padding is %v to the owner", ev.Kind)
	}
	return err
}

// goesTo reads what the circuit sends: commands by hop.
func (r *relays) goesTo(out []byte) (hops []int, commands []cell.RelayCommand, last []byte) {
	r.t.Helper()
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		hop, h, data := r.open(body)
		hops, commands, last = append(hops, hop), append(commands, h.Cmd), bytes.Clone(data)
	}
	return hops, commands, last
}

// introduced has sent INTRODUCE1, and its machine was asked for.
func (r *relays) introduced(c *Circuit) {
	r.t.Helper()
	out, err := c.Introduce(nil, []byte("to a service"))
	if err != nil {
		r.t.Fatal(err)
	}
	hops, commands, last := r.goesTo(out)
	want := padding.Negotiate{Command: padding.Start, Machine: 0, Counter: 1}.Append(nil)
	if len(hops) != 2 || hops[0] != 2 || commands[0] != cell.RelayIntroduce1 || hops[1] != 1 || commands[1] != cell.RelayPaddingNegotiate || !bytes.Equal(last, want) {
		r.t.Fatalf("%v to hops %v, the last % x", commands, hops, last)
	}
}

// padding-spec §3.1: an introduction is followed by up to 10 cells of padding, which holds
// the circuit open until the relay says that it is over.
func TestIntroductionIsPadded(t *testing.T) {
	for _, r := range []*relays{newRelays(t, 3), galois(t, 0, 1, 2)} {
		c := r.padded()
		if c.PaddingHolds() {
			t.Error("held open before there is a machine")
		}
		r.introduced(c)
		if _, err := r.answered(c, 1, padding.Negotiated{Command: padding.Start, Response: padding.OK, Counter: 1}); err != nil {
			t.Fatal(err)
		}
		if ev, err := r.receive(c, r.send(2, cell.RelayIntroduceAck, 0, []byte{0, 0})); err != nil || ev.Kind != IntroduceAck {
			t.Fatalf("%v, %v", ev.Kind, err)
		}
		for range 10 {
			if err := r.drop(c, 1); err != nil {
				t.Fatal(err)
			}
		}
		if !c.PaddingHolds() {
			t.Error("not held open while the machine goes on")
		}
		if _, err := r.answered(c, 1, padding.Negotiated{Command: padding.Stop, Response: padding.OK, Counter: 1}); err != nil || c.PaddingHolds() {
			t.Errorf("%v, held: %v", err, c.PaddingHolds())
		}
		if n := c.Counters(); n.PaddingIn != 12 || n.PaddingOut != 1 {
			t.Errorf("%+v", n)
		}
		if err := r.drop(c, 1); !errors.Is(err, ErrPadding) || c.State() != Closed {
			t.Errorf("padding after the machine's end: %v", err)
		}
	}
}

// padding-spec §3.2: once the rendezvous point is there each end sends one cell.
func TestRendezvousIsPadded(t *testing.T) {
	r := newRelays(t, 3)
	c := r.padded()
	out, err := c.EstablishRendezvous(nil, [20]byte{})
	if err != nil {
		t.Fatal(err)
	}
	r.goesTo(out)
	if _, ok := c.PaddingDue(); ok {
		t.Error("padding is due before the rendezvous is there")
	}
	out, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayRendEstablished, 0, nil))
	hops, commands, last := r.goesTo(out)
	if err != nil || ev.Kind != RendezvousEstablished || len(hops) != 1 || hops[0] != 1 || commands[0] != cell.RelayPaddingNegotiate ||
		!bytes.Equal(last, padding.Negotiate{Command: padding.Start, Machine: 1, Counter: 1}.Append(nil)) {
		t.Fatalf("%v, %v; %v to hops %v, % x", ev.Kind, err, commands, hops, last)
	}
	if in, ok := c.PaddingDue(); !ok || in > time.Millisecond {
		t.Errorf("due in %v, %v", in, ok)
	}
	if hops, commands, _ := r.goesTo(c.Pad(nil)); len(hops) != 1 || hops[0] != 1 || commands[0] != cell.RelayDrop {
		t.Errorf("%v to hops %v", commands, hops)
	}
	if _, ok := c.PaddingDue(); ok || len(c.Pad(nil)) > 0 {
		t.Error("a second cell of padding is due")
	}
	if _, err := r.answered(c, 1, padding.Negotiated{Command: padding.Start, Response: padding.OK, Machine: 1, Counter: 1}); err != nil {
		t.Fatal(err)
	}
	if err := r.drop(c, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.drop(c, 1); !errors.Is(err, ErrPadding) {
		t.Errorf("a second cell of padding: %v", err)
	}
}

// In every stage, of every hop: what a relay may not say of padding closes the circuit.
func TestPaddingIsRefused(t *testing.T) {
	started := padding.Negotiated{Command: padding.Start, Response: padding.OK, Counter: 1}
	stages := map[string]func(r *relays) *Circuit{
		"a circuit without machines": func(r *relays) *Circuit { return r.build() },
		"before anything":            func(r *relays) *Circuit { return r.padded() },
		"a stream": func(r *relays) *Circuit {
			c := r.padded()
			r.stream(c)
			return c
		},
		"introduced": func(r *relays) *Circuit {
			c := r.padded()
			r.introduced(c)
			return c
		},
		"agreed": func(r *relays) *Circuit {
			c := r.padded()
			r.introduced(c)
			if _, err := r.answered(c, 1, started); err != nil {
				r.t.Fatal(err)
			}
			return c
		},
	}
	may := map[string]bool{"introduced, NEGOTIATED, hop 1": true, "agreed, DROP, hop 1": true}
	for stage, at := range stages {
		for hop := range 3 {
			for what, say := range map[string]func(r *relays, c *Circuit) error{
				"DROP":       func(r *relays, c *Circuit) error { return r.drop(c, hop) },
				"NEGOTIATED": func(r *relays, c *Circuit) error { _, err := r.answered(c, hop, started); return err },
				"NEGOTIATE": func(r *relays, c *Circuit) error {
					_, err := r.receive(c, r.send(hop, cell.RelayPaddingNegotiate, 0, make([]byte, 8)))
					return err
				},
				"of a stream": func(r *relays, c *Circuit) error {
					_, err := r.receive(c, r.send(hop, cell.RelayDrop, 7, nil))
					return err
				},
				"cut short": func(r *relays, c *Circuit) error {
					_, err := r.receive(c, r.send(hop, cell.RelayPaddingNegotiated, 0, []byte{0}))
					return err
				},
				"other machine": func(r *relays, c *Circuit) error {
					n := started
					n.Machine = 1
					_, err := r.answered(c, hop, n)
					return err
				},
				"other counter": func(r *relays, c *Circuit) error {
					n := started
					n.Counter = 2
					_, err := r.answered(c, hop, n)
					return err
				},
				"a STOP refused": func(r *relays, c *Circuit) error {
					n := started
					n.Command, n.Response = padding.Stop, padding.Err
					_, err := r.answered(c, hop, n)
					return err
				},
			} {
				r := newRelays(t, 3)
				c := at(r)
				err := say(r, c)
				name := stage + ", " + what + ", hop " + string(rune('0'+hop))
				if may[name] != (err == nil) || (err != nil) != (c.State() == Closed) {
					t.Errorf("%s: %v, state %v", name, err, c.State())
				}
			}
		}
	}
}

func TestPaddingIsSwitchedOff(t *testing.T) {
	r := newRelays(t, 3)
	c := r.padded()
	r.introduced(c)
	hops, commands, last := r.goesTo(c.ConfigurePadding(nil, padding.Policy{Off: true}))
	if len(hops) != 1 || hops[0] != 1 || commands[0] != cell.RelayPaddingNegotiate ||
		!bytes.Equal(last, padding.Negotiate{Command: padding.Stop, Machine: 0, Counter: 1}.Append(nil)) || c.PaddingHolds() {
		t.Errorf("%v to hops %v, % x; held: %v", commands, hops, last, c.PaddingHolds())
	}
	for name, cfg := range map[string]Config{
		"one hop":  {ID: 1 << 31, Path: r.path[:1], Rand: rand.Reader, Padding: &padding.Config{}, Now: func() time.Duration { return 0 }},
		"no clock": {ID: 1 << 31, Path: r.path, Rand: rand.Reader, Padding: &padding.Config{}},
	} {
		if _, err := NewCircuit(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
