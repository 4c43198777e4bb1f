package cell

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// SendmeTagLen is the length in bytes of a version 1 SENDME's tag.
const SendmeTagLen = 20

// ParseSendme reads the data of a SENDME message (tor-spec section 7.3.1,
// proposal 289). Version 0, which empty data also means, carries no tag;
// version 1 carries SendmeTagLen bytes, which alias data, and anything after
// them is ignored. A version 1 tag that is too short, or any other version, is
// an error on which the circuit must be closed. The data of a stream-level
// SENDME need not be parsed: it means nothing.
func ParseSendme(data []byte) (version byte, tag []byte, err error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	switch version = data[0]; version {
	case 0:
		return 0, nil, nil
	case 1:
		s := cryptobyte.String(data[1:])
		var payload cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&payload) || len(payload) < SendmeTagLen {
			return 0, nil, fmt.Errorf("SENDME: %w", ErrTruncated)
		}
		return 1, payload[:SendmeTagLen:SendmeTagLen], nil
	}
	return 0, nil, fmt.Errorf("SENDME version %d: %w", version, ErrMalformed)
}

// AppendSendmeV1 appends the data of an authenticated circuit-level SENDME. It
// panics if tag is not SendmeTagLen bytes.
func AppendSendmeV1(dst, tag []byte) []byte {
	if len(tag) != SendmeTagLen {
		panic("cell: SENDME tag is not 20 bytes")
	}
	dst = append(dst, 1)
	dst = binary.BigEndian.AppendUint16(dst, SendmeTagLen)
	return append(dst, tag...)
}
