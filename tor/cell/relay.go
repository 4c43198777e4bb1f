package cell

import (
	"encoding/binary"
	"errors"
)

// Sizes in bytes of a relay cell's body, format V0 (tor-spec section 6.1).
const (
	RelayHeaderLen = 11
	MaxRelayData   = BodyLen - RelayHeaderLen // 498
)

// ErrRelayLength: a relay header announces more data than a cell holds.
var ErrRelayLength = errors.New("cell: relay data longer than its cell")

// RelayHeader is the header of a decrypted relay cell, without the recognized
// and digest fields, which belong to tor/relaycrypto.
type RelayHeader struct {
	Cmd    RelayCommand
	Stream StreamID
	Length int // bytes of data, 0 to MaxRelayData
}

// PutRelayHeader writes h to the first RelayHeaderLen bytes of body and zeroes
// the recognized and digest fields. h.Length must be at most MaxRelayData.
func PutRelayHeader(body []byte, h RelayHeader) {
	_ = body[RelayHeaderLen-1]
	body[0] = byte(h.Cmd)
	binary.BigEndian.PutUint16(body[1:], 0)
	binary.BigEndian.PutUint16(body[3:], uint16(h.Stream))
	binary.BigEndian.PutUint32(body[5:], 0)
	binary.BigEndian.PutUint16(body[9:], uint16(h.Length))
}

// ParseRelayHeader reads the header of a decrypted relay body. A length that
// exceeds MaxRelayData, or a body shorter than what it announces, gives
// ErrRelayLength. The data is body[RelayHeaderLen:RelayHeaderLen+h.Length].
func ParseRelayHeader(body []byte) (RelayHeader, error) {
	if len(body) < RelayHeaderLen {
		return RelayHeader{}, ErrTruncated
	}
	h := RelayHeader{
		Cmd:    RelayCommand(body[0]),
		Stream: StreamID(binary.BigEndian.Uint16(body[3:])),
		Length: int(binary.BigEndian.Uint16(body[9:])),
	}
	if h.Length > MaxRelayData || h.Length > len(body)-RelayHeaderLen {
		return RelayHeader{}, ErrRelayLength
	}
	return h, nil
}
