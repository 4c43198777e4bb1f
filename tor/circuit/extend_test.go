package circuit

import (
	"errors"
	"testing"

	"chive/tor/cell"
)

// lengthen adds the last hop of the relays to a circuit over those before it.
func (r *relays) lengthen(c *Circuit, last Hop) {
	r.t.Helper()
	out, err := c.Extend(nil, last)
	if err != nil || c.State() != Building {
		r.t.Fatalf("%v, state %v", err, c.State())
	}
	command, body := r.body(out)
	hop, h, data := r.openAs(command, body)
	ext, err := cell.ParseExtend2(data)
	if err != nil || command != cell.RelayEarly || hop != len(r.path)-1 || h.Cmd != cell.RelayExtend2 {
		r.t.Fatalf("%v for hop %d in %v: %v", h.Cmd, hop, command, err)
	}
	r.path = append(r.path, last)
	reply := cell.AppendCreated2(nil, r.serve(hop+1, ext.Handshake))
	_, ev, err := c.Receive(nil, cell.Relay, r.send(hop, cell.RelayExtended2, 0, reply))
	if err != nil || ev.Kind != Opened || c.State() != Open || c.Hops() != hop+2 {
		r.t.Fatalf("%v, %v, state %v, %d hops", ev.Kind, err, c.State(), c.Hops())
	}
}

// ahead is a circuit of three hops, and the fourth that it may get.
func ahead(t *testing.T) (*relays, *Circuit, Hop) {
	r := newRelays(t, 4)
	last := r.path[3]
	r.path = r.path[:3]
	return r, r.build(), last
}

// A circuit that was built ahead is extended, and is then one to its new last hop.
func TestExtend(t *testing.T) {
	r, c, last := ahead(t)
	r.lengthen(c, last)
	out, err := c.Introduce(nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_, body := r.body(out)
	if hop, h, data := r.open(body); hop != 3 || h.Cmd != cell.RelayIntroduce1 || string(data) != "hello" {
		t.Fatalf("%v to hop %d", h.Cmd, hop)
	}
	if _, err := c.Extend(nil, last); !errors.Is(err, ErrNotOpen) {
		t.Errorf("extended after it was used: %v", err)
	}
}

// What the third hop granted does not rule a circuit to the fourth, and the other way round.
func TestExtendFlow(t *testing.T) {
	for _, third := range []bool{false, true} {
		for _, fourth := range []bool{false, true} {
			r := newRelays(t, 4)
			r.grant = congested(t).grant
			r.path[2].CongestionControl, r.path[3].CongestionControl = third, fourth
			last := r.path[3]
			r.path = r.path[:3]
			c := r.build()
			if c.CongestionControl() != third {
				t.Fatalf("third hop: %v", c.CongestionControl())
			}
			r.lengthen(c, last)
			if c.CongestionControl() != fourth {
				t.Errorf("congestion control %v, which the last hop granted: %v", c.CongestionControl(), fourth)
			}
		}
	}
}

func TestExtendRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		use  func(r *relays, c *Circuit)
		edit func(r *relays, h *Hop)
		want error
	}{
		"a stream":       {use: func(r *relays, c *Circuit) { r.stream(c) }, want: ErrNotOpen},
		"a rendezvous":   {use: func(_ *relays, c *Circuit) { _, _ = c.EstablishRendezvous(nil, [20]byte{1}) }, want: ErrNotOpen},
		"its end":        {use: func(_ *relays, c *Circuit) { c.Destroy(nil) }, want: ErrNotOpen},
		"the second hop": {edit: func(r *relays, h *Hop) { h.RSA = r.path[1].RSA }, want: ErrConfig},
		"the third hop":  {edit: func(r *relays, h *Hop) { h.RSA = r.path[2].RSA }, want: ErrConfig},
		"no onion key":   {edit: func(_ *relays, h *Hop) { h.NtorKey = [32]byte{} }, want: ErrConfig},
		"its guard":      {edit: func(r *relays, h *Hop) { h.RSA = r.path[0].RSA }},
	} {
		t.Run(name, func(t *testing.T) {
			r, c, last := ahead(t)
			if tt.use != nil {
				tt.use(r, c)
			}
			if tt.edit != nil {
				tt.edit(r, &last)
			}
			before := c.State()
			out, err := c.Extend(nil, last)
			if !errors.Is(err, tt.want) || (err != nil) != (tt.want != nil) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if err != nil && (len(out) > 0 || c.State() != before) {
				t.Error("it changed something")
			}
		})
	}
	r := newRelays(t, maxHops)
	c := r.build()
	if _, err := c.Extend(nil, Hop{RSA: [20]byte{99}}); !errors.Is(err, ErrConfig) {
		t.Errorf("a ninth hop: %v", err)
	}
}
