package cell

import (
	"encoding/binary"
	"fmt"
)

// RelayFormat is how a relay message lies in the 509 bytes of a decrypted relay cell.
type RelayFormat uint8

// The formats. Which one a hop speaks follows from its relay cryptography.
const (
	// RelayV0 goes with tor1 (tor-spec section 6.1):
	//
	//	command 1 | recognized 2 | stream 2 | digest 4 | length 2 | data
	RelayV0 RelayFormat = iota
	// RelayV1 goes with Counter Galois Onion (proposals 340 and 359):
	//
	//	tag 16 | command 1 | length 2 | stream 2, of messages of streams only | data
	//
	// One message a cell: of proposal 340's packing and fragments nothing was built. A
	// circuit-level message has no stream id and a stream's must have one, so a SENDME
	// is always the circuit's.
	RelayV1
)

// Sizes in bytes of a relay cell's body, format V1.
const (
	relayTagLen      = 16
	relayV1Len       = relayTagLen + 3
	relayV1StreamLen = relayV1Len + 2

	MaxRelayDataV1    = BodyLen - relayV1StreamLen // 488, of a stream's message
	maxRelayControlV1 = BodyLen - relayV1Len       // 490, of a circuit's
)

// commandSet has a bit for each relay command; all known ones are below 64.
type commandSet uint64

func setOf(commands ...RelayCommand) (s commandSet) {
	for _, c := range commands {
		s |= 1 << c
	}
	return s
}

func (s commandSet) has(c RelayCommand) bool { return c < 64 && s>>c&1 == 1 }

var (
	// streamCommands carry a stream id in V1, and no others do.
	streamCommands = setOf(RelayBegin, RelayData, RelayEnd, RelayConnected, RelayResolve, RelayResolved,
		RelayBeginDir, RelayXoff, RelayXon)
	// circuitCommands are the others that V1 may carry.
	circuitCommands = setOf(RelaySendme, RelayExtend, RelayExtended, RelayTruncate, RelayTruncated, RelayDrop,
		RelayExtend2, RelayExtended2, RelayConfluxLink, RelayConfluxLinked, RelayConfluxLinkedAck, RelayConfluxSwitch,
		RelayEstablishIntro, RelayEstablishRend, RelayIntroduce1, RelayIntroduce2, RelayRendezvous1, RelayRendezvous2,
		RelayIntroEstablished, RelayRendEstablished, RelayIntroduceAck, RelayPaddingNegotiate, RelayPaddingNegotiated)
)

// String is the format's name in the proposals.
func (f RelayFormat) String() string { return fmt.Sprintf("V%d", uint8(f)) }

// MaxData is how many bytes of data a cell of the command holds.
func (f RelayFormat) MaxData(c RelayCommand) int {
	switch {
	case f == RelayV0:
		return MaxRelayData
	case streamCommands.has(c):
		return MaxRelayDataV1
	default:
		return maxRelayControlV1
	}
}

// Put writes h to a 509-byte body, and returns the rest of the body, which begins with room
// for h.Length bytes of data. What belongs to tor/relaycrypto is left alone in V1 and
// zeroed in V0. It panics on a message that the format does not have: a longer one, or in
// V1 a stream's without a stream or a circuit's with one.
func (f RelayFormat) Put(body []byte, h RelayHeader) []byte {
	if h.Length > f.MaxData(h.Cmd) {
		panic(fmt.Sprintf("cell: %v with %d bytes in format %v", h.Cmd, h.Length, f))
	}
	if f == RelayV0 {
		PutRelayHeader(body, h)
		return body[RelayHeaderLen:BodyLen]
	}
	ofStream := streamCommands.has(h.Cmd)
	if ofStream != (h.Stream != 0) {
		panic(fmt.Sprintf("cell: %v on stream %v in format %v", h.Cmd, h.Stream, f))
	}
	_ = body[BodyLen-1]
	body[relayTagLen] = byte(h.Cmd)
	binary.BigEndian.PutUint16(body[relayTagLen+1:], uint16(h.Length))
	if !ofStream {
		return body[relayV1Len:BodyLen]
	}
	binary.BigEndian.PutUint16(body[relayV1Len:], uint16(h.Stream))
	return body[relayV1StreamLen:BodyLen]
}

// Parse reads a decrypted relay body; data is a part of it. Errors: ErrTruncated for a body
// that is none, ErrRelayLength, and in V1 ErrMalformed for a command that is not known, for
// then neither is where its data begins, and for a stream's message with stream id 0. On
// each of them the circuit must be closed.
func (f RelayFormat) Parse(body []byte) (h RelayHeader, data []byte, err error) {
	if len(body) != BodyLen {
		return h, nil, ErrTruncated
	}
	if f == RelayV0 {
		if h, err = ParseRelayHeader(body); err != nil {
			return h, nil, err
		}
		return h, body[RelayHeaderLen : RelayHeaderLen+h.Length], nil
	}
	h = RelayHeader{Cmd: RelayCommand(body[relayTagLen]), Length: int(binary.BigEndian.Uint16(body[relayTagLen+1:]))}
	rest := body[relayV1Len:]
	switch {
	case streamCommands.has(h.Cmd):
		h.Stream = StreamID(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; h.Stream == 0 {
			return RelayHeader{}, nil, fmt.Errorf("%v without a stream: %w", h.Cmd, ErrMalformed)
		}
	case !circuitCommands.has(h.Cmd):
		return RelayHeader{}, nil, fmt.Errorf("unknown %v: %w", h.Cmd, ErrMalformed)
	}
	if h.Length > len(rest) {
		return RelayHeader{}, nil, ErrRelayLength
	}
	return h, rest[:h.Length], nil
}
