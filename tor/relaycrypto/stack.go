package relaycrypto

import (
	"crypto/sha1"
	"fmt"

	"chive/tor/handshake"
)

// Layer is what a client shares with one hop of a circuit: a cipher and a running
// digest in each direction.
type Layer struct {
	forward, backward direction
}

// NewLayer makes the client's layer from the keys of one finished handshake. The
// caller keeps keys and may wipe it. It fails only on a Go build whose AES or
// SHA-1 is restricted (FIPS-only mode).
func NewLayer(keys handshake.KeyMaterial) (*Layer, error) {
	l := new(Layer)
	if err := l.forward.init(keys.Kf[:], sha1.New(), keys.Df[:]); err != nil {
		return nil, fmt.Errorf("forward layer: %w", err)
	}
	if err := l.backward.init(keys.Kb[:], sha1.New(), keys.Db[:]); err != nil {
		return nil, fmt.Errorf("backward layer: %w", err)
	}
	return l, nil
}

// Stack is the client's end of a circuit: one layer a hop, hop 0 being the guard.
// The zero value is a circuit without hops.
type Stack struct {
	layers []*Layer
}

// Add appends the layer of the next hop. It must not overlap Seal or Open.
func (s *Stack) Add(l *Layer) { s.layers = append(s.layers, l) }

// Len returns the number of hops.
func (s *Stack) Len() int { return len(s.layers) }

// Seal turns a relay cell's 509-byte plaintext body into what the guard must
// receive so that hop recognizes it: it sets the fields recognized and digest and
// encrypts for hop, hop-1, …, 0, in place (tor-spec 5.5.2.1). It panics when hop is
// not on the circuit or the body has another length: both are the caller's bugs.
func (s *Stack) Seal(body []byte, hop int) {
	checkLen(body)
	layers := s.layers[:hop+1]
	layers[hop].forward.stamp(body)
	for i := hop; i >= 0; i-- {
		layers[i].forward.crypt(body)
	}
}

// Open removes layers from a 509-byte body that came from the guard, in place,
// until a hop is found that recognizes it, and returns that hop. The body is then
// the hop's plaintext with recognized and digest zero (tor-spec 5.5.3). It returns
// -1 when no hop recognizes the cell: the circuit must be destroyed, for its
// counters no longer match the relays' reality. Every layer that was passed has
// moved on by one cell, as its relay's has.
func (s *Stack) Open(body []byte) (hop int) {
	checkLen(body)
	for i, l := range s.layers {
		l.backward.crypt(body)
		if l.backward.recognizes(body) {
			return i
		}
	}
	return -1
}

// ForwardTag is the full running digest after the last Seal to hop: what a SENDME
// from hop must carry if it acknowledges that cell (proposal 289).
func (s *Stack) ForwardTag(hop int) [sha1.Size]byte { return s.layers[hop].forward.tag }

// BackwardTag is the full running digest after the last cell that Open recognized
// from hop: what our SENDME to hop carries if it acknowledges that cell.
func (s *Stack) BackwardTag(hop int) [sha1.Size]byte { return s.layers[hop].backward.tag }

func checkLen(body []byte) {
	if len(body) != bodyLen {
		panic(fmt.Sprintf("relaycrypto: relay cell body of %d bytes, want %d", len(body), bodyLen))
	}
}
