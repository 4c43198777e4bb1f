package relaycrypto

import (
	"encoding/binary"

	"chive/tor/cell"
)

// opened is a cell whose layers are off, and which the last hop's running digest has taken if it
// may be that hop's.
type opened struct {
	body  *[bodyLen]byte
	hop   int    // whose it is, or -1
	taken bool   // it is that hop's if the digest is
	field uint32 // what the digest has to begin with
}

// OpenBefore is Open of a cell behind which there is another of the same command: body is
// opened, and next as far as can be told before it is its turn. Where an onion service is the
// last hop two cells in a row cost less so. The next call must be for next, unless the circuit
// is destroyed; a nil next is none. It panics if another cell comes: that is the caller's bug.
func (s *Stack) OpenBefore(command cell.Command, body, next []byte) (hop int) {
	b, this := fixed(body), s.opened
	last := s.late()
	switch {
	case this.body == nil && (next == nil || last == nil):
		return s.open(command, b)
	case this.body == nil:
		this = s.peel(command, b, last)
	case this.body != b:
		panic("relaycrypto: not the cell that was opened ahead")
	}
	if s.opened = (opened{}); next != nil {
		s.opened = s.peel(command, fixed(next), last)
	}
	if !this.taken {
		return this.hop
	}
	if !s.opened.taken {
		last.late.Settle()
	}
	// One word against one word: no early exit to time.
	if this.field != binary.BigEndian.Uint32(last.sum[:]) {
		return -1
	}
	copy(last.tag[:], last.sum[:])
	return this.hop
}

// late is what comes from the last hop if its digests may come later, else nil.
func (s *Stack) late() *direction {
	if len(s.layers) == 0 {
		return nil
	}
	if l := s.layers[len(s.layers)-1].tor1; l != nil && l.backward.late != nil {
		return &l.backward
	}
	return nil
}

// peel takes the layers off a cell. If it may be the last hop's, last's running digest takes it
// for good: a cell that is nobody's ends the circuit.
func (s *Stack) peel(command cell.Command, b *[bodyLen]byte, last *direction) opened {
	hop := len(s.layers) - 1
	for i, l := range s.layers[:hop] {
		if l.open(command, b) {
			return opened{body: b, hop: i}
		}
	}
	last.crypt(b)
	if b[recognizedAt]|b[recognizedAt+1] != 0 {
		return opened{body: b, hop: -1}
	}
	field := binary.BigEndian.Uint32(b[digestAt:])
	last.enter(b[:])
	return opened{body: b, hop: hop, taken: true, field: field}
}
