package relaydouble

import (
	"bytes"
	"crypto/rand"
	"testing"

	"chive/tor/cell"
	"chive/tor/circuit"
)

// The double and the product's circuit agree: a download and an upload of several
// windows, with the SENDMEs of both ends.
func TestProductCircuit(t *testing.T) {
	const size = 1 << 20
	r := Start(t, Options{Handler: func(s *Stream) {
		if s.Target() == "source.example:80" {
			Source(size)(s)
			return
		}
		Sink(s)
	}})
	c := open(t, r)
	path := make([]circuit.Hop, 0, 3)
	for _, h := range r.Hops() {
		path = append(path, circuit.Hop{RSA: h.RSA(), Ed25519: h.Ed25519(), NtorKey: h.OnionKey(), IPv4: h.Addr()})
	}
	circ, err := circuit.NewCircuit(circuit.Config{ID: c.id, Path: path, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	out, err := circ.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.send(out)
	// until feeds cells to the circuit until one means what is wanted.
	until := func(kind circuit.EventKind, each func(circuit.Event)) {
		t.Helper()
		for {
			_, cmd, body, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			reply, event, err := circ.Receive(nil, cmd, body)
			if err != nil {
				t.Fatal(err)
			}
			if event.Kind == circuit.Data {
				reply = circ.Consumed(reply, event.Stream, 1)
			}
			if len(reply) > 0 {
				c.send(reply)
			}
			if each != nil {
				each(event)
			}
			if event.Kind == kind {
				return
			}
		}
	}
	until(circuit.Opened, nil)

	begin := func(target string) cell.StreamID {
		t.Helper()
		out, id, err := circ.Begin(nil, target, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.send(out)
		return id
	}
	begin("source.example:80")
	var got bytes.Buffer
	until(circuit.Ended, func(e circuit.Event) {
		if e.Kind == circuit.Data {
			got.Write(e.Data)
		}
	})
	for i, b := range got.Bytes() {
		if b != byte(i%251) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	if got.Len() != size {
		t.Fatalf("%d bytes, want %d", got.Len(), size)
	}

	id := begin("sink.example:80")
	until(circuit.Connected, nil)
	for left := make([]byte, size); len(left) > 0; {
		out, n := circ.Send(nil, id, left, cellsPerRecord)
		if n == 0 {
			until(circuit.MayPackage, nil)
			continue
		}
		c.send(out)
		left = left[n:]
	}
	await(t, r, func(s Seen) bool { return s.BytesIn == size })
	checkGood(t, r)
}
