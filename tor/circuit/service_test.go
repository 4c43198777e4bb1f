package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
)

// meeting is a client and a service, each with a circuit of three relays, the last of
// which joins them.
type meeting struct {
	t                *testing.T
	client, service  *Circuit
	clients, servers *relays
}

func meet(t *testing.T, inc int) *meeting {
	t.Helper()
	m := &meeting{t: t, clients: newRelays(t, 3), servers: newRelays(t, 3)}
	m.client, m.service = m.clients.build(), m.servers.build()
	var keys handshake.HSKeyMaterial
	for _, k := range []*[32]byte{&keys.Df, &keys.Db, &keys.Kf, &keys.Kb} {
		_, _ = rand.Read(k[:])
	}
	onion := congestion.ParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathOnion, 31)
	m.clients.meet(m.client)
	if err := m.client.Join(keys, onion, inc); err != nil {
		t.Fatal(err)
	}
	out, err := m.service.Meet(nil, []byte("half a handshake"), keys, onion, inc)
	if err != nil {
		t.Fatal(err)
	}
	_, body := m.servers.body(out)
	if hop, h, data := m.servers.open(body); hop != 2 || h.Cmd != cell.RelayRendezvous1 || h.Stream != 0 || string(data) != "half a handshake" {
		t.Fatalf("hop %d, %+v, %q", hop, h, data)
	}
	return m
}

// pass takes cells from one end to the other, and what that answers back.
func (m *meeting) pass(out []byte, from, to *relays, sender, receiver *Circuit) (events []Event) {
	m.t.Helper()
	var bodies [][]byte
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := from.body(out[:cell.FixedLen])
		for _, l := range from.layers {
			if l.Receive(cell.Relay, body) {
				m.t.Fatal("a relay can read it")
			}
		}
		for i := len(to.layers) - 1; i >= 0; i-- {
			to.layers[i].Pass(cell.Relay, body)
		}
		bodies = append(bodies, body)
	}
	for i, body := range bodies {
		var next []byte
		if i+1 < len(bodies) {
			next = bodies[i+1]
		}
		answer, ev, err := receiver.ReceiveBefore(nil, cell.Relay, body, next)
		if err != nil {
			m.t.Fatal(err)
		}
		ev.Data = bytes.Clone(ev.Data)
		events = append(events, ev)
		if len(answer) > 0 {
			m.pass(answer, to, from, receiver, sender)
		}
	}
	return events
}

func (m *meeting) toService(out []byte) []Event {
	m.t.Helper()
	return m.pass(out, m.clients, m.servers, m.client, m.service)
}

func (m *meeting) toClient(out []byte) []Event {
	m.t.Helper()
	return m.pass(out, m.servers, m.clients, m.service, m.client)
}

// raw is a cell that no client of ours would send, as the service gets it.
func (m *meeting) raw(command cell.RelayCommand, id cell.StreamID, data []byte) ([]byte, Event, error) {
	out := m.client.seal(nil, cell.Relay, m.client.stack.Len()-1, cell.RelayHeader{Cmd: command, Stream: id}, data)
	_, body := m.clients.body(out)
	for _, l := range m.clients.layers {
		l.Receive(cell.Relay, body)
	}
	for i := len(m.servers.layers) - 1; i >= 0; i-- {
		m.servers.layers[i].Pass(cell.Relay, body)
	}
	return m.service.Receive(nil, cell.Relay, body)
}

// A client's stream to a service: early data, both directions past every window, the ends.
func TestServing(t *testing.T) {
	for _, inc := range []int{0, 20} {
		m := meet(t, inc)
		if m.service.CongestionControl() != (inc > 0) {
			t.Error("congestion control")
		}
		out, id, err := m.client.BeginOnion(nil, 443)
		if err != nil {
			t.Fatal(err)
		}
		out, n := m.client.Send(out, id, []byte("early"), 1)
		ev := m.toService(out)
		if n != 5 || len(ev) != 2 || ev[0].Kind != Asked || ev[0].Port != 443 || ev[0].Stream != id || string(ev[1].Data) != "early" {
			t.Fatalf("%+v", ev)
		}
		if out, err = m.service.Accept(nil, id); err != nil {
			t.Fatal(err)
		}
		if ev := m.toClient(out); len(ev) != 1 || ev[0].Kind != Connected || ev[0].Addr.IsValid() {
			t.Fatalf("%+v", ev)
		}
		for i := range 1200 { // more than any window
			for _, side := range []struct {
				from, to *Circuit
				pass     func([]byte) []Event
			}{{m.client, m.service, m.toService}, {m.service, m.client, m.toClient}} {
				out, n := side.from.Send(nil, id, []byte{byte(i)}, 1)
				if n != 1 {
					t.Fatalf("increment %d: cell %d is held back", inc, i)
				}
				if ev := side.pass(out); ev[0].Kind != Data || ev[0].Data[0] != byte(i) {
					t.Fatalf("%+v", ev)
				}
				if grant := side.to.Consumed(nil, id, 1, 1); len(grant) > 0 {
					if side.to == m.service {
						m.toClient(grant)
					} else {
						m.toService(grant)
					}
				}
			}
		}
		for range 20 { // as much as goes at once, of which the last cell is not full
			data := bytes.Repeat([]byte{1, 2, 3}, 5000)
			out, n := m.service.Send(nil, id, data, 40)
			var got []byte
			for _, ev := range m.toClient(out) {
				got = append(got, ev.Data...)
			}
			if n == 0 || !bytes.Equal(got, data[:n]) {
				t.Fatalf("increment %d: %d bytes sent, %d came, or others", inc, n, len(got))
			}
			m.toService(m.client.Consumed(nil, id, (n+cell.MaxRelayData-1)/cell.MaxRelayData, n))
		}
		if out, err = m.service.EndFor(nil, id, cell.EndDone); err != nil {
			t.Fatal(err)
		}
		// What is on its way is dropped.
		late, _ := m.client.Send(nil, id, []byte("late"), 1)
		if ev := m.toService(late); ev[0].Kind != None {
			t.Errorf("%+v", ev)
		}
		if ev := m.toClient(out); ev[0].Kind != Ended || ev[0].Reason != cell.EndDone {
			t.Errorf("%+v", ev)
		}
		// A stream that the service refuses, under an id that was used before.
		out = m.client.seal(nil, cell.Relay, m.client.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayBegin, Stream: id}, cell.AppendBeginPort(nil, 22))
		if ev := m.toService(out); ev[0].Kind != Asked || ev[0].Port != 22 || ev[0].Stream != id {
			t.Errorf("%+v", ev)
		}
		if _, err := m.service.EndFor(nil, id, cell.EndDone); err != nil {
			t.Error(err)
		}
		if _, err := m.service.Accept(nil, id); !errors.Is(err, ErrNoStream) {
			t.Errorf("accepted after END: %v", err)
		}
	}
}

// What a client may send to a service, and when: everything else closes the circuit.
func TestServiceViolations(t *testing.T) {
	begun := func(m *meeting) {
		if _, _, err := m.raw(cell.RelayBegin, 7, []byte(":80\x00")); err != nil {
			m.t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		begin   bool
		command cell.RelayCommand
		id      cell.StreamID
		data    string
	}{
		"BEGIN without stream":         {false, cell.RelayBegin, 0, ":80\x00"},
		"BEGIN without port":           {false, cell.RelayBegin, 7, ":0\x00"},
		"BEGIN twice":                  {true, cell.RelayBegin, 7, ":80\x00"},
		"BEGIN_DIR":                    {false, cell.RelayBeginDir, 7, ""},
		"RESOLVE":                      {false, cell.RelayResolve, 7, "a.test\x00"},
		"CONNECTED":                    {true, cell.RelayConnected, 7, ""},
		"RESOLVED":                     {true, cell.RelayResolved, 7, ""},
		"DATA of no stream":            {false, cell.RelayData, 7, "x"},
		"SENDME of a stream unasked":   {true, cell.RelaySendme, 7, ""},
		"SENDME of the circuit":        {false, cell.RelaySendme, 0, ""},
		"EXTEND2":                      {false, cell.RelayExtend2, 0, ""},
		"TRUNCATED":                    {false, cell.RelayTruncated, 0, "\x00"},
		"padding":                      {false, cell.RelayDrop, 0, ""},
		"INTRODUCE2":                   {false, cell.RelayIntroduce2, 0, ""},
		"RENDEZVOUS2":                  {false, cell.RelayRendezvous2, 0, ""},
		"XON without congestion ctrl.": {true, cell.RelayXon, 7, "\x00\x00\x00\x00\x00"},
	} {
		m := meet(t, 0)
		if tt.begin {
			begun(m)
		}
		if _, ev, err := m.raw(tt.command, tt.id, []byte(tt.data)); err == nil || m.service.State() != Closed {
			t.Errorf("%s: %+v, %v", name, ev, err)
		}
	}
	// The rendezvous point has no say any more.
	m := meet(t, 0)
	if _, _, err := m.service.Receive(nil, cell.Relay, m.servers.send(2, cell.RelayBegin, 7, []byte(":80\x00"))); !errors.Is(err, ErrUnexpected) {
		t.Errorf("BEGIN of the rendezvous point: %v", err)
	}
	// And where nobody serves, nobody begins.
	r := newRelays(t, 3)
	c := r.build()
	if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayBegin, 7, []byte(":80\x00"))); err == nil {
		t.Error("an exit begins a stream")
	}
}

func TestIntroductionPoint(t *testing.T) {
	ready := func() (*relays, *Circuit) {
		r := newRelays(t, 3)
		c := r.build()
		if c.KH() == ([20]byte{}) {
			t.Fatal("no KH")
		}
		out, err := c.EstablishIntro(nil, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		_, body := r.body(out)
		if hop, h, data := r.open(body); hop != 2 || h.Cmd != cell.RelayEstablishIntro || string(data) != "message" {
			t.Fatalf("hop %d, %+v, %q", hop, h, data)
		}
		return r, c
	}
	r, c := ready()
	if ev, err := r.receive(c, r.send(2, cell.RelayIntroEstablished, 0, []byte{0})); err != nil || ev.Kind != IntroEstablished {
		t.Fatalf("%+v, %v", ev, err)
	}
	for i := range 3 {
		if ev, err := r.receive(c, r.send(2, cell.RelayIntroduce2, 0, []byte{byte(i)})); err != nil || ev.Kind != Introduce2 || ev.Data[0] != byte(i) {
			t.Fatalf("%+v, %v", ev, err)
		}
	}
	for name, send := range map[string]func(*relays) []byte{
		"INTRODUCE2 before INTRO_ESTABLISHED": func(r *relays) []byte { return r.send(2, cell.RelayIntroduce2, 0, nil) },
		"INTRO_ESTABLISHED from the middle":   func(r *relays) []byte { return r.send(1, cell.RelayIntroEstablished, 0, nil) },
		"INTRODUCE_ACK":                       func(r *relays) []byte { return r.send(2, cell.RelayIntroduceAck, 0, nil) },
		"BEGIN":                               func(r *relays) []byte { return r.send(2, cell.RelayBegin, 7, []byte(":80\x00")) },
	} {
		r, c := ready()
		if _, err := r.receive(c, send(r)); err == nil || c.State() != Closed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.receive(c, r.send(2, cell.RelayIntroEstablished, 0, nil)); err == nil {
		t.Error("INTRO_ESTABLISHED twice")
	}
	// What the owner may not ask for.
	r = newRelays(t, 3)
	c = r.build()
	if _, _, err := c.BeginDir(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EstablishIntro(nil, nil); !errors.Is(err, ErrNotOpen) {
		t.Errorf("with a stream: %v", err)
	}
	if _, err := c.Meet(nil, nil, handshake.HSKeyMaterial{}, congestion.Params{}, 0); !errors.Is(err, ErrNotOpen) {
		t.Errorf("with a stream: %v", err)
	}
	if _, err := c.Accept(nil, 1); !errors.Is(err, ErrNoStream) {
		t.Errorf("accepted on a circuit of a client: %v", err)
	}
	if _, err := c.EndFor(nil, 1, cell.EndDone); !errors.Is(err, ErrNoStream) {
		t.Errorf("a client's reason: %v", err)
	}
}
