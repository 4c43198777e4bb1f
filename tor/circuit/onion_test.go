package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// service is the far end of a joined circuit, behind the relays.
type service struct {
	r     *relays
	stack relaycrypto.Stack
}

func (r *relays) join(c *Circuit, inc int) *service {
	r.t.Helper()
	var keys handshake.HSKeyMaterial
	for _, k := range []*[32]byte{&keys.Df, &keys.Db, &keys.Kf, &keys.Kb} {
		_, _ = rand.Read(k[:])
	}
	s := &service{r: r}
	layer, err := relaycrypto.NewServiceRendezvousLayer(keys)
	if err != nil {
		r.t.Fatal(err)
	}
	s.stack.Add(layer)
	onion := congestion.ParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathOnion, 31)
	if err := c.Join(keys, onion, inc); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// send is a cell from the service, as the client gets it.
func (s *service) send(command cell.RelayCommand, id cell.StreamID, data []byte) []byte {
	body := make([]byte, cell.BodyLen)
	copy(s.stack.Format(0).Put(body, cell.RelayHeader{Cmd: command, Stream: id, Length: len(data)}), data)
	s.stack.Seal(cell.Relay, body, 0)
	for i := len(s.r.layers) - 1; i >= 0; i-- {
		s.r.layers[i].Pass(cell.Relay, body)
	}
	return body
}

// read takes a cell from the client to the service.
func (s *service) read(raw []byte) (cell.RelayHeader, []byte) {
	s.r.t.Helper()
	_, body := s.r.body(raw)
	for _, l := range s.r.layers {
		if l.Receive(cell.Relay, body) {
			s.r.t.Fatal("the rendezvous point can read it")
		}
	}
	if s.stack.Open(cell.Relay, body) != 0 {
		s.r.t.Fatal("the service cannot read it")
	}
	h, data, err := s.stack.Format(0).Parse(body)
	if err != nil {
		s.r.t.Fatal(err)
	}
	return h, data
}

func (r *relays) receive(c *Circuit, body []byte) (Event, error) {
	out, ev, err := c.Receive(nil, cell.Relay, body)
	if len(out) > 0 {
		r.t.Errorf("an answer of %d bytes", len(out))
	}
	return ev, err
}

// meet brings a circuit to where the service has come.
func (r *relays) meet(c *Circuit) {
	r.t.Helper()
	cookie := [20]byte{1, 2, 3}
	out, err := c.EstablishRendezvous(nil, cookie)
	if err != nil {
		r.t.Fatal(err)
	}
	_, body := r.body(out)
	if hop, h, data := r.open(body); hop != len(r.path)-1 || h.Cmd != cell.RelayEstablishRend || h.Stream != 0 || !bytes.Equal(data, cookie[:]) {
		r.t.Fatalf("hop %d, %+v, % x", hop, h, data)
	}
	last := len(r.path) - 1
	if ev, err := r.receive(c, r.send(last, cell.RelayRendEstablished, 0, nil)); err != nil || ev.Kind != RendezvousEstablished {
		r.t.Fatalf("%v %v", ev, err)
	}
	if ev, err := r.receive(c, r.send(last, cell.RelayRendezvous2, 0, []byte("half a handshake"))); err != nil || ev.Kind != Rendezvous || string(ev.Data) != "half a handshake" {
		r.t.Fatalf("%v %v", ev, err)
	}
}

// A stream to the service: BEGIN with the port alone, both ways encrypted end to end, and
// flow control between client and service by itself.
func TestJoined(t *testing.T) {
	for _, inc := range []int{0, 20} {
		r := newRelays(t, 3)
		if inc > 0 { // Counter Galois Onion below, tor1 to the service (rend-spec-v3 §4.2.1)
			r.grant = []byte{1, handshake.ExtCCResponse, 1, 31}
			for i := range r.path {
				r.path[i].CongestionControl, r.path[i].CGO = true, true
			}
		}
		c := r.build()
		r.meet(c)
		s := r.join(c, inc)
		if c.CongestionControl() != (inc > 0) {
			t.Error("congestion control")
		}
		if _, _, err := c.Begin(nil, "a.test:80", 0); !errors.Is(err, ErrNotOpen) {
			t.Errorf("a stream to elsewhere: %v", err)
		}
		out, id, err := c.BeginOnion(nil, 8080)
		if err != nil {
			t.Fatal(err)
		}
		if h, data := s.read(out); h.Cmd != cell.RelayBegin || h.Stream != id || string(data) != ":8080\x00" {
			t.Fatalf("%+v %q", h, data)
		}
		if ev, err := r.receive(c, s.send(cell.RelayConnected, id, nil)); err != nil || ev.Kind != Connected {
			t.Fatalf("%v %v", ev, err)
		}
		every := inc
		if inc == 0 {
			every = circuitIncrement
		}
		for n := 1; n <= 2*every; n++ {
			out, ev, err := c.Receive(nil, cell.Relay, s.send(cell.RelayData, id, []byte("x")))
			if err != nil || ev.Kind != Data {
				t.Fatalf("cell %d: %v %v", n, ev, err)
			}
			if (len(out) > 0) != (n%every == 0) {
				t.Fatalf("cell %d: %d bytes out", n, len(out))
			}
			if len(out) > 0 {
				tag := s.stack.ForwardTag(0)
				if h, data := s.read(out); h.Cmd != cell.RelaySendme || h.Stream != 0 || !bytes.Equal(data[3:], tag.Bytes()) {
					t.Fatalf("%+v % x", h, data)
				}
			}
		}
		// What we send is acknowledged with the digest that the service saw.
		var tag relaycrypto.Tag
		for n := 1; n <= every; n++ {
			out, sent := c.Send(nil, id, []byte("y"), 1)
			if sent != 1 {
				t.Fatalf("cell %d is held back", n)
			}
			s.read(out)
			tag = s.stack.BackwardTag(0)
		}
		if ev, err := r.receive(c, s.send(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes()))); err != nil || ev.Kind != MayPackage {
			t.Fatalf("%v %v", ev, err)
		}
	}
}

// What may come, from whom, and when: everything else closes the circuit.
func TestOnionViolations(t *testing.T) {
	type step func(r *relays, c *Circuit) []byte
	from := func(hop int, command cell.RelayCommand, id cell.StreamID) step {
		return func(r *relays, _ *Circuit) []byte { return r.send(hop, command, id, []byte("data")) }
	}
	establish := func(t *testing.T, r *relays, c *Circuit) {
		if _, err := c.EstablishRendezvous(nil, [20]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	introduce := func(t *testing.T, r *relays, c *Circuit) {
		if _, err := c.Introduce(nil, []byte("message")); err != nil {
			t.Fatal(err)
		}
	}
	none := func(*testing.T, *relays, *Circuit) {}
	met := func(_ *testing.T, r *relays, c *Circuit) { r.meet(c) }
	joined := func(_ *testing.T, r *relays, c *Circuit) { r.meet(c); r.join(c, 0) }
	acked := func(t *testing.T, r *relays, c *Circuit) {
		introduce(t, r, c)
		if ev, err := r.receive(c, r.send(2, cell.RelayIntroduceAck, 0, []byte{0, 0, 0})); err != nil || ev.Kind != IntroduceAck {
			t.Fatal(ev, err)
		}
	}
	for name, tt := range map[string]struct {
		before func(*testing.T, *relays, *Circuit)
		cell   step
	}{
		"RENDEZVOUS_ESTABLISHED unasked":             {none, from(2, cell.RelayRendEstablished, 0)},
		"RENDEZVOUS2 unasked":                        {none, from(2, cell.RelayRendezvous2, 0)},
		"INTRODUCE_ACK unasked":                      {none, from(2, cell.RelayIntroduceAck, 0)},
		"RENDEZVOUS2 before RENDEZVOUS_ESTABLISHED":  {establish, from(2, cell.RelayRendezvous2, 0)},
		"INTRODUCE_ACK on a rendezvous":              {establish, from(2, cell.RelayIntroduceAck, 0)},
		"RENDEZVOUS_ESTABLISHED from the middle":     {establish, from(1, cell.RelayRendEstablished, 0)},
		"RENDEZVOUS_ESTABLISHED of a stream":         {establish, from(2, cell.RelayRendEstablished, 1)},
		"RENDEZVOUS_ESTABLISHED on an introduction":  {introduce, from(2, cell.RelayRendEstablished, 0)},
		"RENDEZVOUS2 on an introduction":             {introduce, from(2, cell.RelayRendezvous2, 0)},
		"two INTRODUCE_ACK":                          {acked, from(2, cell.RelayIntroduceAck, 0)},
		"two RENDEZVOUS2":                            {met, from(2, cell.RelayRendezvous2, 0)},
		"RENDEZVOUS2 when joined":                    {joined, from(2, cell.RelayRendezvous2, 0)},
		"DATA of the rendezvous point when joined":   {joined, from(2, cell.RelayData, 1)},
		"INTRODUCE2, which only services get":        {introduce, from(2, cell.RelayIntroduce2, 0)},
		"INTRO_ESTABLISHED, which only services get": {introduce, from(2, cell.RelayIntroEstablished, 0)},
		"CONNECTED on an introduction":               {introduce, from(2, cell.RelayConnected, 1)},
		"SENDME of the rendezvous point when joined": {joined, from(2, cell.RelaySendme, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelays(t, 3)
			c := r.build()
			tt.before(t, r, c)
			_, _, err := c.Receive(nil, cell.Relay, tt.cell(r, c))
			var e *Error
			if !errors.As(err, &e) || e.Reason != cell.DestroyProtocol || c.State() != Closed {
				t.Errorf("%v", err)
			}
		})
	}
}

// What the owner may ask for, and when.
func TestOnionOrder(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	if err := c.Join(handshake.HSKeyMaterial{}, congestion.Params{}, 0); !errors.Is(err, ErrNotOpen) {
		t.Errorf("joined with nobody: %v", err)
	}
	if _, _, err := c.BeginOnion(nil, 80); !errors.Is(err, ErrNotOpen) {
		t.Errorf("BEGIN to nobody: %v", err)
	}
	if _, err := c.Introduce(nil, make([]byte, cell.MaxRelayData+1)); !errors.Is(err, cell.ErrRelayLength) {
		t.Errorf("a message that is too long: %v", err)
	}
	if _, err := c.Introduce(nil, []byte("m")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Introduce(nil, []byte("m")); !errors.Is(err, ErrNotOpen) {
		t.Errorf("a second introduction: %v", err)
	}
	if _, err := c.EstablishRendezvous(nil, [20]byte{}); !errors.Is(err, ErrNotOpen) {
		t.Errorf("a rendezvous with the introduction point: %v", err)
	}
	for what, begin := range map[string]func() error{
		"a stream":    func() error { _, _, err := c.Begin(nil, "a.test:80", 0); return err },
		"a directory": func() error { _, _, err := c.BeginDir(nil); return err },
		"a question":  func() error { _, _, err := c.Resolve(nil, "a.test"); return err },
	} {
		if err := begin(); !errors.Is(err, ErrNotOpen) {
			t.Errorf("%s of the introduction point: %v", what, err)
		}
	}
	r = newRelays(t, 3)
	c = r.build()
	if _, _, err := c.BeginDir(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EstablishRendezvous(nil, [20]byte{}); !errors.Is(err, ErrNotOpen) {
		t.Errorf("a rendezvous on a circuit that has carried a stream: %v", err)
	}
}

// The guard may stand in a path again, but only where another relay would else be its
// neighbour: as the fourth hop.
func TestGuardAgain(t *testing.T) {
	for hops, want := range map[int]bool{3: false, 4: true, 5: true} {
		r := newRelays(t, hops)
		r.path[hops-1].RSA = r.path[0].RSA
		_, err := NewCircuit(Config{ID: 1 << 31, Path: r.path, Rand: rand.Reader})
		if (err == nil) != want {
			t.Errorf("%d hops: %v", hops, err)
		}
	}
	r := newRelays(t, 5)
	r.path[4].RSA = r.path[1].RSA
	if _, err := NewCircuit(Config{ID: 1 << 31, Path: r.path, Rand: rand.Reader}); !errors.Is(err, ErrConfig) {
		t.Errorf("the second hop again: %v", err)
	}
}
