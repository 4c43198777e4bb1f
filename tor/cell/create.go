package cell

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// AppendCreate2 appends the body of a CREATE2 cell (tor-spec section 5.1):
// handshake type, length, data. It panics if that exceeds BodyLen.
func AppendCreate2(dst []byte, htype uint16, hdata []byte) []byte {
	if 4+len(hdata) > BodyLen {
		panic("cell: CREATE2 handshake does not fit into a cell")
	}
	dst = binary.BigEndian.AppendUint16(dst, htype)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(hdata)))
	return append(dst, hdata...)
}

// ParseCreate2 reads the body of a CREATE2 cell. hdata aliases body.
func ParseCreate2(body []byte) (htype uint16, hdata []byte, err error) {
	s := cryptobyte.String(body)
	if !s.ReadUint16(&htype) || !s.ReadUint16LengthPrefixed((*cryptobyte.String)(&hdata)) {
		return 0, nil, fmt.Errorf("CREATE2: %w", ErrTruncated)
	}
	return htype, hdata, nil
}

// AppendCreated2 appends the body of a CREATED2 cell or the data of an
// EXTENDED2 message: length and handshake reply. It panics if that exceeds
// MaxRelayData.
func AppendCreated2(dst, hdata []byte) []byte {
	if 2+len(hdata) > MaxRelayData {
		panic("cell: CREATED2 handshake does not fit into a relay cell")
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(hdata)))
	return append(dst, hdata...)
}

// ParseCreated2 reads the handshake reply in the body of a CREATED2 cell,
// without copying.
func ParseCreated2(body []byte) ([]byte, error) {
	hdata, ok := readCreated2(body)
	if !ok {
		return nil, fmt.Errorf("CREATED2: %w", ErrTruncated)
	}
	return hdata, nil
}

// ParseExtended2 reads the handshake reply in the data of an EXTENDED2
// message, without copying (tor-spec section 5.1.2: the same as CREATED2).
func ParseExtended2(data []byte) ([]byte, error) {
	hdata, ok := readCreated2(data)
	if !ok {
		return nil, fmt.Errorf("EXTENDED2: %w", ErrTruncated)
	}
	return hdata, nil
}

func readCreated2(body []byte) (hdata []byte, ok bool) {
	s := cryptobyte.String(body)
	ok = s.ReadUint16LengthPrefixed((*cryptobyte.String)(&hdata))
	return hdata, ok
}
