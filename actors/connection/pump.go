package connection

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"chive/actors/block"
	"chive/tor/cell"
)

// writeTimeout is how long a relay may take nothing at all before the
// connection counts as lost.
const writeTimeout = 60 * time.Second

// maxRecord is the content of the largest TLS record, in bytes.
const maxRecord = 16384

// errProtocol wraps what only a broken or hostile relay sends.
var errProtocol = errors.New("link protocol violation")

// read takes what each TLS read gives and posts it on, until the connection
// fails. carry is what the handshake had read too much.
func (l *Link) read(conn io.Reader, records *recordConn, carry []byte) error {
	b := block.Get(block.CellsIn)
	fill := copy(b.Buf[:], carry)
	for {
		n, err := readBatch(conn, records, b.Buf[fill:maxRecord])
		if n == 0 && err != nil {
			b.Free()
			return err
		}
		fill += n
		whole, err := l.dispatchable(b.Buf[:fill])
		if err != nil {
			b.Free()
			return err
		}
		next := block.Get(block.CellsIn)
		left := copy(next.Buf[:], b.Buf[whole:fill])
		if err := l.dispatch(b, whole); err != nil {
			next.Free()
			return err
		}
		b, fill = next, left
	}
}

// readBatch waits for a record and takes those that are there behind it.
func readBatch(conn io.Reader, records *recordConn, p []byte) (int, error) {
	n, err := conn.Read(p)
	if err != nil {
		return n, err
	}
	records.atOnce = true
	for n < len(p) && records.another() {
		more, err := conn.Read(p[n:])
		n += more
		if errors.Is(err, errNotNow) {
			break // the record held no data
		}
		if err != nil {
			records.atOnce = false
			return n, err
		}
	}
	records.atOnce = false
	return n, nil
}

// dispatchable is how many leading bytes are whole cells.
func (l *Link) dispatchable(buf []byte) (int, error) {
	whole := 0
	for {
		_, _, _, n, err := cell.Next(buf[whole:])
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errProtocol, err)
		}
		if n == 0 {
			return whole, nil
		}
		whole += n
	}
}

// dispatch posts the whole cells of a block to their circuits and takes over
// the block. Most reads carry cells of one circuit only: those go on without a
// copy.
func (l *Link) dispatch(b *block.Block, whole int) error {
	if id, ok := onlyCircuit(b.Buf[:whole]); ok {
		pid, known := l.lookup(id)
		if pid == nil {
			b.Free()
			return unknownCircuit(known)
		}
		b.Bytes, b.Here = b.Buf[:whole], true
		l.root.Send(pid, b)
		return nil
	}
	defer b.Free()
	return l.scatter(b.Buf[:whole])
}

// onlyCircuit reports the circuit if all cells are fixed-size ones of it.
func onlyCircuit(cells []byte) (cell.CircID, bool) {
	var only cell.CircID
	for at := 0; at < len(cells); {
		id, command, _, n, _ := cell.Next(cells[at:])
		if n != cell.FixedLen || classify(command) != forCircuit || at > 0 && id != only {
			return 0, false
		}
		only = id
		at += n
	}
	return only, len(cells) > 0
}

// scatter copies the cells of a mixed read into one block a circuit and posts
// those in the order of their first cells.
func (l *Link) scatter(cells []byte) error {
	type share struct {
		id cell.CircID
		b  *block.Block
	}
	var room [4]share
	shares := room[:0]
	var failed error
	for at := 0; at < len(cells) && failed == nil; {
		id, command, _, n, _ := cell.Next(cells[at:])
		raw := cells[at : at+n]
		at += n
		switch classify(command) {
		case ignored:
			continue
		case illegal:
			failed = fmt.Errorf("%w: %v cell on an open connection", errProtocol, command)
			continue
		case forCircuit:
		}
		i := 0
		for i < len(shares) && shares[i].id != id {
			i++
		}
		if i == len(shares) {
			b := block.Get(block.CellsIn)
			b.Bytes = b.Buf[:0]
			shares = append(shares, share{id, b})
		}
		shares[i].b.Bytes = append(shares[i].b.Bytes, raw...)
	}
	for _, s := range shares {
		pid, known := l.lookup(s.id)
		if pid != nil {
			l.root.Send(pid, s.b)
			continue
		}
		s.b.Free()
		if failed == nil {
			failed = unknownCircuit(known)
		}
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

// write sends what is queued until the connection fails or is shut.
// Small blocks share a TLS record.
func (l *Link) write(conn net.Conn) error {
	scratch := make([]byte, 0, maxRecord)
	batch := make([]*block.Block, 0, 16) // never nil: a nil queue means closed
	for {
		select {
		case <-l.done:
			return nil
		case <-l.wake:
		}
		l.queueMu.Lock()
		if l.queue == nil {
			l.queueMu.Unlock()
			return ErrClosed
		}
		batch, l.queue = l.queue, batch[:0]
		l.queueMu.Unlock()
		if err := writeBatch(conn, scratch, batch); err != nil {
			return err
		}
	}
}

func writeBatch(conn net.Conn, scratch []byte, batch []*block.Block) error {
	var err error
	if e := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); e != nil {
		err = e
	}
	for i, b := range batch {
		if err == nil && len(scratch)+len(b.Bytes) > maxRecord {
			_, err = conn.Write(scratch)
			scratch = scratch[:0]
		}
		last := i == len(batch)-1
		switch {
		case err != nil:
		case len(scratch) == 0 && (last || len(b.Bytes) > maxRecord/2):
			_, err = conn.Write(b.Bytes)
		default:
			scratch = append(scratch, b.Bytes...)
			if last {
				_, err = conn.Write(scratch)
			}
		}
		b.Free()
		batch[i] = nil
	}
	return err
}
