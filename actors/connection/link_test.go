package connection

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

func TestMain(m *testing.M) { leak.Main(m) }

// pair is an open link over a real socket, and the relay's end of it.
type pair struct {
	link   *Link
	relay  *tls.Conn
	system *actor.ActorSystem
	ended  chan error // what read and write returned
	before int64      // blocks that were out
}

// newPair connects a link to a TLS server of our own. The relay's end has small
// socket buffers, so that it is full soon.
func newPair(t *testing.T) *pair {
	t.Helper()
	before := block.Outstanding()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	accepted := make(chan *tls.Conn, 1)
	go func() {
		defer close(accepted)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(128 << 10)
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			accepted <- s
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetWriteBuffer(128 << 10)
	records := newRecordConn(c)
	conn := tls.Client(records, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	relay, ok := <-accepted
	if !ok {
		t.Fatal("no TLS connection")
	}
	records.writeAtOnce()
	system := kernel.NewSystem(slog.New(slog.DiscardHandler))
	p := &pair{
		link:   newLink("c1", dialled{conn: conn, records: records}, system.Root, time.Unix(0, 0)),
		relay:  relay,
		system: system,
		ended:  make(chan error, 2),
		before: before,
	}
	go func() { p.ended <- p.link.read(conn, records, nil) }()
	go func() { p.ended <- p.link.write() }()
	return p
}

// close ends both sides and checks that nothing is left of the link.
func (p *pair) close(t *testing.T) {
	t.Helper()
	p.link.Shut(chivev1.Outcome_OUTCOME_OK)
	<-p.ended
	<-p.ended
	_ = p.relay.Close()
	kernel.Shutdown(p.system)
	p.system.Shutdown()
	if n := block.Outstanding(); n != p.before {
		t.Errorf("%d blocks are out, %d before", n, p.before)
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// inbox is a circuit that keeps what it is given.
type inbox struct {
	mu   sync.Mutex
	got  []byte
	lost *Lost
	more chan struct{} // capacity 1: something came
}

func (p *pair) circuit(t *testing.T) (*inbox, cell.CircID) {
	t.Helper()
	in := &inbox{more: make(chan struct{}, 1)}
	pid := p.system.Root.Spawn(kernel.Props(func() actor.Actor { return in }))
	id, err := p.link.Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	return in, id
}

func (in *inbox) Receive(ctx actor.Context) {
	in.mu.Lock()
	switch m := ctx.Message().(type) {
	case *block.Block:
		in.got = append(in.got, m.Bytes...)
		m.Free()
	case *Lost:
		in.lost = m
	}
	in.mu.Unlock()
	select {
	case in.more <- struct{}{}:
	default:
	}
}

// wait returns what came once it is n bytes.
func (in *inbox) wait(t *testing.T, n int) []byte {
	t.Helper()
	for {
		in.mu.Lock()
		got := in.got
		in.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-in.more:
		case <-t.Context().Done():
			t.Fatalf("%d bytes of %d", len(got), n)
		}
	}
}

// told returns why the connection went, once it has.
func (in *inbox) told(t *testing.T) *Lost {
	t.Helper()
	for {
		in.mu.Lock()
		lost := in.lost
		in.mu.Unlock()
		if lost != nil {
			return lost
		}
		select {
		case <-in.more:
		case <-t.Context().Done():
			t.Fatal("the circuit was never told")
		}
	}
}

// numbered is a cell whose body starts with a number.
func numbered(dst []byte, id cell.CircID, n int) []byte {
	var body [cell.BodyLen]byte
	binary.BigEndian.PutUint32(body[:], uint32(n))
	return cell.AppendFixed(dst, id, cell.Relay, body[:])
}

func number(raw []byte) int { return int(binary.BigEndian.Uint32(raw[cell.HeaderLen:])) }

func outgoing(id cell.CircID, from, count int) *block.Block {
	b := block.Get(block.CellsOut)
	b.Bytes = b.Buf[:0]
	for i := range count {
		b.Bytes = numbered(b.Bytes, id, from+i)
	}
	return b
}

// Several circuits send far more than the socket takes while the relay reads
// nothing; all arrives, each circuit's cells in their order.
func TestSendBeyondTheSocket(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	const senders, blocks, cells = 4, 200, 5
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range blocks {
				p.link.Send(outgoing(cell.CircID(s), i*cells, cells))
			}
		})
	}
	sending.Wait() // Send never waits: this ends though nobody reads
	next := map[cell.CircID]int{}
	raw := make([]byte, cell.FixedLen)
	for range senders * blocks * cells {
		if _, err := io.ReadFull(p.relay, raw); err != nil {
			t.Fatal(err)
		}
		id := cell.CircID(binary.BigEndian.Uint32(raw))
		if got := number(raw); got != next[id] {
			t.Fatalf("circuit %d: cell %d where %d was due", id, got, next[id])
		}
		next[id]++
	}
	if len(next) != senders {
		t.Errorf("cells of %d circuits, want %d", len(next), senders)
	}
}

// What is sent while the reader hands out a burst leaves when it is done.
func TestCorkHoldsBack(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	p.link.Cork()
	p.link.Send(outgoing(1, 0, 1))
	p.link.Send(outgoing(2, 1, 1))
	p.link.queueMu.Lock()
	held := p.link.queue.Len()
	p.link.queueMu.Unlock()
	if held != 2 {
		t.Errorf("%d blocks held back, want 2", held)
	}
	p.link.Uncork()
	buf := make([]byte, maxRecord)
	n, err := p.relay.Read(buf)
	if err != nil || n != 2*cell.FixedLen {
		t.Errorf("the first record holds %d bytes (%v), want both cells", n, err)
	}
}

// Circuits that cork one after the other do not hold everything back for ever.
func TestCorksHoldSoMuch(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	p.link.Cork()
	for i := range mostCorked {
		p.link.Send(outgoing(1, i, 1))
	}
	p.link.queueMu.Lock()
	held := p.link.queue.Len()
	p.link.queueMu.Unlock()
	if held != 0 {
		t.Errorf("%d blocks held back", held)
	}
	if _, err := io.ReadFull(p.relay, make([]byte, mostCorked*cell.FixedLen)); err != nil {
		t.Error(err)
	}
	p.link.Uncork()
}

func TestSendAfterShutFreesTheBlock(t *testing.T) {
	p := newPair(t)
	p.close(t)
	before := block.Outstanding()
	p.link.Send(outgoing(1, 0, 1))
	if n := block.Outstanding(); n != before {
		t.Errorf("%d blocks are out, %d before", n, before)
	}
	if _, err := p.link.Open(nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Open on a closed link: %v", err)
	}
}

// A circuit is told that its connection was shut.
func TestShutTellsTheCircuits(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	in, _ := p.circuit(t)
	p.link.Shut(chivev1.Outcome_OUTCOME_REPLACED)
	if lost := in.told(t); lost.Outcome != chivev1.Outcome_OUTCOME_REPLACED {
		t.Errorf("the circuit got %v", lost)
	}
}

// The relay goes away while the link has much to send.
func TestRelayGoneWhileTheSocketIsFull(t *testing.T) {
	p := newPair(t)
	for i := range 400 {
		p.link.Send(outgoing(1, i, 31))
	}
	_ = p.relay.NetConn().(*net.TCPConn).SetLinger(0)
	_ = p.relay.NetConn().Close()
	for range 2 {
		if err := <-p.ended; err == nil {
			t.Error("reader or writer ended without an error")
		}
	}
	p.ended <- nil
	p.ended <- nil
	p.close(t)
}

// One burst holds cells of several circuits, interleaved, and others' between.
func TestBurstIsSortedByCircuit(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	a, idA := p.circuit(t)
	b, idB := p.circuit(t)
	_, gone := p.circuit(t)
	p.link.Release(gone, time.Unix(1, 0))
	var raw, wantA, wantB []byte
	for i := range 300 {
		raw = numbered(raw, idA, i)
		wantA = numbered(wantA, idA, i)
		raw = numbered(raw, gone, i) // was on its way when we ended the circuit
		if i%3 == 0 {
			raw = numbered(raw, idB, i)
			wantB = numbered(wantB, idB, i)
			raw = cell.AppendVariable(raw, 0, cell.Vpadding, make([]byte, cell.MaxVariableLen-i))
			raw = cell.AppendFixed(raw, 0, cell.Padding, nil)
		}
	}
	if _, err := p.relay.Write(raw); err != nil {
		t.Fatal(err)
	}
	if got := a.wait(t, len(wantA)); !bytes.Equal(got, wantA) {
		t.Error("the first circuit's cells are not what was sent")
	}
	if got := b.wait(t, len(wantB)); !bytes.Equal(got, wantB) {
		t.Error("the second circuit's cells are not what was sent")
	}
}

// A relay that breaks the protocol loses the connection.
func TestReaderRefuses(t *testing.T) {
	oversize := cell.AppendVariable(nil, 0, cell.Vpadding, make([]byte, 100))
	binary.BigEndian.PutUint16(oversize[5:], cell.MaxVariableLen+1)
	for name, raw := range map[string][]byte{
		"a circuit that never was": numbered(nil, 7, 0),
		"CREATE2 to a client":      cell.AppendFixed(nil, 7, cell.Create2, nil),
		"NETINFO again":            cell.AppendFixed(nil, 0, cell.Netinfo, nil),
		"CERTS again":              cell.AppendVariable(nil, 0, cell.Certs, nil),
		"an oversized cell":        oversize,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			if _, err := p.relay.Write(raw); err != nil {
				t.Fatal(err)
			}
			err := <-p.ended
			if !errors.Is(err, errProtocol) || pumpOutcome(err) != chivev1.Outcome_OUTCOME_LINK_PROTOCOL {
				t.Errorf("reader ended with %v", err)
			}
			p.ended <- nil
			p.close(t)
		})
	}
}

// The id of an ended circuit is known for a while, and not for ever.
func TestForgottenIDsAreBounded(t *testing.T) {
	l := newLink("c1", dialled{}, nil, time.Unix(0, 0))
	pid := actor.NewPID("here", "x")
	var first cell.CircID
	for i := range maxForgotten + 1 {
		id, err := l.Open(pid, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = id
		}
		l.Release(id, time.Unix(5, 0))
		l.Release(id, time.Unix(9, 0)) // twice does nothing
	}
	if _, known := l.lookup(first); known {
		t.Error("the oldest id is still known")
	}
	if len(l.forgotten) != maxForgotten || len(l.order) != maxForgotten {
		t.Errorf("%d ids kept in %d places, want %d", len(l.forgotten), len(l.order), maxForgotten)
	}
	if since, idle := l.IdleSince(); !idle || !since.Equal(time.Unix(5, 0)) {
		t.Errorf("idle %v since %v", idle, since)
	}
}
