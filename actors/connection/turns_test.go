package connection

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/tor/cell"
)

// newFullPair connects a link over a connection that takes nothing before its other end reads,
// and keeps nothing.
func newFullPair(t *testing.T) *pair {
	t.Helper()
	before := block.Outstanding()
	ours, theirs := net.Pipe()
	relay := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, SessionTicketsDisabled: true})
	shaken := make(chan error, 1)
	go func() { shaken <- relay.Handshake() }()
	records := newRecordConn(ours)
	conn := tls.Client(records, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	records.writeAtOnce()
	system := kernel.NewSystem(nil)
	p := &pair{
		link:  newLink("c1", dialled{conn: conn, records: records}, system.Root, time.Unix(0, 0)),
		relay: relay, system: system, ended: make(chan error, 2), before: before,
	}
	go func() { p.ended <- p.link.read(conn, records, nil) }()
	go func() { p.ended <- p.link.write() }()
	return p
}

// next reads the relay's next cell.
func (p *pair) next(t *testing.T) (id cell.CircID, n int) {
	t.Helper()
	raw := make([]byte, cell.FixedLen)
	if _, err := io.ReadFull(p.relay, raw); err != nil {
		t.Fatal(err)
	}
	return cell.CircID(binary.BigEndian.Uint32(raw)), number(raw)
}

// open opens circuits that nobody listens to.
func (p *pair) open(t *testing.T, count int) (ids []cell.CircID) {
	t.Helper()
	pid := p.system.Root.Spawn(kernel.Func(func(actor.Context) {}))
	for range count {
		id, err := p.link.Open(pid, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// Behind a full socket a circuit has much waiting. The cell of one that asks little is written
// next, and so is a cell of no circuit; the order within a circuit stays, to the last cell of
// one that is released.
func TestInteractiveCellOvertakesBulk(t *testing.T) {
	p := newFullPair(t)
	defer p.close(t)
	ids := p.open(t, 2)
	bulk, interactive := ids[0], ids[1]
	const blocks, cells = 50, 31
	for i := range blocks {
		p.link.Send(outgoing(bulk, i*cells, cells))
	}
	p.link.Send(outgoing(interactive, 0, 1))
	p.link.Send(outgoing(0, 0, 1))
	p.link.Send(outgoing(interactive, 1, 1)) // its DESTROY, say
	p.link.Release(interactive, time.Unix(1, 0))
	for i := range cells { // what went before they came
		if id, n := p.next(t); id != bulk || n != i {
			t.Fatalf("cell %d of %d where %d of the bulk was due", n, id, i)
		}
	}
	for i, want := range []struct {
		id cell.CircID
		n  int
	}{{0, 0}, {interactive, 0}, {interactive, 1}} {
		if id, n := p.next(t); id != want.id || n != want.n {
			t.Fatalf("%d: cell %d of circuit %d, want %d of %d", i, n, id, want.n, want.id)
		}
	}
	for i := cells; i < blocks*cells; i++ {
		if id, n := p.next(t); id != bulk || n != i {
			t.Fatalf("cell %d of %d where %d of the bulk was due", n, id, i)
		}
	}
}

// What is chosen to be written is no more than a write, however much waits: the rest can be
// overtaken.
func TestLittleIsChosenAtOnce(t *testing.T) {
	p := newFullPair(t)
	defer p.close(t)
	ids := p.open(t, 2)
	const blocks, cells = 60, 31
	p.link.Cork()
	for i := range blocks {
		p.link.Send(outgoing(ids[0], i*cells, cells))
	}
	p.link.Uncork()
	p.link.Send(outgoing(ids[1], 0, 1))
	before := 0
	for id, _ := p.next(t); id == ids[0]; id, _ = p.next(t) {
		before++
	}
	if most := mostHeld/cell.FixedLen + cells; before > most {
		t.Errorf("%d cells go before, want at most %d", before, most)
	}
	for range blocks*cells - before {
		p.next(t)
	}
}

// Circuits that all have much waiting are served in turns, whoever came first.
func TestBulkCircuitsTakeTurns(t *testing.T) {
	p := newFullPair(t)
	defer p.close(t)
	const circuits, blocks, cells = 5, 20, 31
	ids := p.open(t, circuits)
	for _, id := range ids {
		for i := range blocks {
			p.link.Send(outgoing(id, i*cells, cells))
		}
	}
	sent := map[cell.CircID]int{}
	for range circuits * blocks * cells {
		id, n := p.next(t)
		if n != sent[id] {
			t.Fatalf("circuit %d: cell %d where %d was due", id, n, sent[id])
		}
		sent[id]++
		least := blocks * cells
		for _, id := range ids {
			least = min(least, sent[id])
		}
		if sent[id]-least > 2*cells { // one block, and one that is under way
			t.Fatalf("one circuit is %d cells ahead of another", sent[id]-least)
		}
	}
}

// The credit of a block comes back when it is written, not when it is queued.
func TestCreditWhenWritten(t *testing.T) {
	p := newFullPair(t)
	defer p.close(t)
	id := p.open(t, 1)[0]
	credit := make(chan struct{}, 2)
	p.link.Send(outgoing(id, 0, 1)) // fills it
	for i := range 2 {
		b := outgoing(id, 1+i*31, 31)
		b.Credit = credit
		p.link.Send(b)
	}
	if len(credit) != 0 {
		t.Errorf("%d credits though nothing was written", len(credit))
	}
	for want := range 63 {
		if _, n := p.next(t); n != want {
			t.Fatalf("cell %d where %d was due", n, want)
		}
	}
	for range 2 {
		<-credit
	}
}

// Sending on an open circuit that the socket takes costs no memory.
func TestSendAllocatesNothing(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	ids := p.open(t, 3)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, p.relay) // till the link is shut
	}()
	const runs = 100
	var blocks []*block.Block // the pool may have none
	for i := range len(ids) * (runs + 1) {
		blocks = append(blocks, outgoing(ids[i%len(ids)], 0, 31))
	}
	n := testing.AllocsPerRun(runs, func() {
		for range ids {
			p.link.Send(blocks[0])
			blocks = blocks[1:]
		}
	})
	if n >= 1 { // TLS and the relay's end may grow something, once
		t.Errorf("%v allocations for %d blocks", n, len(ids))
	}
	_ = p.relay.Close()
	<-read
}

// A new half-life counts from when it is told.
func TestFavour(t *testing.T) {
	l := newLink("x", dialled{}, nil, time.Now())
	c := &connection{link: l}
	l.stuck = true
	var order []cell.CircID
	for id := cell.CircID(1); id <= 2; id++ {
		l.queue.Open(id)
		l.Send(outgoing(id, 0, int(3-id))) // 2 cells, and 1
	}
	for range 2 {
		b, _ := l.queue.Next()
		b.Free()
	}
	c.favour(time.Millisecond)
	if c.o.HalfLife != time.Millisecond {
		t.Errorf("a link that opens later has %v", c.o.HalfLife)
	}
	l.queue.At(time.Since(l.activity.epoch) + time.Hour) // nothing counts any more: who waits longest is first
	for id := cell.CircID(1); id <= 2; id++ {
		l.Send(outgoing(id, 0, 1))
	}
	for b, ok := l.queue.Next(); ok; b, ok = l.queue.Next() {
		order = append(order, cell.CircID(binary.BigEndian.Uint32(b.Bytes)))
		b.Free()
	}
	if !slices.Equal(order, []cell.CircID{1, 2}) {
		t.Errorf("the order is %v", order)
	}
}
