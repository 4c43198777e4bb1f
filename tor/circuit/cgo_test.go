package circuit

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// galois are relays of which those named offer Counter Galois Onion, too.
func galois(t *testing.T, hops ...int) *relays {
	t.Helper()
	r := congested(t)
	for _, hop := range hops {
		r.path[hop].CGO = true
	}
	return r
}

// Whichever hops speak it: each is told so in the facts, and data goes both ways whole, in
// full cells of the last hop's format.
func TestEachMixOfHops(t *testing.T) {
	for mix := range 8 {
		t.Run(fmt.Sprintf("%03b", mix), func(t *testing.T) {
			var with []int
			for hop := range 3 {
				if mix>>hop&1 == 1 {
					with = append(with, hop)
				}
			}
			r := galois(t, with...)
			c := r.build()
			if c.CGOHops() != len(with) {
				t.Errorf("%d hops with CGO, want %d", c.CGOHops(), len(with))
			}
			for hop := range 3 {
				if got := c.Facts(hop + 1); got != (Facts{HandshakeNtor3, true, r.path[hop].CGO}) {
					t.Errorf("hop %d: %+v", hop+1, got)
				}
			}
			full := cell.MaxRelayData
			if r.path[2].CGO {
				full = cell.MaxRelayDataV1
			}
			id := r.stream(c)
			up := make([]byte, 10*full+1)
			_, _ = rand.Read(up)
			out, n := c.Send(nil, id, up, 100)
			if n != len(up) || len(out) != 11*cell.FixedLen {
				t.Fatalf("%d bytes in %d cells", n, len(out)/cell.FixedLen)
			}
			headers, data := r.sent(out)
			if got := bytes.Join(data, nil); !bytes.Equal(got, up) || headers[0] != (cell.RelayHeader{Cmd: cell.RelayData, Stream: id, Length: full}) {
				t.Fatalf("%+v, %d bytes", headers[0], len(got))
			}
			for range 100 {
				down := make([]byte, full)
				_, _ = rand.Read(down)
				out, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelayData, id, down))
				if err != nil || ev.Kind != Data || ev.Stream != id || !bytes.Equal(ev.Data, down) {
					t.Fatalf("%v, %v", ev.Kind, err)
				}
				r.sent(out)
			}
			if out, err := c.End(nil, id); err != nil {
				t.Fatal(err)
			} else if headers, _ := r.sent(out); headers[0].Cmd != cell.RelayEnd {
				t.Fatal(headers)
			}
		})
	}
}

// Proposal 359: a SENDME carries the 16 bytes of the tag that the cell had on the wire, both
// ways, and what carries another tag ends the circuit.
func TestSendmesUnderCGO(t *testing.T) {
	r := galois(t, 0, 1, 2)
	c := r.build()
	id := r.stream(c)
	for i := 1; i <= 310; i++ {
		raw := r.send(2, cell.RelayData, id, []byte("data"))
		tag := r.layers[2].BackwardTag()
		out, _, err := c.Receive(nil, cell.Relay, raw)
		if err != nil {
			t.Fatal(err)
		}
		headers, data := r.sent(out)
		if (len(headers) == 1) != (i%31 == 0) {
			t.Fatalf("cell %d: answered %v", i, headers)
		}
		if i%31 == 0 && (headers[0] != cell.RelayHeader{Cmd: cell.RelaySendme, Length: 19} || !bytes.Equal(data[0], append([]byte{1, 0, 16}, tag.Bytes()...))) {
			t.Fatalf("cell %d: answered %v % x", i, headers, data)
		}
	}

	// Tags of every 31st cell that went up.
	send := func() (tags []relaycrypto.Tag) {
		t.Helper()
		out, _ := c.Send(nil, id, make([]byte, 124*cell.MaxRelayDataV1), 124)
		for n := 1; len(out) > 0; n, out = n+1, out[cell.FixedLen:] {
			_, body := r.body(out[:cell.FixedLen])
			r.open(body)
			if n%31 == 0 {
				tags = append(tags, r.layers[2].ForwardTag())
			}
		}
		return tags
	}
	tags := send()
	if len(tags) != 4 {
		t.Fatalf("%d tags of 124 cells", len(tags))
	}
	if _, ev, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tags[0].Bytes()))); err != nil || ev.Kind != MayPackage {
		t.Fatalf("%v, %v", ev.Kind, err)
	}
	for name, tt := range map[string]struct {
		data func(tag []byte) []byte
		want error
	}{
		"another tag":     {func(tag []byte) []byte { tag[15] ^= 1; return cell.AppendSendmeV1(nil, tag) }, ErrSendme},
		"tor1's length":   {func(tag []byte) []byte { return cell.AppendSendmeV1(nil, append(tag, 0, 0, 0, 0)) }, cell.ErrMalformed},
		"without a tag":   {func([]byte) []byte { return nil }, ErrSendme},
		"another version": {func(tag []byte) []byte { return append([]byte{2, 0, 16}, tag...) }, cell.ErrMalformed},
		"cut short":       {func(tag []byte) []byte { return append([]byte{1, 0, 16}, tag[:15]...) }, cell.ErrTruncated},
	} {
		r = galois(t, 0, 1, 2)
		c = r.build()
		id = r.stream(c)
		tags := send()
		if _, _, err := c.Receive(nil, cell.Relay, r.send(2, cell.RelaySendme, 0, tt.data(bytes.Clone(tags[0].Bytes())))); !errors.Is(err, tt.want) || c.State() != Closed {
			t.Errorf("%s: %v, %v", name, err, c.State())
		}
	}
}

// What a relay may not say in format V1, and a cell that was touched, ends the circuit.
func TestViolationsUnderCGO(t *testing.T) {
	plain := func(set func(body []byte)) func(r *relays, id cell.StreamID) []byte {
		return func(r *relays, id cell.StreamID) []byte {
			body := make([]byte, cell.BodyLen)
			cell.RelayV1.Put(body, cell.RelayHeader{Cmd: cell.RelayData, Stream: id, Length: 1})
			set(body)
			return r.sealed(2, body)
		}
	}
	for name, tt := range map[string]struct {
		body func(r *relays, id cell.StreamID) []byte
		want error
	}{
		"an unknown command": {plain(func(b []byte) { b[16] = 99 }), cell.ErrMalformed},
		"a stream's message without a stream": {plain(func(b []byte) {
			binary.BigEndian.PutUint16(b[19:], 0)
		}), cell.ErrMalformed},
		"more data than a cell": {plain(func(b []byte) { binary.BigEndian.PutUint16(b[17:], 489) }), cell.ErrRelayLength},
		"a bit flipped": {func(r *relays, id cell.StreamID) []byte {
			body := r.send(2, cell.RelayData, id, []byte("x"))
			body[300] ^= 4
			return body
		}, ErrUnrecognized},
		"DATA of no stream":         {func(r *relays, id cell.StreamID) []byte { return r.send(2, cell.RelayData, id+1, []byte("x")) }, ErrStreamID},
		"DATA from the middle":      {func(r *relays, id cell.StreamID) []byte { return r.send(1, cell.RelayData, id, []byte("x")) }, ErrUnexpected},
		"EXTENDED2 after the path":  {func(r *relays, _ cell.StreamID) []byte { return r.send(2, cell.RelayExtended2, 0, nil) }, ErrStreamID},
		"a SENDME that none is due": {func(r *relays, _ cell.StreamID) []byte { return r.send(2, cell.RelaySendme, 0, make([]byte, 19)) }, ErrSendme},
	} {
		r := galois(t, 0, 1, 2)
		c := r.build()
		id := r.stream(c)
		if _, _, err := c.Receive(nil, cell.Relay, tt.body(r, id)); !errors.Is(err, tt.want) || c.State() != Closed {
			t.Errorf("%s: %v, %v", name, err, c.State())
		}
	}
	t.Run("a cell sent twice", func(t *testing.T) {
		r := galois(t, 0, 1, 2)
		c := r.build()
		id := r.stream(c)
		body := r.send(2, cell.RelayData, id, []byte("x"))
		again := bytes.Clone(body)
		if _, _, err := c.Receive(nil, cell.Relay, body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Receive(nil, cell.Relay, again); !errors.Is(err, ErrUnrecognized) {
			t.Errorf("%v", err)
		}
	})
}

// A relay that answers a wish for CGO without congestion control, or asks for something
// itself, is refused: what was not asked for may not come.
func TestAnswersToAWishForCGO(t *testing.T) {
	for name, tt := range map[string]struct {
		grant []byte
		want  error
	}{
		"congestion control":         {[]byte{1, 2, 1, 31}, nil},
		"nothing":                    {[]byte{0}, handshake.ErrExtension},
		"the subprotocols back":      {[]byte{2, 2, 1, 31, 3, 2, 2, 6}, handshake.ErrExtension},
		"a request":                  {[]byte{2, 1, 0, 2, 1, 31}, handshake.ErrExtension},
		"something yet unknown":      {[]byte{2, 2, 1, 31, 200, 1, 1}, nil},
		"an increment out of bounds": {[]byte{1, 2, 1, 200}, handshake.ErrExtension},
	} {
		r := galois(t, 0, 1, 2)
		r.grant = tt.grant
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
		_, ev, err := c.Receive(nil, cell.Created2, created)
		if !errors.Is(err, tt.want) || (err == nil) != (ev.Kind == Extended) || (c.State() == Closed) != (tt.want != nil) {
			t.Errorf("%s: %v, %v, %v", name, ev.Kind, err, c.State())
		}
	}
	alone := newRelays(t, 3)
	alone.path[1].CGO = true
	if _, err := NewCircuit(Config{ID: 1 << 31, Path: alone.path, Rand: rand.Reader, FlowParams: testFlow}); !errors.Is(err, ErrConfig) {
		t.Errorf("CGO without congestion control: %v", err)
	}
}

// A name that a cell of format V1 does not hold is refused before anything is sent.
func TestMessageLongerThanACell(t *testing.T) {
	r := galois(t, 2)
	c := r.build()
	long := bytes.Repeat([]byte{'a'}, 485)
	if out, _, err := c.Begin(nil, string(long)+":80", 0); !errors.Is(err, cell.ErrRelayLength) || len(out) > 0 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if _, _, err := c.Begin(nil, string(long[:484])+":80", 0); err != nil {
		t.Error(err)
	}
}

// BenchmarkReceiveDataCGO is BenchmarkReceiveData with Counter Galois Onion at each hop.
func BenchmarkReceiveDataCGO(b *testing.B) { benchmarkReceive(b, galois(&testing.T{}, 0, 1, 2)) }
