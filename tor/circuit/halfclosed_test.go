package circuit

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"chive/tor/cell"
)

// deliver has the circuit take one relay cell of the exit.
func (r *relays) deliver(c *Circuit, command cell.RelayCommand, id cell.StreamID, data []byte) (Event, error) {
	out, ev, err := c.Receive(nil, cell.Relay, r.send(len(r.path)-1, command, id, data))
	for ; len(out) >= cell.FixedLen; out = out[cell.FixedLen:] { // SENDMEs: the relays' layers must see them
		_, body := r.body(out[:cell.FixedLen])
		r.open(body)
	}
	return ev, err
}

// ended opens a stream and ends it.
func (r *relays) ended(c *Circuit) cell.StreamID {
	r.t.Helper()
	id := r.stream(c)
	r.end(c, id)
	return id
}

func (r *relays) end(c *Circuit, id cell.StreamID) {
	r.t.Helper()
	out, err := c.End(nil, id)
	if err != nil {
		r.t.Fatal(err)
	}
	_, body := r.body(out)
	r.open(body)
}

// begun opens a stream that is not connected yet.
func (r *relays) begun(c *Circuit, resolve bool) cell.StreamID {
	r.t.Helper()
	begin := func() ([]byte, cell.StreamID, error) { return c.Begin(nil, "target.test:80", 0) }
	if resolve {
		begin = func() ([]byte, cell.StreamID, error) { return c.Resolve(nil, "target.test") }
	}
	out, id, err := begin()
	if err != nil {
		r.t.Fatal(err)
	}
	_, body := r.body(out)
	r.open(body)
	return id
}

// A hostile exit sends on streams that we ended. What can have been on its way is
// dropped and counted; one cell more closes the circuit (proposal 344).
func TestHalfClosedStreamsTakeNoMoreThanWasOnItsWay(t *testing.T) {
	type script struct {
		command cell.RelayCommand
		data    []byte
		times   int
	}
	one := []byte{1}
	resolved := cell.AppendResolved(nil, 0)
	for name, tt := range map[string]struct {
		connected, resolve bool
		legal              []script
		dropped            uint64
		hostile            script
		want               error
	}{
		"a window of DATA": {
			connected: true, legal: []script{{cell.RelayData, one, 500}}, dropped: 500,
			hostile: script{cell.RelayData, one, 1}, want: ErrWindow,
		},
		"DATA, then END": {
			connected: true, legal: []script{{cell.RelayData, one, 3}, {cell.RelayEnd, []byte{6}, 1}}, dropped: 4,
			hostile: script{cell.RelayEnd, []byte{6}, 1}, want: ErrStreamID,
		},
		"no DATA before CONNECTED": {hostile: script{cell.RelayData, one, 1}, want: ErrUnexpected},
		"one CONNECTED": {
			legal: []script{{cell.RelayConnected, nil, 1}, {cell.RelayData, one, 1}}, dropped: 2,
			hostile: script{cell.RelayConnected, nil, 1}, want: ErrUnexpected,
		},
		"no second CONNECTED":      {connected: true, hostile: script{cell.RelayConnected, nil, 1}, want: ErrUnexpected},
		"no SENDME for nothing":    {connected: true, hostile: script{cell.RelaySendme, nil, 1}, want: ErrWindow},
		"no SENDME, not connected": {hostile: script{cell.RelaySendme, nil, 1}, want: ErrWindow},
		"no RESOLVED":              {connected: true, hostile: script{cell.RelayResolved, resolved, 1}, want: ErrUnexpected},
		"one RESOLVED": {
			resolve: true, legal: []script{{cell.RelayResolved, resolved, 1}}, dropped: 1,
			hostile: script{cell.RelayResolved, resolved, 1}, want: ErrStreamID,
		},
		"no CONNECTED for a name": {resolve: true, hostile: script{cell.RelayConnected, nil, 1}, want: ErrUnexpected},
		"no DATA for a name":      {resolve: true, hostile: script{cell.RelayData, one, 1}, want: ErrUnexpected},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelays(t, 3)
			c := r.build()
			var id cell.StreamID
			if tt.connected {
				id = r.stream(c)
			} else {
				id = r.begun(c, tt.resolve)
			}
			r.end(c, id)
			for _, s := range tt.legal {
				for i := range s.times {
					if ev, err := r.deliver(c, s.command, id, s.data); err != nil || ev.Kind != None {
						t.Fatalf("%v %d: %v, %v", s.command, i+1, ev.Kind, err)
					}
				}
			}
			if n := c.Counters().Dropped; n != tt.dropped {
				t.Errorf("%d cells dropped, want %d", n, tt.dropped)
			}
			_, err := r.deliver(c, tt.hostile.command, id, tt.hostile.data)
			if !errors.Is(err, tt.want) || c.State() != Closed {
				t.Errorf("%v, state %v; want %v", err, c.State(), tt.want)
			}
		})
	}
}

// SENDMEs for what was sent before the END are legal, and no more than that.
func TestHalfClosedStreamTakesItsSendmes(t *testing.T) {
	r := newRelays(t, 3)
	c := r.build()
	id := r.stream(c)
	out, sent := c.Send(nil, id, bytes.Repeat([]byte{1}, 100*cell.MaxRelayData), 100)
	if sent != 100*cell.MaxRelayData {
		t.Fatalf("%d bytes went", sent)
	}
	for ; len(out) > 0; out = out[cell.FixedLen:] {
		_, body := r.body(out[:cell.FixedLen])
		r.open(body)
	}
	r.end(c, id)
	for range 2 {
		if ev, err := r.deliver(c, cell.RelaySendme, id, nil); err != nil || ev.Kind != None {
			t.Fatalf("%v, %v", ev.Kind, err)
		}
	}
	if _, err := r.deliver(c, cell.RelaySendme, id, nil); !errors.Is(err, ErrWindow) {
		t.Errorf("a SENDME too many: %v", err)
	}
}

// Cells come in order: once the circuit's window of DATA has come that was open when we
// ended a stream, whatever comes for that stream was sent in spite of our END.
func TestHalfClosedStreamExpires(t *testing.T) {
	for name, hostile := range map[string]cell.RelayCommand{
		"DATA": cell.RelayData, "END": cell.RelayEnd, "SENDME": cell.RelaySendme,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelays(t, 2)
			c := r.build()
			live := r.stream(c)
			receive := func(n int) {
				t.Helper()
				for i := range n {
					if ev, err := r.deliver(c, cell.RelayData, live, []byte{1}); err != nil || ev.Kind != Data {
						t.Fatalf("cell %d: %v, %v", i+1, ev.Kind, err)
					}
					for out := c.Consumed(nil, live, 1, 1); len(out) > 0; out = out[cell.FixedLen:] {
						_, body := r.body(out[:cell.FixedLen])
						r.open(body)
					}
				}
			}
			receive(250) // two SENDMEs have gone: 1200 DATA cells may come in all
			dead := r.ended(c)
			receive(949)
			if ev, err := r.deliver(c, cell.RelayData, dead, []byte{1}); err != nil || ev.Kind != None {
				t.Fatalf("the last cell that can have been on its way: %v, %v", ev.Kind, err)
			}
			if hostile != cell.RelayData {
				receive(1)
			}
			if _, err := r.deliver(c, hostile, dead, []byte{1}); !errors.Is(err, ErrStreamID) {
				t.Errorf("%v", err)
			}
		})
	}
}

// However many streams we end, no more than maxHalfClosed are remembered, and the newest
// are.
func TestHalfClosedStreamsAreBounded(t *testing.T) {
	r := newRelays(t, 1)
	c := r.build()
	first := r.ended(c)
	var last cell.StreamID
	for range 3 * maxHalfClosed {
		last = r.ended(c)
	}
	if len(c.streams) > maxHalfClosed || len(c.halfClosed) > maxHalfClosed {
		t.Errorf("%d streams, %d half closed", len(c.streams), len(c.halfClosed))
	}
	if _, err := r.deliver(c, cell.RelayEnd, last, []byte{6}); err != nil {
		t.Errorf("END of the last: %v", err)
	}
	if _, err := r.deliver(c, cell.RelayEnd, first, []byte{6}); !errors.Is(err, ErrStreamID) {
		t.Errorf("END of the first: %v", err)
	}
}

// Under congestion control a stream has no window. What may come of one that we ended is
// bounded by more than any window, and by time (proposal 324 §4.1.4).
func TestHalfClosedStreamExpiresUnderCongestionControl(t *testing.T) {
	xon := cell.AppendXon(nil, 0)
	for name, tt := range map[string]struct {
		cells   int           // of another stream meanwhile
		pause   time.Duration // after them
		hostile cell.RelayCommand
		data    []byte
		want    error
	}{
		"DATA on its way":      {cells: 9_999, hostile: cell.RelayData, data: []byte{1}},
		"END on its way":       {cells: 9_999, hostile: cell.RelayEnd, data: []byte{1}},
		"DATA beyond a window": {cells: 10_000, hostile: cell.RelayData, data: []byte{1}, want: ErrStreamID},
		"END beyond a window":  {cells: 10_001, hostile: cell.RelayEnd, data: []byte{1}, want: ErrStreamID},
		"DATA in time":         {pause: time.Minute, hostile: cell.RelayData, data: []byte{1}},
		"DATA later":           {pause: time.Minute + 1, hostile: cell.RelayData, data: []byte{1}, want: ErrStreamID},
		"END later":            {pause: time.Minute + 1, hostile: cell.RelayEnd, data: []byte{1}, want: ErrStreamID},
		"XON later":            {pause: time.Minute + 1, hostile: cell.RelayXon, data: xon, want: ErrStreamID},
		"CONNECTED later":      {pause: time.Minute + 1, hostile: cell.RelayConnected, want: ErrStreamID},
	} {
		t.Run(name, func(t *testing.T) {
			r := congested(t)
			c := r.build()
			live := r.stream(c)
			dead := r.stream(c)
			r.upload(c, dead, 500) // XON is earned
			r.frozen = true
			r.end(c, dead)
			for i := range tt.cells {
				if ev, err := r.deliver(c, cell.RelayData, live, []byte{1}); err != nil || ev.Kind != Data {
					t.Fatalf("cell %d: %v, %v", i+1, ev.Kind, err)
				}
				c.Consumed(nil, live, 1, 1)
			}
			r.now += tt.pause
			_, err := r.deliver(c, tt.hostile, dead, tt.data)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// A round trip longer than that is what a cell may take.
func TestHalfClosedStreamOfALongRoundTrip(t *testing.T) {
	r := congested(t)
	c := r.build()
	id := r.stream(c)
	r.frozen = true
	out, _ := c.Send(nil, id, make([]byte, 31*cell.MaxRelayData), 31)
	r.sent(out)
	tag := r.layers[2].ForwardTag()
	r.now += 5 * time.Minute
	if _, err := r.deliver(c, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes())); err != nil {
		t.Fatal(err)
	}
	r.end(c, id)
	r.now += 5 * time.Minute
	if _, err := r.deliver(c, cell.RelayData, id, []byte{1}); err != nil {
		t.Error(err)
	}
	r.now++
	if _, err := r.deliver(c, cell.RelayData, id, []byte{1}); !errors.Is(err, ErrStreamID) {
		t.Error(err)
	}
}
