package cell

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Lengths in bytes of a version 1 SENDME's tag, which is what the relay cryptography of the
// hop knows a cell by (proposals 289 and 359).
const (
	SendmeTagLen    = 20 // tor1
	SendmeTagLenCGO = 16
)

// ParseSendme reads the data of a SENDME message (tor-spec section 7.3.1,
// proposal 289) of a hop whose tags have tagLen bytes. Version 0, which empty
// data also means, carries no tag; version 1 carries one, which aliases data,
// and anything after it is ignored. A tag of another length, or any other
// version, is an error on which the circuit must be closed. The data of a
// stream-level SENDME need not be parsed: it means nothing.
func ParseSendme(data []byte, tagLen int) (version byte, tag []byte, err error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	switch version = data[0]; version {
	case 0:
		return 0, nil, nil
	case 1:
		s := cryptobyte.String(data[1:])
		var payload cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&payload) {
			return 0, nil, fmt.Errorf("SENDME: %w", ErrTruncated)
		}
		if len(payload) != tagLen {
			return 0, nil, fmt.Errorf("SENDME with a tag of %d bytes, want %d: %w", len(payload), tagLen, ErrMalformed)
		}
		return 1, payload[:tagLen:tagLen], nil
	}
	return 0, nil, fmt.Errorf("SENDME version %d: %w", version, ErrMalformed)
}

// AppendSendmeV1 appends the data of an authenticated circuit-level SENDME. It
// panics if tag has a length that no tag has.
func AppendSendmeV1(dst, tag []byte) []byte {
	if len(tag) != SendmeTagLen && len(tag) != SendmeTagLenCGO {
		panic(fmt.Sprintf("cell: SENDME tag of %d bytes", len(tag)))
	}
	dst = append(dst, 1)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(tag)))
	return append(dst, tag...)
}
