package relaydouble

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/congestion"
)

// The double and the product's circuit agree: a download and an upload of several
// windows, with the SENDMEs of both ends.
func TestProductCircuit(t *testing.T) {
	for name, tt := range map[string]struct {
		increment int
		cgo       [3]bool
	}{
		"fixed windows": {}, "congestion control": {increment: 31}, "the least that can be granted": {increment: 30}, "the most": {increment: 32},
		"Counter Galois Onion": {31, [3]bool{true, true, true}}, "at the exit only": {31, [3]bool{2: true}}, "but at the exit": {31, [3]bool{true, true, false}},
	} {
		t.Run(name, func(t *testing.T) { productCircuit(t, tt.increment, tt.cgo) })
	}
}

func productCircuit(t *testing.T, increment int, cgo [3]bool) {
	const size = 1 << 20
	r := Start(t, Options{SendmeIncrement: increment, CGO: true, Handler: func(s *Stream) {
		if s.Target() == "source.example:80" {
			Source(size)(s)
			return
		}
		Sink(s)
	}})
	c := open(t, r)
	path := make([]circuit.Hop, 0, 3)
	speak := 0
	for i, h := range r.Hops() {
		path = append(path, circuit.Hop{
			RSA: h.RSA(), Ed25519: h.Ed25519(), NtorKey: h.OnionKey(), IPv4: h.Addr(), CongestionControl: true, CGO: cgo[i],
		})
		if cgo[i] {
			speak++
		}
	}
	began := time.Now()
	circ, err := circuit.NewCircuit(circuit.Config{
		ID: c.id, Path: path, Rand: rand.Reader, Now: func() time.Duration { return time.Since(began) },
		FlowParams: circuit.FlowParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathExit),
	})
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
				reply = circ.Consumed(reply, event.Stream, 1, len(event.Data))
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
	if circ.CongestionControl() != (increment > 0) {
		t.Fatalf("congestion control: %v", circ.CongestionControl())
	}
	if got := r.Seen().CGOHops; circ.CGOHops() != speak || got != speak {
		t.Fatalf("%d and %d hops with Counter Galois Onion, want %d", circ.CGOHops(), got, speak)
	}

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
	seen := await(t, r, func(s Seen) bool { return s.BytesIn == size })
	per := increment
	if per == 0 {
		per = circIncrement
	}
	if want := int(seen.DataOut) / per; seen.CircuitSendmes != want || (seen.StreamSendmes == 0) != (increment > 0) {
		t.Errorf("%d SENDMEs of the circuit, want %d; %d of the stream", seen.CircuitSendmes, want, seen.StreamSendmes)
	}
	checkGood(t, r)
}
