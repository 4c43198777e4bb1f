package relaydouble

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/link"
	"chive/tor/relaycrypto"

	"chive/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience bounds every wait of a test; no test is meant to reach it.
const patience = 2 * time.Minute

// client is a bare client for one circuit: it keeps no windows and checks nothing
// on its own, so that tests can do wrong.
type client struct {
	t     testing.TB
	relay *Relay
	tls   *tls.Conn
	buf   []byte
	id    cell.CircID
	stack relaycrypto.Stack
	wish  []byte // what is said in ntor-v3; nil: ntor
	said  []byte // the last answer to it
}

func dialTCP(t testing.TB, r *Relay, hop int) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", r.Hops()[hop].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return raw
}

// connect dials a hop and finishes TLS.
func connect(t testing.TB, r *Relay, hop int) *client {
	t.Helper()
	raw := dialTCP(t, r, hop)
	c := &client{t: t, relay: r, tls: tls.Client(raw, &tls.Config{InsecureSkipVerify: true}), id: 0x80000001}
	if err := c.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// link runs the link handshake.
func (c *client) link(hop int) (link.Result, error) {
	h := link.New(link.Config{
		Want:          c.relay.Hops()[hop].Identity().Identity(),
		TLSCertSHA256: sha256.Sum256(c.tls.ConnectionState().PeerCertificates[0].Raw),
	})
	c.send(h.Start())
	for {
		n, reply, done, err := h.Feed(c.buf, time.Now())
		c.buf = c.buf[n:]
		if err != nil {
			return link.Result{}, err
		}
		if len(reply) > 0 {
			c.send(reply)
		}
		if done {
			return h.Result(), nil
		}
		if err := c.fill(); err != nil {
			return link.Result{}, err
		}
	}
}

// open returns a client with an open link to hop 0.
func open(t testing.TB, r *Relay) *client {
	t.Helper()
	c := connect(t, r, 0)
	if _, err := c.link(0); err != nil {
		t.Fatal(err)
	}
	return c
}

// build returns a client whose circuit reaches hops 0 to n-1.
func build(t testing.TB, r *Relay, n int) *client {
	t.Helper()
	c := open(t, r)
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

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.tls.Write(b); err != nil {
		c.t.Logf("write: %v", err) // a relay may have closed: the next read tells
	}
}

func (c *client) fill() error {
	chunk := make([]byte, 32<<10)
	n, err := c.tls.Read(chunk)
	c.buf = append(c.buf, chunk[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

func (c *client) next() (cell.CircID, cell.Command, []byte, error) {
	for {
		circ, cmd, body, n, err := cell.Next(c.buf)
		if err != nil {
			return 0, 0, nil, err
		}
		if n > 0 {
			body = bytes.Clone(body)
			c.buf = c.buf[n:]
			return circ, cmd, body, nil
		}
		if err := c.fill(); err != nil {
			return 0, 0, nil, err
		}
	}
}

// want returns the body of the next cell, which must be of this command.
func (c *client) want(cmd cell.Command) []byte {
	c.t.Helper()
	circ, got, body, err := c.next()
	if err != nil || got != cmd || circ != c.id {
		c.t.Fatalf("got %v on %v (%v), want %v on %v", got, circ, err, cmd, c.id)
	}
	return body
}

func (c *client) addHop(keys handshake.KeyMaterial, err error) error {
	if err != nil {
		return err
	}
	layer, err := relaycrypto.NewLayer(keys)
	if err != nil {
		return err
	}
	c.stack.Add(layer)
	return nil
}

var errNotCreated = errors.New("no CREATED2")

// shake begins a handshake with a hop: ntor, or ntor-v3 with a wish.
func (c *client) shake(hop int) (htype uint16, skin []byte, finish func(reply []byte) error, err error) {
	h := c.relay.Hops()[hop]
	if c.wish == nil {
		ntor, skin, err := handshake.StartNtor(rand.Reader, h.RSA(), h.OnionKey())
		return handshake.TypeNtor, skin, func(reply []byte) error { return c.addHop(ntor.Finish(reply)) }, err
	}
	ntor3, skin, err := handshake.StartNtor3(rand.Reader, h.Ed25519(), h.OnionKey(), handshake.CircuitVerification, c.wish)
	return handshake.TypeNtor3, skin, func(reply []byte) (err error) {
		var keys [handshake.CGOKeyMaterialLen]byte
		if c.said, err = ntor3.Finish(reply, keys[:]); err != nil {
			return err
		}
		wish, err := handshake.WishOf(c.wish)
		if err != nil || !wish.CGO {
			return c.addHop(handshake.KeyMaterialOf((*[handshake.KeyMaterialLen]byte)(keys[:])), err)
		}
		cgo := handshake.CGOKeyMaterialOf(&keys)
		layer, err := relaycrypto.NewCGOLayer(&cgo)
		if err == nil {
			c.stack.Add(layer)
		}
		return err
	}, err
}

func (c *client) create() error {
	htype, skin, finish, err := c.shake(0)
	if err != nil {
		return err
	}
	c.send(cell.AppendFixed(nil, c.id, cell.Create2, cell.AppendCreate2(nil, htype, skin)))
	_, cmd, body, err := c.next()
	if err != nil || cmd != cell.Created2 {
		return errors.Join(errNotCreated, err)
	}
	reply, err := cell.ParseCreated2(body)
	if err != nil {
		return err
	}
	return finish(reply)
}

func (c *client) extend(hop int) error {
	htype, skin, finish, err := c.shake(hop)
	if err != nil {
		return err
	}
	data, err := cell.AppendExtend2(nil, cell.Extend2{Specs: c.relay.Hops()[hop].LinkSpecs(), HandshakeType: htype, Handshake: skin})
	if err != nil {
		return err
	}
	c.relayCell(cell.RelayEarly, c.stack.Len()-1, cell.RelayExtend2, 0, data)
	_, header, reply, err := c.nextRelay()
	if err != nil {
		return err
	}
	if header.Cmd != cell.RelayExtended2 {
		return errors.New("got " + header.Cmd.String())
	}
	if reply, err = cell.ParseExtended2(reply); err != nil {
		return err
	}
	return finish(reply)
}

// relayCell seals and sends one relay cell.
func (c *client) relayCell(cmd cell.Command, hop int, relay cell.RelayCommand, stream cell.StreamID, data []byte) {
	b := make([]byte, cell.FixedLen)
	cell.PutHeader(b, c.id, cmd)
	copy(c.stack.Format(hop).Put(b[cell.HeaderLen:], cell.RelayHeader{Cmd: relay, Stream: stream, Length: len(data)}), data)
	c.stack.Seal(cmd, b[cell.HeaderLen:], hop)
	c.send(b)
}

// last sends a relay cell to the last hop.
func (c *client) last(relay cell.RelayCommand, stream cell.StreamID, data []byte) {
	c.relayCell(cell.Relay, c.stack.Len()-1, relay, stream, data)
}

func (c *client) begin(stream cell.StreamID) {
	c.t.Helper()
	data, err := cell.AppendBegin(nil, "target.example:80", 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.last(cell.RelayBegin, stream, data)
}

// destroyed is a DESTROY in place of a relay cell.
type destroyed struct{ reason cell.DestroyReason }

func (d destroyed) Error() string { return "DESTROY " + d.reason.String() }

var errUnrecognized = errors.New("unrecognized relay cell")

// nextRelay returns the next relay cell and the hop it came from.
func (c *client) nextRelay() (int, cell.RelayHeader, []byte, error) {
	circ, cmd, body, err := c.next()
	switch {
	case err != nil:
		return 0, cell.RelayHeader{}, nil, err
	case cmd == cell.Destroy:
		return 0, cell.RelayHeader{}, nil, destroyed{cell.ParseDestroy(body)}
	case cmd != cell.Relay || circ != c.id:
		return 0, cell.RelayHeader{}, nil, errors.New("got " + cmd.String() + " on " + circ.String())
	}
	hop := c.stack.Open(cmd, body)
	if hop < 0 {
		return 0, cell.RelayHeader{}, nil, errUnrecognized
	}
	h, data, err := c.stack.Format(hop).Parse(body)
	if err != nil {
		return hop, h, nil, err
	}
	return hop, h, data, nil
}

// wantRelay returns the data of the next relay cell, which must be of this command
// and from the last hop.
func (c *client) wantRelay(cmd cell.RelayCommand, stream cell.StreamID) []byte {
	c.t.Helper()
	hop, h, data, err := c.nextRelay()
	if err != nil || h.Cmd != cmd || h.Stream != stream || hop != c.stack.Len()-1 {
		c.t.Fatalf("got %v on stream %v from hop %d (%v), want %v on stream %v", h.Cmd, h.Stream, hop, err, cmd, stream)
	}
	return data
}

// wantDestroy requires that the next cell is DESTROY.
func (c *client) wantDestroy(reason cell.DestroyReason) {
	c.t.Helper()
	if got := cell.ParseDestroy(c.want(cell.Destroy)); got != reason {
		c.t.Fatalf("DESTROY with %v, want %v", got, reason)
	}
}
