package relaydouble

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// congested is a client with congestion control on a circuit of n hops.
func congested(t *testing.T, r *Relay, n int) *client {
	t.Helper()
	c := open(t, r)
	c.wish = handshake.Wish{CongestionControl: true}.Message()
	if err := c.create(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < n; i++ {
		if err := c.extend(i); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestGrants(t *testing.T) {
	plain := handshake.Wish{}.Message()
	for name, tt := range map[string]struct {
		options Options
		wish    []byte
		want    []byte
	}{
		"asked and granted": {Options{SendmeIncrement: 31}, handshake.Wish{CongestionControl: true}.Message(), []byte{1, handshake.ExtCCResponse, 1, 31}},
		"not asked":         {Options{SendmeIncrement: 31}, plain, []byte{0}},
		"not granted":       {Options{}, handshake.Wish{CongestionControl: true}.Message(), []byte{0}},
		"by a script":       {Options{Script: []Fault{{At: AtGrant, Do: Grant(7, 7)}}}, plain, []byte{7, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, tt.options)
			c := open(t, r)
			c.wish = tt.wish
			if err := c.create(); err != nil || !bytes.Equal(c.said, tt.want) {
				t.Errorf("% x, %v; want % x", c.said, err, tt.want)
			}
		})
	}
}

// Without SENDMEs a download stops at the window; each SENDME lets as many cells come as it
// is for, whatever the stream.
func TestDownloadUnderCongestionControl(t *testing.T) {
	r := Start(t, Options{SendmeIncrement: 20, CircWindow: 100, Handler: Source(-1)})
	c := congested(t, r, 3)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	var tags []relaycrypto.Tag
	for i := 1; i <= 100; i++ {
		c.wantRelay(cell.RelayData, 1)
		if i%20 == 0 {
			tags = append(tags, c.stack.BackwardTag(2))
		}
	}
	c.last(cell.RelayDrop, 0, nil)
	if s := await(t, r, func(s Seen) bool { return s.Padding == 1 }); s.DataOut != 100 {
		t.Errorf("%d DATA cells out, want 100", s.DataOut)
	}
	c.last(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tags[0].Bytes()))
	for range 20 {
		c.wantRelay(cell.RelayData, 1)
	}
	c.last(cell.RelayXoff, 1, cell.AppendXoff(nil))
	c.last(cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tags[1].Bytes()))
	c.last(cell.RelayDrop, 0, nil)
	if s := await(t, r, func(s Seen) bool { return s.Padding == 2 }); s.DataOut != 120 || s.Xoffs != 1 {
		t.Errorf("%d DATA cells out after XOFF, want 120; %d XOFFs", s.DataOut, s.Xoffs)
	}
	c.last(cell.RelayXon, 1, cell.AppendXon(nil, 0))
	for range 20 {
		c.wantRelay(cell.RelayData, 1)
	}
	checkGood(t, r)
}

// An upload is acknowledged by the circuit only; the scripts for XOFF and XON say what they
// ought to.
func TestUploadUnderCongestionControl(t *testing.T) {
	r := Start(t, Options{SendmeIncrement: 20, Handler: Sink, Script: []Fault{
		{At: AtDataIn, Nth: 30, Do: XoffStream}, {At: AtDataIn, Nth: 31, Do: XonStream(9)},
	}})
	c := congested(t, r, 3)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	for i := 1; i <= 1200; i++ {
		c.last(cell.RelayData, 1, []byte("x"))
		if i == 30 {
			if got := c.wantRelay(cell.RelayXoff, 1); cell.ParseXoff(got) != nil {
				t.Errorf("XOFF % x", got)
			}
		}
		if i == 31 {
			if rate, err := cell.ParseXon(c.wantRelay(cell.RelayXon, 1)); err != nil || rate != 9 {
				t.Errorf("XON %d, %v", rate, err)
			}
		}
		if i%20 == 0 {
			tag := c.stack.ForwardTag(2)
			if got := c.wantRelay(cell.RelaySendme, 0); !bytes.Equal(got, cell.AppendSendmeV1(nil, tag.Bytes())) {
				t.Fatalf("cell %d: SENDME % x", i, got)
			}
		}
	}
	checkGood(t, r)
}

func TestClientViolationsUnderCongestionControl(t *testing.T) {
	xoff, xon := cell.AppendXoff(nil), cell.AppendXon(nil, 0)
	for name, tt := range map[string]struct {
		fixed bool // windows
		do    func(c *client)
		want  string
	}{
		"SENDME of a stream": {false, func(c *client) { c.last(cell.RelaySendme, 1, nil) }, "under congestion control"},
		"two XOFFs":          {false, func(c *client) { c.last(cell.RelayXoff, 1, xoff); c.last(cell.RelayXoff, 1, xoff) }, "second XOFF"},
		"XOFF for no stream": {false, func(c *client) { c.last(cell.RelayXoff, 9, xoff) }, "unknown stream 9"},
		"malformed XOFF":     {false, func(c *client) { c.last(cell.RelayXoff, 1, nil) }, "XOFF"},
		"malformed XON":      {false, func(c *client) { c.last(cell.RelayXon, 1, []byte{1}) }, "XON"},
		"XOFF not agreed":    {true, func(c *client) { c.last(cell.RelayXoff, 1, xoff) }, "without congestion control"},
		"XON not agreed":     {true, func(c *client) { c.last(cell.RelayXon, 1, xon) }, "without congestion control"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Handler: Hold, SendmeIncrement: 31}
			if tt.fixed {
				o.SendmeIncrement = 0
			}
			r := Start(t, o)
			c := congested(t, r, 2)
			c.begin(1)
			c.wantRelay(cell.RelayConnected, 1)
			tt.do(c)
			if _, _, _, err := c.nextRelay(); !errors.As(err, new(destroyed)) {
				t.Errorf("%v", err)
			}
			if got := r.Violations(); len(got) != 1 || !strings.Contains(got[0].Error(), tt.want) {
				t.Errorf("violations %v, want one with %q", got, tt.want)
			}
		})
	}
}
