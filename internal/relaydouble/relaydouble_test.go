package relaydouble

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

func checkGood(t *testing.T, r *Relay) {
	t.Helper()
	for _, err := range r.Violations() {
		t.Errorf("violation: %v", err)
	}
}

// await waits until the relay has seen what cond wants.
func await(t *testing.T, r *Relay, cond func(Seen) bool) Seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen, err := r.Await(ctx, cond)
	if err != nil {
		t.Fatalf("%v; seen %+v", err, seen)
	}
	return seen
}

func TestCircuitStreamAndEnd(t *testing.T) {
	r := Start(t, Options{})
	c := build(t, r, 3)
	c.begin(7)
	if addr, _, err := cell.ParseConnected(c.wantRelay(cell.RelayConnected, 7)); err != nil || !addr.IsValid() {
		t.Fatalf("CONNECTED with %v, %v", addr, err)
	}
	c.last(cell.RelayData, 7, []byte("there and back"))
	if got := c.wantRelay(cell.RelayData, 7); string(got) != "there and back" {
		t.Fatalf("echo %q", got)
	}
	c.last(cell.RelayEnd, 7, []byte{byte(cell.EndMisc)})
	await(t, r, func(s Seen) bool { return s.Streams == 1 && s.OpenStreams == 0 })
	c.send(cell.AppendFixed(nil, c.id, cell.Destroy, nil))
	s := await(t, r, func(s Seen) bool { return len(s.Destroys) == 1 })
	if s.Links != 1 || s.Circuits != 1 || s.OpenCircuits != 0 || s.Extends != 2 || s.RelayEarly != 2 ||
		s.DataIn != 1 || s.DataOut != 1 || s.BytesIn != 14 || s.Targets[0] != "target.example:80" || len(s.Ends) != 1 {
		t.Errorf("seen %+v", s)
	}
	checkGood(t, r)
}

// Every hop is a relay of its own: one can connect to any and extend in any order.
func TestEnterAnywhere(t *testing.T) {
	r := Start(t, Options{})
	c := connect(t, r, 2)
	result, err := c.link(2)
	if err != nil {
		t.Fatal(err)
	}
	if result.RSA != r.Hops()[2].RSA() || result.Ed25519 != r.Hops()[2].Ed25519() || result.Version != 5 {
		t.Errorf("link %+v", result)
	}
	h := r.Hops()[2]
	ntor, skin, err := handshake.StartNtor(rand.Reader, h.RSA(), h.OnionKey())
	if err != nil {
		t.Fatal(err)
	}
	c.send(cell.AppendFixed(nil, c.id, cell.Create2, cell.AppendCreate2(nil, handshake.TypeNtor, skin)))
	reply, err := cell.ParseCreated2(c.want(cell.Created2))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.addHop(ntor.Finish(reply)); err != nil {
		t.Fatal(err)
	}
	if err := c.extend(0); err != nil {
		t.Fatal(err)
	}
	checkGood(t, r)
}

func TestCreateFastAndDirectory(t *testing.T) {
	r := Start(t, Options{Dir: func(s *Stream) {
		if s.Target() != "" {
			s.EndWith(cell.EndInternal)
			return
		}
		_, _ = s.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
	}})
	c := open(t, r)
	fast, skin, err := handshake.StartFast(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.send(cell.AppendFixed(nil, c.id, cell.CreateFast, skin))
	if err := c.addHop(fast.Finish(c.want(cell.CreatedFast))); err != nil {
		t.Fatal(err)
	}
	c.last(cell.RelayBeginDir, 1, nil)
	if data := c.wantRelay(cell.RelayConnected, 1); len(data) != 0 {
		t.Errorf("CONNECTED of a directory stream with %x", data)
	}
	if got := c.wantRelay(cell.RelayData, 1); !bytes.HasPrefix(got, []byte("HTTP/1.0 200")) {
		t.Errorf("got %q", got)
	}
	if reason, _, _ := cell.ParseEnd(c.wantRelay(cell.RelayEnd, 1)); reason != cell.EndDone {
		t.Errorf("END %v", reason)
	}
	if s := r.Seen(); s.CreateFast != 1 {
		t.Errorf("seen %+v", s)
	}
	checkGood(t, r)
}

// A download of several windows: the client acknowledges with true tags (section
// 7.3.1), the relay checks each, and every byte is the source's.
func TestDownloadWindowsAndTags(t *testing.T) {
	const size = 2500*cell.MaxRelayData + 17
	r := Start(t, Options{Handler: Source(size)})
	c := build(t, r, 3)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	total, cells := 0, 0
	for {
		_, h, data, err := c.nextRelay()
		if err != nil {
			t.Fatal(err)
		}
		if h.Cmd == cell.RelayEnd {
			break
		}
		for i, b := range data {
			if b != byte((total+i)%251) {
				t.Fatalf("byte %d is %d", total+i, b)
			}
		}
		total += len(data)
		cells++
		if cells%circIncrement == 0 {
			tag := c.stack.BackwardTag(2)
			c.last(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes()))
		}
		if cells%streamIncrement == 0 {
			c.last(cell.RelaySendme, 1, nil)
		}
	}
	if total != size {
		t.Errorf("%d bytes, want %d", total, size)
	}
	s := await(t, r, func(s Seen) bool { return s.CircuitSendmes == cells/circIncrement && s.OpenStreams == 0 })
	if int(s.DataOut) != cells || s.BytesOut != size {
		t.Errorf("seen %+v", s)
	}
	checkGood(t, r)
}

// Without SENDMEs a download stops at the stream's window, and two streams stop at
// the circuit's.
func TestDownloadStopsAtWindow(t *testing.T) {
	r := Start(t, Options{Handler: Source(-1)})
	c := build(t, r, 2)
	for id := cell.StreamID(1); id <= 3; id++ {
		c.begin(id)
	}
	perStream := map[cell.StreamID]int{}
	total := 0
	for total < circWindow {
		_, h, _, err := c.nextRelay()
		if err != nil {
			t.Fatal(err)
		}
		if h.Cmd == cell.RelayData {
			perStream[h.Stream]++
			total++
		}
	}
	for id, n := range perStream {
		if n > streamWindow {
			t.Errorf("stream %v got %d cells", id, n)
		}
	}
	// A DROP goes through regardless, and its effect proves that no DATA follows.
	c.last(cell.RelayDrop, 0, nil)
	if s := await(t, r, func(s Seen) bool { return s.Padding == 1 }); s.DataOut != circWindow {
		t.Errorf("%d DATA cells out, want %d", s.DataOut, circWindow)
	}
	checkGood(t, r)
}

// An upload: the relay's SENDMEs carry the tags that the client remembers.
func TestUploadSendmes(t *testing.T) {
	r := Start(t, Options{Handler: Sink})
	c := build(t, r, 3)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	circuit, stream := circWindow, streamWindow
	var tags []relaycrypto.Tag
	data := make([]byte, cell.MaxRelayData)
	const cells = 2300
	for sent := 0; sent < cells; {
		for ; circuit > 0 && stream > 0 && sent < cells; sent++ {
			c.last(cell.RelayData, 1, data)
			circuit--
			stream--
			if (sent+1)%circIncrement == 0 {
				tags = append(tags, c.stack.ForwardTag(2))
			}
		}
		if sent == cells {
			break
		}
		_, h, got, err := c.nextRelay()
		if err != nil || h.Cmd != cell.RelaySendme {
			t.Fatalf("%v, %v", h.Cmd, err)
		}
		if h.Stream != 0 {
			stream += streamIncrement
			continue
		}
		version, tag, err := cell.ParseSendme(got, cell.SendmeTagLen)
		if err != nil || version != 1 || !bytes.Equal(tag, tags[0].Bytes()) {
			t.Fatalf("SENDME version %d, tag %x, %v; want %x", version, tag, err, tags[0].Bytes())
		}
		tags = tags[1:]
		circuit += circIncrement
	}
	await(t, r, func(s Seen) bool { return s.DataIn == cells })
	checkGood(t, r)
}

// What a client must not do is noticed, recorded and answered.
func TestClientViolations(t *testing.T) {
	tests := map[string]struct {
		do   func(c *client)
		want string
	}{
		"section 7.3.1: SENDME that was not due": {func(c *client) {
			c.last(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, make([]byte, 20)))
		}, "not due"},
		"section 7.3.1: SENDME version 0": {func(c *client) { c.last(cell.RelaySendme, 0, nil) }, "version 0"},
		"section 5.1.2: EXTEND2 in a RELAY cell": {func(c *client) {
			c.last(cell.RelayExtend2, 0, make([]byte, 100))
		}, "RELAY cell"},
		"section 5.1.2: EXTEND2 to the middle": {func(c *client) {
			c.relayCell(cell.RelayEarly, 0, cell.RelayExtend2, 0, nil)
		}, "to hop 1 of 2"},
		"section 5.1.2: malformed EXTEND2": {func(c *client) {
			c.relayCell(cell.RelayEarly, 1, cell.RelayExtend2, 0, []byte{9})
		}, "EXTEND2"},
		"section 5.6: nine RELAY_EARLY cells": {func(c *client) {
			for range maxRelayEarly {
				c.relayCell(cell.RelayEarly, 1, cell.RelayDrop, 0, nil)
			}
		}, "RELAY_EARLY"},
		"section 6.1: unrecognized cell": {func(c *client) {
			c.send(cell.AppendFixed(nil, c.id, cell.Relay, bytes.Repeat([]byte{3}, cell.BodyLen)))
		}, "no hop recognizes"},
		"section 6.1: stream id 0":       {func(c *client) { c.begin(0) }, "stream 0"},
		"section 6.2: stream id in use":  {func(c *client) { c.begin(1); c.begin(1) }, "stream 1"},
		"section 6.2: DATA on no stream": {func(c *client) { c.last(cell.RelayData, 5, []byte("x")) }, "unknown stream 5"},
		"section 6.3: END on no stream":  {func(c *client) { c.last(cell.RelayEnd, 5, []byte{1}) }, "unknown stream 5"},
		"section 6.3: DATA after END": {func(c *client) {
			c.begin(1)
			c.last(cell.RelayEnd, 1, []byte{1})
			c.last(cell.RelayData, 1, []byte("x"))
		}, "unknown stream 1"},
		"section 6.1: backward command":       {func(c *client) { c.last(cell.RelayConnected, 1, nil) }, "CONNECTED"},
		"section 7.4: SENDME before any DATA": {func(c *client) { c.begin(1); c.last(cell.RelaySendme, 1, nil) }, "stream 1 that was not due"},
		"section 7.4: stream window overrun": {func(c *client) {
			c.begin(1)
			for range streamWindow + 1 {
				c.last(cell.RelayData, 1, []byte("x"))
			}
		}, "stream window overrun"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// A handler that never reads: windows are not refilled.
			release := make(chan struct{})
			r := Start(t, Options{Handler: func(s *Stream) { s.Connect(); <-release }})
			t.Cleanup(func() { close(release) })
			c := build(t, r, 2)
			test.do(c)
			for {
				_, h, _, err := c.nextRelay()
				if d := (destroyed{}); errors.As(err, &d) {
					if d.reason != cell.DestroyProtocol {
						t.Errorf("DESTROY %v", d.reason)
					}
					break
				}
				if err != nil || (h.Cmd != cell.RelayConnected && h.Cmd != cell.RelaySendme) {
					t.Fatalf("%v, %v", h.Cmd, err)
				}
			}
			got := r.Violations()
			if len(got) != 1 || !strings.Contains(got[0].Error(), test.want) {
				t.Errorf("violations %v, want one with %q", got, test.want)
			}
		})
	}
}

func TestWrongTagIsRefused(t *testing.T) {
	r := Start(t, Options{Handler: Source(-1)})
	c := build(t, r, 2)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	for range circIncrement {
		c.wantRelay(cell.RelayData, 1)
	}
	tag := c.stack.BackwardTag(1)
	tag.Bytes()[19] ^= 1
	c.last(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes()))
	for {
		_, _, _, err := c.nextRelay()
		if d := (destroyed{}); errors.As(err, &d) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Violations(); len(got) != 1 || !strings.Contains(got[0].Error(), "wrong tag") {
		t.Errorf("violations %v", got)
	}
}

func TestLinkViolations(t *testing.T) {
	tests := map[string]func(c *client){
		"no common version": func(c *client) { c.send(cell.AppendVersions(nil, 1, 2)) },
		"not Tor":           func(c *client) { c.send([]byte("GET / HTTP/1.0\r\n\r\n")) },
		"CREATE2 before NETINFO": func(c *client) {
			c.send(cell.AppendVersions(nil, 4))
			c.send(cell.AppendFixed(nil, c.id, cell.Create2, nil))
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			r := Start(t, Options{})
			do(connect(t, r, 0))
			await(t, r, func(s Seen) bool { return s.OpenConnections == 0 && len(s.Violations) == 1 })
		})
	}
	t.Run("circuit id without top bit", func(t *testing.T) {
		r := Start(t, Options{})
		c := open(t, r)
		c.send(cell.AppendFixed(nil, 5, cell.CreateFast, make([]byte, 20)))
		await(t, r, func(s Seen) bool { return s.OpenConnections == 0 && len(s.Violations) == 1 })
	})
}

// A stale onion key, or a relay that is not there, is no fault of the client.
func TestExtendRefused(t *testing.T) {
	other := Start(t, Options{Hops: 1})
	tests := map[string]struct {
		specs  func(r *Relay) []cell.LinkSpec
		reason cell.DestroyReason
	}{
		"no such relay": {func(*Relay) []cell.LinkSpec { return other.Hops()[0].LinkSpecs() }, cell.DestroyConnectFailed},
		"two identities": {func(r *Relay) []cell.LinkSpec {
			return append(r.Hops()[1].LinkSpecs()[:2], other.Hops()[0].LinkSpecs()[2])
		}, cell.DestroyORIdentity},
		"wrong onion key": {func(r *Relay) []cell.LinkSpec { return r.Hops()[1].LinkSpecs() }, cell.DestroyProtocol},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := Start(t, Options{})
			c := build(t, r, 1)
			_, skin, err := handshake.StartNtor(rand.Reader, r.Hops()[1].RSA(), other.Hops()[0].OnionKey())
			if err != nil {
				t.Fatal(err)
			}
			data, err := cell.AppendExtend2(nil, cell.Extend2{Specs: test.specs(r), HandshakeType: handshake.TypeNtor, Handshake: skin})
			if err != nil {
				t.Fatal(err)
			}
			c.relayCell(cell.RelayEarly, 0, cell.RelayExtend2, 0, data)
			c.wantDestroy(test.reason)
			checkGood(t, r)
		})
	}
}

func TestSplice(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := target.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}()
	t.Cleanup(func() { _ = target.Close(); <-served })
	r := Start(t, Options{Handler: Splice(func(string) (net.Conn, error) { return net.Dial("tcp", target.Addr().String()) })})
	c := build(t, r, 3)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	c.last(cell.RelayData, 1, []byte("through a socket"))
	if got := c.wantRelay(cell.RelayData, 1); string(got) != "through a socket" {
		t.Errorf("got %q", got)
	}
	c.last(cell.RelayEnd, 1, []byte{byte(cell.EndMisc)})
	await(t, r, func(s Seen) bool { return s.OpenStreams == 0 })
	checkGood(t, r)
}

func TestRefuseHandlerPanicAndCloseConnections(t *testing.T) {
	r := Start(t, Options{Handler: Refuse(cell.EndConnectRefused), Dir: func(*Stream) { panic("boom") }})
	c := build(t, r, 1)
	c.begin(1)
	if reason, _, _ := cell.ParseEnd(c.wantRelay(cell.RelayEnd, 1)); reason != cell.EndConnectRefused {
		t.Errorf("END %v", reason)
	}
	c.last(cell.RelayBeginDir, 2, nil)
	c.wantRelay(cell.RelayEnd, 2)
	await(t, r, func(s Seen) bool { return len(s.Violations) == 1 && s.OpenStreams == 0 })
	r.CloseConnections()
	if _, _, _, err := c.next(); err == nil {
		t.Error("connection still open")
	}
	await(t, r, func(s Seen) bool { return s.OpenConnections == 0 && s.OpenCircuits == 0 })
}

func TestAwaitEndsWithContext(t *testing.T) {
	r := Start(t, Options{Hops: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Await(ctx, func(Seen) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
