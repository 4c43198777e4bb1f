package connection

import (
	"errors"
	"fmt"
	"io"
	"time"

	"chive/actors/block"
	"chive/tor/cell"
	padding "chive/tor/padding/link"
)

// errProtocol wraps what only a broken or hostile relay sends.
var errProtocol = errors.New("link protocol violation")

// stagingSize holds the largest cell and the largest record behind it, and
// whatever the handshake may have read too much, in bytes.
const stagingSize = 64 << 10

// maxBurst is how many blocks the reader fills before it hands them out.
const maxBurst = 32

// Under load a burst is made larger by waiting a little: fewer and larger reads
// and writes cost less. A burst of busyBytes within busyGap of the one before is
// load; the wait is short beside any round trip, and the first bytes after a
// pause never wait.
const (
	busyBytes = 8 << 10
	busyGap   = time.Millisecond
	busyWait  = time.Millisecond
)

// mostVain is how many busy bursts at most go without a wait after one that brought nothing.
const mostVain = 7

// rest learns whether it pays to wait: on a connection that is just busy enough little may come
// in so short a time, and a timer costs more than a read.
type rest struct {
	done bool // before the last burst
	vain int  // how many busy bursts go without, from the last wait that was in vain
	left int  // of those
}

// due says whether to wait before the next burst. The connection is busy or not; waited is
// whether the reader had to wait for the last burst in any case.
func (r *rest) due(busy, waited bool) bool {
	switch {
	case !r.done:
	case waited:
		r.vain = min(2*r.vain+1, mostVain)
		r.left = r.vain
	default:
		r.vain, r.left = 0, 0
	}
	r.done = busy && r.left == 0
	if busy && r.left > 0 {
		r.left--
	}
	return r.done
}

// share is the cells of one circuit in a burst.
type share struct {
	id cell.CircID
	b  *block.Block
}

// reader sorts what comes from the relay by circuit.
type reader struct {
	link    *Link
	conn    io.Reader
	records *recordConn // below conn
	buf     []byte
	fill    int       // bytes in buf
	size    int       // bytes of the burst
	relayed bool      // the burst has a relay cell
	ended   time.Time // when the last burst was handed out
	rest    rest
	burst   []share // in the order of their first cells
}

// read takes what has come from the relay as one burst, gives each circuit its
// cells of it, and answers with one write, until the connection fails. carry is
// what the handshake had read too much.
func (l *Link) read(conn io.Reader, records *recordConn, carry []byte) error {
	r := &reader{link: l, conn: conn, records: records, buf: make([]byte, stagingSize)}
	r.fill = copy(r.buf, carry)
	for {
		n, err := conn.Read(r.buf[r.fill:])
		if n == 0 && err != nil {
			return err
		}
		r.fill += n
		err = r.gather()
		if e := r.handOut(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		r.pause()
	}
}

// pause waits for more to come if the connection is busy, and not all that fits is there
// already.
func (r *reader) pause() {
	now := time.Now()
	busy := r.size >= busyBytes && now.Sub(r.ended) < busyGap && !r.records.filled
	waited := r.records.waited
	r.records.waited = false
	if r.size, r.ended = 0, now; r.rest.due(busy, waited) {
		time.Sleep(busyWait)
		r.ended = time.Now()
	}
}

// gather sorts the cells that are here, and those of the records behind them.
func (r *reader) gather() error {
	for {
		if err := r.sort(); err != nil {
			return err
		}
		if len(r.burst) >= maxBurst || !r.records.another() {
			return nil
		}
		r.records.atOnce = true
		n, err := r.conn.Read(r.buf[r.fill:])
		r.records.atOnce = false
		r.fill += n
		if errors.Is(err, errNotNow) {
			return nil // the record held no data
		}
		if err != nil && n == 0 {
			return err
		}
	}
}

// sort copies each whole cell to the block of its circuit.
func (r *reader) sort() error {
	at := 0
	for {
		id, command, _, n, err := cell.Next(r.buf[at:r.fill])
		if err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		if n == 0 {
			r.fill = copy(r.buf, r.buf[at:r.fill])
			return nil
		}
		raw := r.buf[at : at+n]
		at += n
		r.size += n
		switch classify(command) {
		case ignored:
			if command == cell.Padding {
				r.link.activity.received.Add(1)
			}
		case illegal:
			return fmt.Errorf("%w: %v cell on an open connection", errProtocol, command)
		case forCircuit:
			r.relayed = r.relayed || command == cell.Relay
			b := r.blockOf(id)
			b.Bytes = append(b.Bytes, raw...)
		}
	}
}

// blockOf finds the circuit's block, or a new one when that is full. Cells of a
// circuit come in runs: the search from the end is short.
func (r *reader) blockOf(id cell.CircID) *block.Block {
	for i := len(r.burst) - 1; i >= 0; i-- {
		if s := &r.burst[i]; s.id == id {
			if len(s.b.Bytes)+cell.FixedLen <= len(s.b.Buf) {
				return s.b
			}
			break
		}
	}
	b := block.GetLarge(block.CellsIn)
	b.Bytes, b.Here = b.Buf[:0], true
	r.burst = append(r.burst, share{id, b})
	return b
}

// handOut gives the burst to the circuits.
func (r *reader) handOut() error {
	var failed error
	r.link.activity.hear()
	if r.relayed {
		r.relayed = false
		r.link.activity.rise(padding.Circuits, padding.Traffic)
	}
	r.link.Cork()
	for i, s := range r.burst {
		r.burst[i] = share{}
		pid, known := r.link.lookup(s.id)
		if pid != nil {
			r.link.root.Send(pid, s.b)
			continue
		}
		s.b.Free()
		if failed == nil {
			failed = unknownCircuit(known)
		}
	}
	r.burst = r.burst[:0]
	r.link.Uncork()
	if r.records.backlog() {
		r.link.giveUp(nil) // TLS itself had something to say
	}
	return failed
}

func unknownCircuit(known bool) error {
	if known {
		return nil // it was on its way when we ended the circuit
	}
	return fmt.Errorf("%w: cell for a circuit that never was", errProtocol)
}

type class uint8

const (
	ignored class = iota
	forCircuit
	illegal
)

// classify says what to do with a cell on an open connection that we
// initiated: a relay never opens circuits towards a client, and unknown
// commands are to be ignored (tor-spec §3).
func classify(command cell.Command) class {
	switch command {
	case cell.Relay, cell.RelayEarly, cell.Destroy, cell.Created2, cell.CreatedFast, cell.Created:
		return forCircuit
	case cell.Create, cell.Create2, cell.CreateFast, cell.Versions, cell.Netinfo, cell.Certs,
		cell.AuthChallenge, cell.Authenticate, cell.PaddingNegotiate:
		return illegal
	default:
		return ignored
	}
}
