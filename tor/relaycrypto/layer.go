package relaycrypto

import (
	"crypto/sha1"
	"fmt"

	"chive/tor/cell"
	"chive/tor/cgo"
	"chive/tor/handshake"
)

// Tag is what an authenticated SENDME carries for a cell: 20 bytes of a hop with tor1, 16 of
// one with Counter Galois Onion. The zero Tag is no cell's.
type Tag struct {
	bytes [cell.SendmeTagLen]byte
	n     uint8
}

// Bytes is the tag as it goes on the wire.
func (t *Tag) Bytes() []byte { return t.bytes[:t.n] }

func tagOf(b []byte) (t Tag) {
	t.n = uint8(copy(t.bytes[:], b))
	return t
}

// Layer is what a client shares with one hop of a circuit, in both directions: either
// tor1's or Counter Galois Onion's.
type Layer struct {
	tor1 *tor1Layer
	cgo  *cgoLayer
}

type tor1Layer struct{ forward, backward direction }

type cgoLayer struct {
	forward  cgo.ClientForward
	backward cgo.ClientBackward
}

// NewLayer makes the client's layer from the keys of one finished handshake. The
// caller keeps keys and may wipe it. It fails only on a Go build whose AES or
// SHA-1 is restricted (FIPS-only mode).
func NewLayer(keys handshake.KeyMaterial) (*Layer, error) {
	l, err := newTor1(keys)
	return &Layer{tor1: l}, err
}

func newTor1(keys handshake.KeyMaterial) (*tor1Layer, error) {
	l := new(tor1Layer)
	if err := l.forward.init(keys.Kf[:], sha1.New(), keys.Df[:]); err != nil {
		return nil, fmt.Errorf("forward layer: %w", err)
	}
	if err := l.backward.init(keys.Kb[:], sha1.New(), keys.Db[:]); err != nil {
		return nil, fmt.Errorf("backward layer: %w", err)
	}
	return l, nil
}

// NewCGOLayer makes the client's layer of Counter Galois Onion from the keys of a handshake
// that asked for it. It fails only on a Go build whose AES is restricted.
func NewCGOLayer(keys *handshake.CGOKeyMaterial) (*Layer, error) {
	l := new(cgoLayer)
	if err := l.forward.Init(&keys.Forward); err != nil {
		return nil, fmt.Errorf("forward layer: %w", err)
	}
	if err := l.backward.Init(&keys.Backward); err != nil {
		return nil, fmt.Errorf("backward layer: %w", err)
	}
	return &Layer{cgo: l}, nil
}

// Format is how the hop's messages lie in its cells: it goes with the cryptography.
func (l *Layer) Format() cell.RelayFormat {
	if l.cgo != nil {
		return cell.RelayV1
	}
	return cell.RelayV0
}

// ahead says whether take may go a cell ahead of originate, and that this saves something.
func (l *Layer) ahead() bool { return l.tor1 != nil && l.tor1.forward.late != nil }

// take is what goes before originate.
func (l *Layer) take(body *[bodyLen]byte) {
	if l.tor1 != nil {
		l.tor1.forward.take(body[:])
	}
}

// originate makes body a cell of this hop's and puts its layer on it.
func (l *Layer) originate(command cell.Command, body *[bodyLen]byte) {
	if l.cgo != nil {
		l.cgo.forward.Originate(byte(command), body)
		return
	}
	l.tor1.forward.stamp(body[:])
	l.tor1.forward.crypt(body)
}

// pass puts the layer on a cell for a later hop.
func (l *Layer) pass(command cell.Command, body *[bodyLen]byte) {
	if l.cgo != nil {
		l.cgo.forward.Pass(byte(command), body)
		return
	}
	l.tor1.forward.crypt(body)
}

// open takes the layer off and tells whether the hop sent the cell.
func (l *Layer) open(command cell.Command, body *[bodyLen]byte) (recognized bool) {
	if l.cgo != nil {
		return l.cgo.backward.Receive(byte(command), body)
	}
	l.tor1.backward.crypt(body)
	return l.tor1.backward.recognizes(body[:])
}

func (l *Layer) forwardTag() Tag {
	if l.cgo != nil {
		tag := l.cgo.forward.Tag()
		return tagOf(tag[:])
	}
	return tagOf(l.tor1.forward.tag[:])
}

func (l *Layer) backwardTag() Tag {
	if l.cgo != nil {
		tag := l.cgo.backward.Tag()
		return tagOf(tag[:])
	}
	return tagOf(l.tor1.backward.tag[:])
}
