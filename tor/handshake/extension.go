package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Types of the extensions that clients and relays say to each other in an ntor-v3
// handshake (tor-spec "create-created-cells", proposals 324 and 346).
const (
	ExtCCRequest     = 1 // client: congestion control, please; empty
	ExtCCResponse    = 2 // relay: yes, and how many cells a SENDME is for
	ExtSubprotocols  = 3 // client: protocol versions that both are to speak
	protocolRelay    = 2 // id of "Relay" in ExtSubprotocols
	versionRelayCGO  = 6
	ccResponseLength = 1
)

// ErrExtension refuses a handshake message that is not what may be said here.
var ErrExtension = errors.New("handshake extensions are wrong")

// Extension is one of a handshake message.
type Extension struct {
	Type uint8
	Body []byte // at most 255 bytes
}

// AppendExtensions appends a handshake message (proposal 332 A.2, with the number of
// extensions before them). They ought to be in ascending order of type.
func AppendExtensions(dst []byte, all ...Extension) []byte {
	dst = append(dst, uint8(len(all)))
	for _, e := range all {
		dst = append(dst, e.Type, uint8(len(e.Body)))
		dst = append(dst, e.Body...)
	}
	return dst
}

// ParseExtensions reads a handshake message; bodies alias it. A relay that says a thing
// twice, or more than it announced, is refused.
func ParseExtensions(message []byte) ([]Extension, error) {
	if len(message) == 0 {
		return nil, fmt.Errorf("%w: no number of them", ErrExtension)
	}
	n, rest := int(message[0]), message[1:]
	var all []Extension
	for range n {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return nil, fmt.Errorf("%w: cut short", ErrExtension)
		}
		e := Extension{rest[0], rest[2 : 2+int(rest[1])]}
		rest = rest[2+len(e.Body):]
		if slices.ContainsFunc(all, func(other Extension) bool { return other.Type == e.Type }) {
			return nil, fmt.Errorf("%w: type %d twice", ErrExtension, e.Type)
		}
		all = append(all, e)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind them", ErrExtension, len(rest))
	}
	return all, nil
}

// Wish is what a client asks a relay for.
type Wish struct {
	CongestionControl bool
	CGO               bool // needs CongestionControl: its cells have no stream-level SENDME
}

// Message is the wish as a handshake message.
func (w Wish) Message() []byte {
	var all []Extension
	if w.CongestionControl {
		all = append(all, Extension{Type: ExtCCRequest})
	}
	if w.CGO {
		all = append(all, Extension{Type: ExtSubprotocols, Body: []byte{protocolRelay, versionRelayCGO}})
	}
	return AppendExtensions(nil, all...)
}

// WishOf is the relay's half: what a client's message asks for. Extensions that are not
// known are ignored. A capability that is not one of this relay's for this use, or a list
// of them that is not in ascending order, is refused (tor-spec "create-created-cells"), and
// so is CGO without congestion control.
func WishOf(message []byte) (w Wish, err error) {
	all, err := ParseExtensions(message)
	if err != nil {
		return w, err
	}
	for _, e := range all {
		switch e.Type {
		case ExtCCRequest:
			w.CongestionControl = true
		case ExtSubprotocols:
			// Of the one capability there is, no list but this can be made.
			if len(e.Body) > 0 && !bytes.Equal(e.Body, []byte{protocolRelay, versionRelayCGO}) {
				return Wish{}, fmt.Errorf("%w: subprotocols % x", ErrExtension, e.Body)
			}
			w.CGO = len(e.Body) > 0
		}
	}
	if w.CGO && !w.CongestionControl {
		return Wish{}, fmt.Errorf("%w: CGO without congestion control", ErrExtension)
	}
	return w, nil
}

// Grant is what the relay gave.
type Grant struct {
	SendmeIncrement int // cells a circuit-level SENDME is for; 0: no congestion control
}

// Granted reads the relay's answer to a wish. The increment must be the consensus's, or one
// beside it (a relay may have another consensus, and the parameter moves by one from each to
// the next; proposal 324 §10.3 allows a factor of two, C tor does not), and nothing may come
// that was not asked for: a relay could else mark a client's circuits. CGO is given without a word by a relay
// that answers at all, as one that cannot has to refuse the circuit (proposal 346).
func (w Wish) Granted(message []byte, consensusIncrement int) (g Grant, err error) {
	all, err := ParseExtensions(message)
	if err != nil {
		return g, err
	}
	for _, e := range all {
		switch e.Type {
		case ExtCCResponse:
		case ExtCCRequest, ExtSubprotocols:
			return Grant{}, fmt.Errorf("%w: the relay asks for something, with type %d", ErrExtension, e.Type)
		default:
			continue // a client must ignore what it does not know
		}
		if !w.CongestionControl {
			return Grant{}, fmt.Errorf("%w: congestion control that was not asked for", ErrExtension)
		}
		if len(e.Body) != ccResponseLength {
			return Grant{}, fmt.Errorf("%w: a congestion control answer of %d bytes", ErrExtension, len(e.Body))
		}
		inc := int(e.Body[0])
		if inc == 0 || inc > consensusIncrement+1 || inc < consensusIncrement-1 {
			return Grant{}, fmt.Errorf("%w: %d cells a SENDME, where the consensus says %d", ErrExtension, inc, consensusIncrement)
		}
		g.SendmeIncrement = inc
	}
	if w.CGO && g.SendmeIncrement == 0 {
		return Grant{}, fmt.Errorf("%w: CGO without congestion control", ErrExtension)
	}
	return g, nil
}
