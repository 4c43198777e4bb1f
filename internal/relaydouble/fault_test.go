package relaydouble

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"os"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/handshake"
	"chive/tor/link"
	"chive/tor/link/linktest"
)

func TestBadCertsReachTheClient(t *testing.T) {
	r := Start(t, Options{Hops: 1, Certs: linktest.Mutations{BadSignature: []cert.Type{cert.TypeSigningLink}}})
	if _, err := connect(t, r, 0).link(0); !errors.Is(err, link.ErrCert) {
		t.Errorf("got %v, want ErrCert", err)
	}
}

func TestGreetingHook(t *testing.T) {
	r := Start(t, Options{Hops: 1, Greeting: func(cells [][]byte) [][]byte { return append(cells[:1], cells[2:]...) }})
	if _, err := connect(t, r, 0).link(0); !errors.Is(err, link.ErrProtocol) {
		t.Errorf("got %v, want ErrProtocol", err)
	}
}

func TestSkewedClock(t *testing.T) {
	ahead := 90 * time.Minute
	r := Start(t, Options{Hops: 1, Clock: func() time.Time { return time.Now().Add(ahead) }})
	result, err := connect(t, r, 0).link(0)
	if err != nil {
		t.Fatal(err)
	}
	if d := result.Skew - ahead; d < -patience || d > patience {
		t.Errorf("skew %v, want about %v", result.Skew, ahead)
	}
}

// Stalls: the connection stays open and nothing comes.
func TestStalls(t *testing.T) {
	for name, at := range map[string]Point{"after TCP": AtAccept, "after TLS": AtTLS, "after VERSIONS": AtVersions, "at CREATE2": AtCreate} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, Options{Hops: 1, Script: []Fault{{Name: "stall", At: at, Do: Stall}}})
			var c *client
			if at == AtAccept {
				c = &client{t: t, tls: tls.Client(dialTCP(t, r, 0), &tls.Config{InsecureSkipVerify: true})}
			} else {
				c = connect(t, r, 0)
			}
			switch at {
			case AtAccept: // the first read would begin TLS
			case AtCreate:
				if _, err := c.link(0); err != nil {
					t.Fatal(err)
				}
				c.send(cell.AppendFixed(nil, c.id, cell.CreateFast, make([]byte, 20)))
			default:
				c.send(cell.AppendVersions(nil, 4, 5))
			}
			await(t, r, func(s Seen) bool { return s.Faults["stall"] == 1 })
			if err := c.tls.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := c.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if s := r.Seen(); s.OpenConnections != 1 {
				t.Errorf("%d open connections", s.OpenConnections)
			}
		})
	}
}

// Each fault, struck at a circuit of two hops with one stream, as a client sees it.
func TestFaults(t *testing.T) {
	relayCell := func(want cell.RelayCommand) func(*testing.T, *client, error) {
		return func(t *testing.T, c *client, err error) {
			if err != nil {
				t.Fatal(err)
			}
			if _, h, _, err := c.nextRelay(); err != nil || h.Cmd != want {
				t.Errorf("got %v, %v; want %v", h.Cmd, err, want)
			}
		}
	}
	failsWith := func(want error) func(*testing.T, *client, error) {
		return func(t *testing.T, c *client, err error) {
			if err == nil {
				_, _, _, err = c.nextRelay()
			}
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
	ends := func(t *testing.T, c *client, err error) {
		for err == nil {
			_, _, _, err = c.next()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection still open: %v", err)
		}
	}
	tests := map[string]struct {
		fault Fault
		check func(t *testing.T, c *client, err error) // err of building the circuit
	}{
		"wrong ntor auth in CREATED2":  {Fault{At: AtCreated, Do: CorruptReply}, failsWith(handshake.ErrAuth)},
		"wrong ntor auth in EXTENDED2": {Fault{At: AtExtended, Do: CorruptReply}, failsWith(handshake.ErrAuth)},
		"bad digest":                   {Fault{At: AtRelayOut, Nth: 1, Do: CorruptDigest}, failsWith(errUnrecognized)},
		"bad digest on the second":     {Fault{At: AtRelayOut, Nth: 2, Do: CorruptDigest}, failsWith(errUnrecognized)},
		"DESTROY at CREATE2": {Fault{At: AtCreate, Do: Destroy(cell.DestroyResourceLimit)}, func(t *testing.T, _ *client, err error) {
			if !errors.Is(err, errNotCreated) {
				t.Errorf("got %v", err)
			}
		}},
		"DESTROY at EXTEND2": {Fault{At: AtExtend, Do: Destroy(cell.DestroyConnectFailed)}, failsWith(destroyed{cell.DestroyConnectFailed})},
		"DESTROY at BEGIN":   {Fault{At: AtBegin, Do: Destroy(77)}, failsWith(destroyed{77})},
		"DESTROY after DATA": {Fault{At: AtDataOut, Nth: 1, After: true, Do: Destroy(cell.DestroyHibernating)}, func(t *testing.T, c *client, err error) {
			relayCell(cell.RelayConnected)(t, c, err)
			relayCell(cell.RelayData)(t, c, nil)
			failsWith(destroyed{cell.DestroyHibernating})(t, c, nil)
		}},
		"TRUNCATED": {Fault{At: AtExtend, Do: Truncated(cell.DestroyChannelClosed)}, func(t *testing.T, _ *client, err error) {
			if err == nil || err.Error() != "got TRUNCATED" {
				t.Errorf("got %v", err)
			}
		}},
		"END with a reason": {Fault{At: AtBegin, Do: End(cell.EndExitPolicy)}, func(t *testing.T, c *client, _ error) {
			if data := c.wantRelay(cell.RelayEnd, 1); len(data) != 1 || data[0] != byte(cell.EndExitPolicy) {
				t.Errorf("END %x", data)
			}
		}},
		"END with reason 0": {Fault{At: AtBegin, Do: End(cell.EndUnspecified)}, func(t *testing.T, c *client, _ error) {
			if data := c.wantRelay(cell.RelayEnd, 1); len(data) != 1 || data[0] != 0 {
				t.Errorf("END %x", data)
			}
		}},
		"END without data": {Fault{At: AtConnected, Do: EndEmpty}, func(t *testing.T, c *client, _ error) {
			if data := c.wantRelay(cell.RelayEnd, 1); len(data) != 0 {
				t.Errorf("END %x", data)
			}
		}},
		"empty DATA": {Fault{At: AtDataOut, Nth: 1, Do: EmptyData}, func(t *testing.T, c *client, err error) {
			relayCell(cell.RelayConnected)(t, c, err)
			if data := c.wantRelay(cell.RelayData, 1); len(data) != 0 {
				t.Errorf("DATA of %d bytes", len(data))
			}
		}},
		"DATA on unknown stream": {Fault{At: AtConnected, Do: SendRelay(RelayCell{Cmd: cell.RelayData, Stream: 999, Data: []byte("x")})}, func(t *testing.T, c *client, _ error) {
			c.wantRelay(cell.RelayData, 999)
		}},
		"bad relay length": {Fault{At: AtConnected, Do: SendRelay(RelayCell{Cmd: cell.RelayData, Stream: 1, Length: 499})}, failsWith(cell.ErrRelayLength)},
		"inbound RELAY_EARLY": {Fault{At: AtConnected, Do: SendRelay(RelayCell{Cmd: cell.RelayDrop, Early: true})}, func(t *testing.T, c *client, _ error) {
			c.want(cell.RelayEarly)
		}},
		"from the middle": {Fault{At: AtConnected, Do: SendRelay(RelayCell{Cmd: cell.RelayDrop, FromHop: 1})}, func(t *testing.T, c *client, _ error) {
			if hop, h, _, err := c.nextRelay(); hop != 0 || h.Cmd != cell.RelayDrop || err != nil {
				t.Errorf("%v from hop %d, %v", h.Cmd, hop, err)
			}
		}},
		"unsolicited CREATED2":  {Fault{At: AtBegin, Do: Cell(cell.Created2, make([]byte, 100))}, func(t *testing.T, c *client, _ error) { c.want(cell.Created2) }},
		"unsolicited EXTENDED2": {Fault{At: AtBegin, Do: SendRelay(RelayCell{Cmd: cell.RelayExtended2, Data: make([]byte, 66)})}, relayCell(cell.RelayExtended2)},
		"surplus SENDMEs": {Fault{At: AtBegin, Do: SurplusSendmes(3)}, func(t *testing.T, c *client, _ error) {
			c.wantRelay(cell.RelaySendme, 0)
			c.wantRelay(cell.RelaySendme, 0)
			c.wantRelay(cell.RelaySendme, 0)
		}},
		"cell on unknown circuit": {Fault{At: AtBegin, Do: CellOn(0x80001234, cell.Relay, nil)}, func(t *testing.T, c *client, _ error) {
			if id, cmd, _, err := c.next(); id != 0x80001234 || cmd != cell.Relay || err != nil {
				t.Errorf("%v on %v, %v", cmd, id, err)
			}
		}},
		"variable cell": {Fault{At: AtBegin, Do: CellOn(0, cell.Certs, []byte{0})}, func(t *testing.T, c *client, _ error) {
			if id, cmd, _, err := c.next(); id != 0 || cmd != cell.Certs || err != nil {
				t.Errorf("%v on %v, %v", cmd, id, err)
			}
		}},
		"close at TLS":       {Fault{At: AtTLS, Do: CloseConnection}, ends},
		"close at CREATE2":   {Fault{At: AtCreate, Do: CloseConnection}, ends},
		"close mid-download": {Fault{At: AtDataOut, Nth: 300, Do: CloseConnection}, ends},
		"close after what came": {Fault{At: AtDataOut, Nth: 101, Do: FinishConnection}, func(t *testing.T, c *client, err error) {
			relayCell(cell.RelayConnected)(t, c, err)
			for range 100 {
				c.wantRelay(cell.RelayData, 1)
			}
			ends(t, c, nil)
		}},
		"garbage": {Fault{At: AtBegin, Do: Garbage(cell.FixedLen)}, func(t *testing.T, c *client, _ error) {
			if id, _, _, err := c.next(); id == c.id && err == nil {
				t.Error("no garbage")
			}
		}},
		"window overrun": {Fault{At: AtBegin, Do: IgnoreWindows}, func(t *testing.T, c *client, err error) {
			relayCell(cell.RelayConnected)(t, c, err)
			for range circWindow + 1 {
				c.wantRelay(cell.RelayData, 1)
			}
		}},
		"dropped CREATED2": {Fault{At: AtCreated, Do: func(m *Moment) bool { Cell(cell.Padding, nil)(m); return false }}, func(t *testing.T, _ *client, err error) {
			if !errors.Is(err, errNotCreated) {
				t.Errorf("got %v", err)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.fault.Name = "it"
			r := Start(t, Options{Handler: Source(-1), Script: []Fault{test.fault}})
			c := connect(t, r, 0)
			err := func() error {
				if _, err := c.link(0); err != nil {
					return err
				}
				if err := c.create(); err != nil {
					return err
				}
				if err := c.extend(1); err != nil {
					return err
				}
				c.begin(1)
				return nil
			}()
			test.check(t, c, err)
			if s := r.Seen(); s.Faults["it"] == 0 {
				t.Error("the fault did not strike")
			}
		})
	}
}

// What a relay between changes is what the client gets: a cell lost or doubled, or a bit.
func TestOnItsWay(t *testing.T) {
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		good   int // cells recognized before what is not
	}{
		"a bit":   {func(b []byte) []byte { b[200] ^= 1; return b }, 4},
		"lost":    {func([]byte) []byte { return nil }, 4},
		"doubled": {func(b []byte) []byte { return append(b, b...) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, Options{Handler: Source(-1), Script: []Fault{{At: AtRelayOut, Nth: 7, After: true, Do: OnItsWay(tt.change)}}})
			c := build(t, r, 3) // two EXTENDED2
			c.begin(1)
			for range tt.good {
				if _, _, _, err := c.nextRelay(); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, _, err := c.nextRelay(); !errors.Is(err, errUnrecognized) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	r := Start(t, Options{Hops: 1})
	c := build(t, r, 1)
	data, err := cell.AppendResolve(nil, "name.test")
	if err != nil {
		t.Fatal(err)
	}
	c.last(cell.RelayResolve, 4, data)
	answers, err := cell.ParseResolved(c.wantRelay(cell.RelayResolved, 4))
	if err != nil || len(answers) != 1 || answers[0].Addr.String() != "127.0.0.1" {
		t.Errorf("%+v, %v", answers, err)
	}
	checkGood(t, r)
}

// Doubles of the same keys are the same relay.
func TestMadeKeys(t *testing.T) {
	keys, err := MakeKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b := Start(t, Options{Hops: 1, Keys: []Keys{keys}}), Start(t, Options{Hops: 1, Keys: []Keys{keys}})
	x, y := a.Hops()[0], b.Hops()[0]
	if x.RSA() != y.RSA() || x.Ed25519() != y.Ed25519() || x.OnionKey() != y.OnionKey() || x.Addr() == y.Addr() {
		t.Error("two relays")
	}
	build(t, b, 1)
}

func TestCorruptTag(t *testing.T) {
	r := Start(t, Options{Hops: 1, Handler: Sink, Script: []Fault{{At: AtSendmeOut, Do: CorruptTag}}})
	c := build(t, r, 1)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	for range circIncrement {
		c.last(cell.RelayData, 1, []byte("x"))
	}
	want := c.stack.ForwardTag(0)
	for {
		_, h, data, err := c.nextRelay()
		if err != nil {
			t.Fatal(err)
		}
		if h.Stream != 0 {
			continue // a stream-level SENDME
		}
		version, tag, err := cell.ParseSendme(data, cell.SendmeTagLen)
		if err != nil || version != 1 || bytes.Equal(tag, want.Bytes()) {
			t.Errorf("version %d, tag %x, %v", version, tag, err)
		}
		return
	}
}

// A relay that stops reading: the client's writes block, and nothing else happens.
func TestStopReading(t *testing.T) {
	r := Start(t, Options{Hops: 1, Handler: Sink, Script: []Fault{{At: AtDataIn, Nth: 10, Do: StopReading}}})
	c := build(t, r, 1)
	c.begin(1)
	c.wantRelay(cell.RelayConnected, 1)
	for range 100 {
		c.last(cell.RelayData, 1, []byte("x"))
	}
	if s := await(t, r, func(s Seen) bool { return s.DataIn >= 10 }); s.DataIn > 11 {
		t.Errorf("%d DATA cells read", s.DataIn)
	}
}

// Faults of one script are independent: the condition and the count are each its own.
func TestConditionsAndCounts(t *testing.T) {
	var hops []int
	r := Start(t, Options{Script: []Fault{
		{Name: "second", At: AtExtend, Nth: 2, Do: func(*Moment) bool { return true }},
		{Name: "from hop 1", At: AtExtend, If: func(m *Moment) bool { return m.Hop == 1 }, Do: func(m *Moment) bool {
			hops = append(hops, m.Hop)
			return true
		}},
		{At: AtCreate, Do: func(*Moment) bool { return true }},
	}})
	c := build(t, r, 3)
	c.last(cell.RelayDrop, 0, nil)
	s := await(t, r, func(s Seen) bool { return s.Padding == 1 })
	if s.Faults["second"] != 1 || s.Faults["from hop 1"] != 1 || len(s.Faults) != 2 || len(hops) != 1 {
		t.Errorf("faults %v, hops %v", s.Faults, hops)
	}
}
