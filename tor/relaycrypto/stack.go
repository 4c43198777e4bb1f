package relaycrypto

import (
	"fmt"

	"chive/tor/cell"
)

// Stack is the client's end of a circuit: one layer a hop, hop 0 being the guard.
// The zero value is a circuit without hops.
type Stack struct {
	layers []*Layer
	opened opened // ahead; the zero value: no cell is
}

// Add appends the layer of the next hop. It must not overlap Seal or Open.
func (s *Stack) Add(l *Layer) { s.layers = append(s.layers, l) }

// Len returns the number of hops.
func (s *Stack) Len() int { return len(s.layers) }

// Format is how messages to and from a hop lie in its cells.
func (s *Stack) Format(hop int) cell.RelayFormat { return s.layers[hop].Format() }

// Seal turns a relay cell's 509-byte plaintext body, in the hop's format, into what
// the guard must receive so that hop recognizes it: it sets the fields recognized
// and digest, or the tag, and puts on the layers of hop, hop-1, …, 0, in place
// (tor-spec 5.5.2.1, proposal 359). The command is that of the cell, RELAY or
// RELAY_EARLY. It panics when hop is not on the circuit or the body has another
// length: both are the caller's bugs.
func (s *Stack) Seal(command cell.Command, body []byte, hop int) {
	s.Take(body, hop)
	s.Wrap(command, body, hop)
}

// Take is the first half of Seal, and Wrap the second.
func (s *Stack) Take(body []byte, hop int) { s.layers[hop].take(fixed(body)) }

// Ahead says whether Take of a cell to hop may go before Wrap of the one before, and that two
// such cells then cost less than otherwise. No other cell may be sealed to hop in between.
func (s *Stack) Ahead(hop int) bool { return s.layers[hop].ahead() }

// Wrap is the second half of Seal.
func (s *Stack) Wrap(command cell.Command, body []byte, hop int) {
	b := fixed(body)
	layers := s.layers[:hop+1]
	layers[hop].originate(command, b)
	for i := hop - 1; i >= 0; i-- {
		layers[i].pass(command, b)
	}
}

// Open removes layers from the 509-byte body of a cell that came from the guard, in
// place, until a hop is found that recognizes it, and returns that hop. The body is
// then the hop's plaintext in its format; in V0 recognized and digest are zero
// (tor-spec 5.5.3). It returns -1 when no hop recognizes the cell: the circuit must
// be destroyed, for its counters no longer match the relays' reality. Every layer
// that was passed has moved on by one cell, as its relay's has.
func (s *Stack) Open(command cell.Command, body []byte) (hop int) {
	return s.OpenBefore(command, body, nil)
}

func (s *Stack) open(command cell.Command, b *[bodyLen]byte) (hop int) {
	for i, l := range s.layers {
		if l.open(command, b) {
			return i
		}
	}
	return -1
}

// ForwardTag is the tag of the last cell that was sealed to hop: what a SENDME
// from hop must carry if it acknowledges that cell (proposal 289).
func (s *Stack) ForwardTag(hop int) Tag { return s.layers[hop].forwardTag() }

// BackwardTag is the tag of the last cell that Open recognized from hop: what our
// SENDME to hop carries if it acknowledges that cell.
func (s *Stack) BackwardTag(hop int) Tag { return s.layers[hop].backwardTag() }

func fixed(body []byte) *[bodyLen]byte {
	if len(body) != bodyLen {
		panic(fmt.Sprintf("relaycrypto: relay cell body of %d bytes, want %d", len(body), bodyLen))
	}
	return (*[bodyLen]byte)(body)
}
