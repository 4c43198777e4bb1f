package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// congested are relays that offer congestion control and grant it.
func congested(t *testing.T, grant ...byte) *relays {
	t.Helper()
	r := newRelays(t, 3)
	for i := range r.path {
		r.path[i].CongestionControl = true
	}
	if r.grant = grant; grant == nil {
		r.grant = []byte{1, handshake.ExtCCResponse, 1, 31}
	}
	return r
}

// sent gives the relay cells in what the circuit wants sent.
func (r *relays) sent(out []byte) (headers []cell.RelayHeader, data [][]byte) {
	r.t.Helper()
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		_, h, d := r.open(body)
		headers, data = append(headers, h), append(data, bytes.Clone(d))
	}
	return headers, data
}

func TestCongestionControlIsGrantedOrNot(t *testing.T) {
	facts := func(r *relays, want bool, handshake Handshake) {
		t.Helper()
		c := r.build()
		if c.CongestionControl() != want {
			t.Errorf("congestion control: %v, want %v", c.CongestionControl(), want)
		}
		for hop := 1; hop <= c.Hops(); hop++ {
			if got := c.Facts(hop); got != (Facts{Handshake: handshake, CongestionControl: want}) {
				t.Errorf("hop %d: %+v", hop, got)
			}
		}
	}
	facts(congested(t), true, HandshakeNtor3)
	facts(congested(t, 0), false, HandshakeNtor3)
	facts(newRelays(t, 3), false, HandshakeNtor)
	mixed := congested(t)
	mixed.path[2].CongestionControl = false // hops agree, and the last one does not
	if c := mixed.build(); c.CongestionControl() || !c.Facts(1).CongestionControl || c.Facts(3) != (Facts{Handshake: HandshakeNtor}) {
		t.Errorf("%v; %+v, %+v", c.CongestionControl(), c.Facts(1), c.Facts(3))
	}
	for name, grant := range map[string][]byte{
		"out of range": {1, handshake.ExtCCResponse, 1, 63},
		"twice":        {2, handshake.ExtCCResponse, 1, 31, handshake.ExtCCResponse, 1, 31},
		"cut short":    {1, handshake.ExtCCResponse},
	} {
		r := congested(t, grant...)
		c, err := NewCircuit(Config{ID: 1 << 31, Path: r.path, Rand: rand.Reader, FlowParams: testFlow, Now: func() time.Duration { return 0 }})
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
		if _, _, err := c.Receive(nil, cell.Created2, created); !errors.Is(err, handshake.ErrExtension) || c.State() != Closed {
			t.Errorf("%s: %v, %v", name, err, c.State())
		}
	}
	noParams := congested(t)
	if _, err := NewCircuit(Config{ID: 1 << 31, Path: noParams.path, Rand: rand.Reader}); !errors.Is(err, ErrConfig) {
		t.Errorf("congestion control without parameters: %v", err)
	}
}

// A download: the 31st cell earns a SENDME with its digest, and no stream has a window.
func TestDownloadUnderCongestionControl(t *testing.T) {
	r := congested(t)
	c := r.build()
	id := r.stream(c)
	for i := 1; i <= 1000; i++ {
		raw := r.send(2, cell.RelayData, id, []byte("data"))
		tag := r.layers[2].BackwardTag()
		out, ev, err := c.Receive(nil, cell.Relay, raw)
		if err != nil || ev.Kind != Data {
			t.Fatalf("cell %d: %v, %v", i, ev.Kind, err)
		}
		headers, data := r.sent(out)
		if (len(headers) == 1) != (i%31 == 0) {
			t.Fatalf("cell %d: answered %v", i, headers)
		}
		if i%31 == 0 && (headers[0].Cmd != cell.RelaySendme || headers[0].Stream != 0 || !bytes.Equal(data[0], cell.AppendSendmeV1(nil, tag.Bytes()))) {
			t.Fatalf("cell %d: answered %v % x", i, headers, data)
		}
		if out := c.Consumed(nil, id, 1, 4); len(out) > 0 {
			t.Fatalf("cell %d: taking it is told", i)
		}
	}
}

// A slow application stops its stream at the far end, and lets it go on.
func TestSlowApplicationIsToldOf(t *testing.T) {
	const size = cell.MaxRelayDataV1
	r := congested(t)
	c := r.build()
	id := r.stream(c)
	told := func(n int) (commands []cell.RelayCommand) {
		t.Helper()
		for range n {
			out, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayData, id, make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			headers, _ := r.sent(out)
			for _, h := range headers {
				if h.Cmd != cell.RelaySendme {
					commands = append(commands, h.Cmd)
				}
			}
		}
		return commands
	}
	if got := told(499); len(got) != 0 {
		t.Fatalf("told %v with 499 cells waiting", got)
	}
	if got := told(1000); len(got) != 1 || got[0] != cell.RelayXoff {
		t.Fatalf("told %v with more waiting, want one XOFF", got)
	}
	if out := c.Consumed(nil, id, 1373, 1374*size-1); len(out) != 0 {
		t.Error("told with a byte more than a quarter left")
	}
	headers, data := r.sent(c.Consumed(nil, id, 1, 1))
	if len(headers) != 1 || headers[0].Cmd != cell.RelayXon || headers[0].Stream != id || !bytes.Equal(data[0], []byte{0, 0, 0, 0, 0}) {
		t.Errorf("told %v %v, want XON without limit", headers, data)
	}
	if got := told(374); len(got) != 0 {
		t.Errorf("told %v with 499 cells waiting", got)
	}
	if got := told(1); len(got) != 1 || got[0] != cell.RelayXoff {
		t.Errorf("told %v, want XOFF again", got)
	}
	for range 2*testFlow.Congestion.SlowStartMax + 500 {
		if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayData, id, make([]byte, size))); err != nil {
			if !errors.Is(err, ErrWindow) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("an exit that does not stop goes on for ever")
}

// An upload: a window of cells, then what SENDMEs give; XOFF stops a stream.
func TestUploadUnderCongestionControl(t *testing.T) {
	r := congested(t)
	c := r.build()
	id := r.stream(c)
	var tags []relaycrypto.Tag
	count := 0
	upload := func() int {
		t.Helper()
		out, n := c.Send(nil, id, bytes.Repeat([]byte{1}, 2000*cell.MaxRelayData), 2000)
		for ; len(out) > 0; out = out[cell.FixedLen:] {
			_, body := r.body(out[:cell.FixedLen])
			r.open(body)
			if count++; count%31 == 0 {
				tags = append(tags, r.layers[2].ForwardTag())
			}
		}
		return n / cell.MaxRelayData
	}
	if n := upload(); n != 124 {
		t.Fatalf("%d cells at first, want 124", n)
	}
	for i := 0; count < 600; i++ {
		if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tags[i].Bytes()))); err != nil || ev.Kind != MayPackage {
			t.Fatalf("SENDME %d: %v, %v", i, ev.Kind, err)
		}
		if n := upload(); n == 0 {
			t.Fatalf("%d cells after SENDME %d", n, i)
		}
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayXoff, id, cell.AppendXoff(nil))); err != nil || ev.Kind != None || c.Sendable(id) != 0 {
		t.Fatalf("XOFF: %v, %v, %d cells may go", ev.Kind, err, c.Sendable(id))
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayXon, id, cell.AppendXon(nil, 100))); err != nil || ev.Kind != MayPackage || ev.Stream != id {
		t.Fatalf("XON: %v, %v", ev.Kind, err)
	}
}

func TestViolationsUnderCongestionControl(t *testing.T) {
	xoff, xon := cell.AppendXoff(nil), cell.AppendXon(nil, 0)
	for name, tt := range map[string]struct {
		command cell.RelayCommand
		data    []byte
		want    error
	}{
		"stream SENDME":         {cell.RelaySendme, nil, ErrUnexpected},
		"XOFF for nothing sent": {cell.RelayXoff, xoff, ErrUnexpected},
		"XON for nothing sent":  {cell.RelayXon, xon, ErrUnexpected},
		"XOFF of another time":  {cell.RelayXoff, []byte{1}, cell.ErrMalformed},
		"empty XOFF":            {cell.RelayXoff, nil, cell.ErrTruncated},
		"short XON":             {cell.RelayXon, []byte{0, 1}, cell.ErrTruncated},
	} {
		r := congested(t)
		c := r.build()
		id := r.stream(c)
		if _, _, err := c.Receive(nil, cell.Relay, r.send(2, tt.command, id, tt.data)); !errors.Is(err, tt.want) || c.State() != Closed {
			t.Errorf("%s: %v, state %v; want %v", name, err, c.State(), tt.want)
		}
	}
	r := newRelays(t, 3)
	c := r.build()
	if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayXoff, r.stream(c), xoff)); !errors.Is(err, ErrUnexpected) {
		t.Errorf("XOFF without congestion control: %v", err)
	}
	r = congested(t)
	c = r.build()
	_, id, err := c.Resolve(nil, "target.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayXoff, id, xoff)); !errors.Is(err, ErrUnexpected) {
		t.Errorf("XOFF on a question for a name: %v", err)
	}
}
