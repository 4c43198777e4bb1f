package circuit

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// relays is the far side of one circuit, in memory: every hop's keys in one
// place. It proves nothing about the protocol (internal/e2e does, against C
// tor); it lets each state be met by each cell.
type relays struct {
	t      *testing.T
	priv   [][32]byte
	path   []Hop
	layers []*relaycrypto.RelayLayer
	grant  []byte // what each says in ntor-v3
	now    time.Duration
	frozen bool // now stays what it is

	uploaded int // full cells that upload sent
}

// testFlow are the parameters of a consensus that has none.
var testFlow = FlowParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathExit)

func newRelays(t *testing.T, hops int) *relays {
	t.Helper()
	r := &relays{t: t}
	for i := range hops {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		h := Hop{IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(i + 1), 0, 1}), 9001)}
		h.IPv6 = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(i+1))
		h.RSA[0], h.Ed25519[0] = byte(i+1), byte(i+1)
		h.NtorKey = [32]byte(key.PublicKey().Bytes())
		r.priv = append(r.priv, [32]byte(key.Bytes()))
		r.path = append(r.path, h)
	}
	return r
}

// body splits one fixed cell.
func (r *relays) body(raw []byte) (cell.Command, []byte) {
	r.t.Helper()
	_, command, body, n, err := cell.Next(raw)
	if err != nil || n != cell.FixedLen {
		r.t.Fatalf("not a fixed cell: %d, %v", n, err)
	}
	return command, body
}

func (r *relays) serve(hop int, skin []byte) []byte {
	r.t.Helper()
	reply, layer, err := r.shake(hop, skin)
	if err != nil {
		r.t.Fatal(err)
	}
	r.layers = append(r.layers, layer)
	return reply
}

func (r *relays) shake(hop int, skin []byte) ([]byte, *relaycrypto.RelayLayer, error) {
	h := r.path[hop]
	if !h.CongestionControl {
		reply, keys, err := handshake.ServeNtor(rand.Reader, h.RSA, r.priv[hop], skin)
		if err != nil {
			return nil, nil, err
		}
		layer, err := relaycrypto.NewRelayLayer(keys)
		return reply, layer, err
	}
	want := []byte{1, 1, 0}
	if h.CGO {
		want = []byte{2, 1, 0, 3, 2, 2, 6}
	}
	var keys [handshake.CGOKeyMaterialLen]byte
	reply, err := handshake.ServeNtor3(rand.Reader, h.Ed25519, r.priv[hop], handshake.CircuitVerification, skin, func(wish []byte) ([]byte, error) {
		if !bytes.Equal(wish, want) {
			r.t.Errorf("hop %d is asked for % x", hop, wish)
		}
		return r.grant, nil
	}, keys[:])
	if err != nil {
		return nil, nil, err
	}
	if h.CGO {
		cgo := handshake.CGOKeyMaterialOf(&keys)
		layer, err := relaycrypto.NewCGORelayLayer(&cgo)
		return reply, layer, err
	}
	layer, err := relaycrypto.NewRelayLayer(handshake.KeyMaterialOf((*[handshake.KeyMaterialLen]byte)(keys[:])))
	return reply, layer, err
}

// open takes a cell from the client to the hop it is for.
func (r *relays) open(body []byte) (int, cell.RelayHeader, []byte) {
	return r.openAs(cell.Relay, body)
}

func (r *relays) openAs(command cell.Command, body []byte) (int, cell.RelayHeader, []byte) {
	r.t.Helper()
	for hop, l := range r.layers {
		if l.Receive(command, body) {
			h, data, err := l.Format().Parse(body)
			if err != nil {
				r.t.Fatal(err)
			}
			return hop, h, data
		}
	}
	r.t.Fatal("no hop recognises the client's cell")
	return 0, cell.RelayHeader{}, nil
}

// send makes a relay cell from a hop.
func (r *relays) send(hop int, command cell.RelayCommand, id cell.StreamID, data []byte) []byte {
	body := make([]byte, cell.BodyLen)
	space := r.layers[hop].Format().Put(body, cell.RelayHeader{Cmd: command, Stream: id, Length: len(data)})
	copy(space, data)
	return r.sealed(hop, body)
}

// sealed is a hop's plaintext body as it reaches the client.
func (r *relays) sealed(hop int, body []byte) []byte {
	r.layers[hop].Originate(cell.Relay, body)
	for i := hop - 1; i >= 0; i-- {
		r.layers[i].Pass(cell.Relay, body)
	}
	return body
}

// build brings a circuit to Open.
func (r *relays) build() *Circuit {
	r.t.Helper()
	c, err := NewCircuit(Config{
		ID: 1 << 31, Path: r.path, Rand: rand.Reader, FlowParams: testFlow,
		Now: func() time.Duration {
			if !r.frozen {
				r.now += time.Millisecond
			}
			return r.now
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := c.Start(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	command, body := r.body(out)
	if command != cell.Create2 {
		r.t.Fatalf("%v, want CREATE2", command)
	}
	_, skin, err := cell.ParseCreate2(body)
	if err != nil {
		r.t.Fatal(err)
	}
	created := make([]byte, cell.BodyLen)
	copy(created, cell.AppendCreated2(nil, r.serve(0, skin)))
	out, ev, err := c.Receive(nil, cell.Created2, created)
	for hop := 1; hop < len(r.path); hop++ {
		if err != nil || ev.Kind != Extended {
			r.t.Fatalf("hop %d: %v, %v", hop, ev.Kind, err)
		}
		command, body := r.body(out)
		if command != cell.RelayEarly {
			r.t.Fatalf("EXTEND2 in %v", command)
		}
		_, h, data := r.openAs(command, body)
		ext, perr := cell.ParseExtend2(data)
		if perr != nil || h.Cmd != cell.RelayExtend2 {
			r.t.Fatalf("%v, %v", h.Cmd, perr)
		}
		// As C tor's clients do: no IPv6 address.
		next := r.path[hop]
		want := []cell.LinkSpec{cell.AddrSpec(next.IPv4), cell.RSASpec(next.RSA), cell.Ed25519Spec(next.Ed25519)}
		if !reflect.DeepEqual(ext.Specs, want) {
			r.t.Fatalf("link specifiers %v, want %v", ext.Specs, want)
		}
		reply := cell.AppendCreated2(nil, r.serve(hop, ext.Handshake))
		out, ev, err = c.Receive(nil, cell.Relay, r.send(hop-1, cell.RelayExtended2, 0, reply))
	}
	if err != nil || ev.Kind != Opened || c.State() != Open {
		r.t.Fatalf("%v, %v, state %v", ev.Kind, err, c.State())
	}
	return c
}

// stream opens a stream and has it connected.
func (r *relays) stream(c *Circuit) cell.StreamID {
	r.t.Helper()
	out, id, err := c.Begin(nil, "target.test:80", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	_, body := r.body(out)
	if hop, h, _ := r.open(body); hop != len(r.path)-1 || h.Cmd != cell.RelayBegin || h.Stream != id {
		r.t.Fatalf("hop %d, %+v", hop, h)
	}
	_, ev, err := c.Receive(nil, cell.Relay, r.send(hop(r), cell.RelayConnected, id, nil))
	if err != nil || ev.Kind != Connected {
		r.t.Fatalf("%v, %v", ev.Kind, err)
	}
	return id
}

func hop(r *relays) int { return len(r.path) - 1 }

// Behind its data a cell has four zero bytes and random ones to its end, as other clients'
// have (tor-spec §6.1): a hop that reads it learns nothing of who made it.
func TestRandomBehindTheData(t *testing.T) {
	for name, r := range map[string]*relays{"tor1": newRelays(t, 3), "CGO": galois(t, 0, 1, 2)} {
		c := r.build()
		id := r.stream(c)
		var before []byte
		for n := range 20 {
			out, sent := c.Send(nil, id, make([]byte, n+1), 1)
			_, body := r.body(out)
			_, h, data := r.open(body)
			if sent != n+1 || h.Length != n+1 {
				t.Fatalf("%s: %d bytes taken, %+v", name, sent, h)
			}
			behind := data[len(data):cap(data)]
			behind = behind[:len(body)-(cap(body)-cap(behind))]
			if zeros := len(behind) - len(bytes.TrimLeft(behind, "\x00")); zeros < 4 || len(behind) < 400 {
				t.Errorf("%s: %d zero bytes of %d", name, zeros, len(behind))
			}
			for at := 4; at+16 <= len(behind); at += 16 {
				if bytes.Count(behind[at:at+16], []byte{0}) > 8 {
					t.Errorf("%s: no random bytes at %d: % x", name, at, behind)
					break
				}
			}
			if bytes.Equal(behind[len(behind)-16:], before) {
				t.Errorf("%s: the same random bytes twice", name)
			}
			before = bytes.Clone(behind[len(behind)-16:])
		}
	}
}

// DATA may follow BEGIN at once (optimistic data, proposal 174), but no question for a
// name; what comes back before CONNECTED is refused all the same.
func TestDataBeforeConnected(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	out, id, err := c.Begin(nil, "target.test:80", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, body := r.body(out)
	r.open(body)
	out, n := c.Send(nil, id, []byte("early"), 10)
	_, body = r.body(out)
	if hop, h, data := r.open(body); n != 5 || hop != 2 || h.Cmd != cell.RelayData || h.Stream != id || string(data) != "early" {
		t.Errorf("%d sent, at hop %d: %+v %q", n, hop, h, data)
	}
	_, name, err := c.Resolve(nil, "target.test")
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Sendable(name); n != 0 {
		t.Errorf("%d cells may follow RESOLVE", n)
	}
}

func TestDataBothWaysWithWindows(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	id := r.stream(c)
	// Down: the hundredth DATA cell earns a SENDME with that cell's digest
	// (tor-spec §7.3), the application's reading earns stream SENDMEs (§7.4).
	payload := bytes.Repeat([]byte{7}, cell.MaxRelayData)
	for i := 1; i <= 100; i++ {
		raw := r.send(2, cell.RelayData, id, payload)
		tag := r.layers[2].BackwardTag()
		out, ev, err := c.Receive(nil, cell.Relay, raw)
		if err != nil || ev.Kind != Data || !bytes.Equal(ev.Data, payload) {
			t.Fatalf("cell %d: %v, %v", i, ev.Kind, err)
		}
		if (len(out) > 0) != (i == 100) {
			t.Fatalf("cell %d: %d bytes answered", i, len(out))
		}
		if i < 100 {
			continue
		}
		_, body := r.body(out)
		_, h, data := r.open(body)
		version, got, err := cell.ParseSendme(data, cell.SendmeTagLen)
		if err != nil || h.Cmd != cell.RelaySendme || h.Stream != 0 || version != 1 || !bytes.Equal(got, tag.Bytes()) {
			t.Fatalf("SENDME %+v version %d tag %x, want %x", h, version, got, tag.Bytes())
		}
	}
	out := c.Consumed(nil, id, 120, 120)
	if len(out) != 2*cell.FixedLen {
		t.Fatalf("%d bytes of stream SENDMEs for 120 cells read, want two cells", len(out))
	}
	for ; len(out) > 0; out = out[cell.FixedLen:] { // the relay reads them, to stay in step
		_, body := r.body(out[:cell.FixedLen])
		r.open(body)
	}

	// Up: the stream's window is 500 cells, then nothing goes.
	big := bytes.Repeat([]byte{9}, 600*cell.MaxRelayData)
	out, n := c.Send(nil, id, big, 1000)
	if n != 500*cell.MaxRelayData || c.Sendable(id) != 0 {
		t.Fatalf("sent %d bytes, %d more cells may go", n, c.Sendable(id))
	}
	var tags []relaycrypto.Tag
	for i := 1; len(out) > 0; i, out = i+1, out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		r.open(body)
		if i%100 == 0 {
			tags = append(tags, r.layers[2].ForwardTag())
		}
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tags[0].Bytes()))); err != nil || ev.Kind != MayPackage {
		t.Fatalf("SENDME with the right digest: %v, %v", ev.Kind, err)
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, id, nil)); err != nil || ev.Kind != MayPackage || c.Sendable(id) != 50 {
		t.Fatalf("stream SENDME: %v, %v, %d cells may go", ev.Kind, err, c.Sendable(id))
	}
}

// Default deny: what a hostile relay may send, and the sentinel that names it.
func TestViolationsCloseTheCircuit(t *testing.T) {
	full := bytes.Repeat([]byte{1}, cell.MaxRelayData)
	tests := map[string]struct {
		cells func(r *relays, c *Circuit, id cell.StreamID) (cell.Command, [][]byte)
		want  error
	}{
		"unrecognised": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{bytes.Repeat([]byte{1}, cell.BodyLen)}
		}, ErrUnrecognized},
		"RELAY_EARLY inbound": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.RelayEarly, [][]byte{r.send(2, cell.RelayData, id, full)}
		}, ErrUnexpected},
		"second CREATED2": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Created2, [][]byte{make([]byte, cell.BodyLen)}
		}, ErrUnexpected},
		"EXTENDED2 when open": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayExtended2, 0, nil)}
		}, ErrStreamID},
		"DATA from the middle": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(1, cell.RelayData, id, full)}
		}, ErrUnexpected},
		"DATA for no stream": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayData, id+1, full)}
		}, ErrStreamID},
		"empty DATA": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayData, id, nil)}
		}, ErrEmptyData},
		"second CONNECTED": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayConnected, id, nil)}
		}, ErrUnexpected},
		"RESOLVED on a connection": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayResolved, id, nil)}
		}, ErrUnexpected},
		"SENDME for nothing sent": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, make([]byte, 20)))}
		}, ErrSendme},
		"stream SENDME for nothing sent": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelaySendme, id, nil)}
		}, ErrWindow},
		"stream window overrun": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			var cells [][]byte
			for range 501 {
				cells = append(cells, r.send(2, cell.RelayData, id, full))
			}
			return cell.Relay, cells
		}, ErrWindow},
		"padding nobody asked for": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(1, cell.RelayDrop, 0, nil)}
		}, ErrPadding},
		"TRUNCATED": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(0, cell.RelayTruncated, 0, []byte{8})}
		}, ErrTruncated},
		"DESTROY": {func(r *relays, _ *Circuit, _ cell.StreamID) (cell.Command, [][]byte) {
			return cell.Destroy, [][]byte{{9}}
		}, ErrDestroyed},
		"conflux unasked": {func(r *relays, _ *Circuit, id cell.StreamID) (cell.Command, [][]byte) {
			return cell.Relay, [][]byte{r.send(2, cell.RelayCommand(20), id, nil)}
		}, ErrUnexpected},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRelays(t, 3)
			c := r.build()
			command, cells := tt.cells(r, c, r.stream(c))
			var err error
			for i, body := range cells {
				if _, _, err = c.Receive(nil, command, body); err != nil && i < len(cells)-1 {
					t.Fatalf("cell %d of %d: %v", i+1, len(cells), err)
				}
			}
			if !errors.Is(err, tt.want) || c.State() != Closed {
				t.Fatalf("err %v, state %v; want %v and closed", err, c.State(), tt.want)
			}
			if _, _, err := c.Receive(nil, cell.Relay, make([]byte, cell.BodyLen)); !errors.Is(err, ErrClosed) {
				t.Errorf("a closed circuit takes a cell: %v", err)
			}
			silent := errors.Is(tt.want, ErrDestroyed)
			if out := c.Destroy(nil); (len(out) == 0) != silent {
				t.Errorf("%d bytes of DESTROY", len(out))
			}
		})
	}
}

func TestWrongSendmeDigest(t *testing.T) {
	r := newRelays(t, 1)
	c := r.build()
	id := r.stream(c)
	out, _ := c.Send(nil, id, make([]byte, 100*cell.MaxRelayData), 100)
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		r.open(body)
	}
	_, _, err := c.Receive(nil, cell.Relay, r.send(0, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, make([]byte, 20))))
	if !errors.Is(err, ErrSendme) {
		t.Fatalf("err %v, want ErrSendme", err)
	}
}

// tor-spec §6.3: after our END, what was on its way is counted and dropped.
func TestHalfClosedStream(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	id := r.stream(c)
	out, err := c.End(nil, id)
	if err != nil {
		t.Fatal(err)
	}
	_, body := r.body(out)
	if _, h, data := r.open(body); h.Cmd != cell.RelayEnd || !bytes.Equal(data, []byte{byte(cell.EndMisc)}) {
		t.Fatalf("%+v %v: a client's END says MISC", h, data)
	}
	for _, m := range [][]byte{r.send(2, cell.RelayData, id, []byte("late")), r.send(2, cell.RelayEnd, id, []byte{6})} {
		if _, ev, err := c.Receive(nil, cell.Relay, m); err != nil || ev.Kind != None {
			t.Fatalf("%v, %v", ev.Kind, err)
		}
	}
	if n := c.Counters().Dropped; n != 2 {
		t.Errorf("%d cells dropped, want 2", n)
	}
	if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayData, id, []byte("later"))); !errors.Is(err, ErrStreamID) {
		t.Errorf("DATA after END: %v", err)
	}
}

func TestResolve(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	out, id, err := c.Resolve(nil, "Target.test")
	if err != nil {
		t.Fatal(err)
	}
	_, body := r.body(out)
	if _, h, data := r.open(body); h.Cmd != cell.RelayResolve || string(data) != "target.test\x00" {
		t.Fatalf("%+v %q", h, data)
	}
	want := netip.MustParseAddr("192.0.2.1")
	_, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayResolved, id, cell.AppendResolved(nil, 60, want)))
	if err != nil || ev.Kind != Resolved || len(ev.Answers) != 1 || ev.Answers[0].Addr != want {
		t.Fatalf("%+v, %v", ev, err)
	}
}

func TestWrongNtorReply(t *testing.T) {
	r := newRelays(t, 3)
	c, err := NewCircuit(Config{ID: 1, Path: r.path, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	forged := make([]byte, cell.BodyLen)
	reply := make([]byte, 64)
	copy(reply, r.path[1].NtorKey[:])
	copy(forged, cell.AppendCreated2(nil, reply))
	_, _, err = c.Receive(nil, cell.Created2, forged)
	if !errors.Is(err, handshake.ErrAuth) || c.State() != Closed {
		t.Fatalf("err %v, state %v", err, c.State())
	}
}

func TestBadPaths(t *testing.T) {
	r := newRelays(t, 3)
	for name, path := range map[string][]Hop{
		"none": nil, "too long": make([]Hop, 9), "twice": {r.path[0], r.path[1], r.path[0]},
		"no key": {r.path[0], {RSA: [20]byte{9}, IPv4: r.path[1].IPv4}}, "no address": {r.path[0], {RSA: [20]byte{9}, NtorKey: r.path[1].NtorKey}},
	} {
		if _, err := NewCircuit(Config{ID: 1, Path: path, Rand: rand.Reader}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No allocation a cell on the data path.
func BenchmarkReceiveData(b *testing.B) { benchmarkReceive(b, congested(&testing.T{})) }

func benchmarkReceive(b *testing.B, r *relays) {
	c := r.build()
	id := r.stream(c)
	payload := make([]byte, cell.MaxRelayDataV1)
	cells := make([][]byte, 1000)
	out := make([]byte, 0, 64*cell.FixedLen)
	b.ReportAllocs()
	b.SetBytes(cell.FixedLen)
	for i := 0; i < b.N; {
		b.StopTimer()
		for j := range cells {
			cells[j] = r.send(2, cell.RelayData, id, payload)
		}
		b.StartTimer()
		for j := 0; j < len(cells) && i < b.N; j, i = j+1, i+1 {
			var err error
			if out, _, err = c.Receive(out[:0], cell.Relay, cells[j]); err != nil {
				b.Fatal(err)
			}
			out = c.Consumed(out, id, 1, len(payload))
		}
		if i >= b.N {
			return
		}
	}
}
