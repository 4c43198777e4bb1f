package cell

import (
	"encoding/binary"
	"fmt"
)

// AppendVersions appends a whole VERSIONS cell, in the narrow form (2-byte
// circuit id) that the first one always has (tor-spec section 4.1).
func AppendVersions(dst []byte, versions ...uint16) []byte {
	if 2*len(versions) > maxVersionsLen {
		panic("cell: too many link versions")
	}
	dst = append(dst, 0, 0, byte(Versions))
	dst = binary.BigEndian.AppendUint16(dst, uint16(2*len(versions)))
	for _, v := range versions {
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	return dst
}

// ParseVersionsCell reads a whole narrow VERSIONS cell at the start of buf. n
// is its length; n == 0 with a nil error means that more bytes are needed.
func ParseVersionsCell(buf []byte) (versions []uint16, n int, err error) {
	if len(buf) >= 3 && Command(buf[2]) != Versions {
		return nil, 0, fmt.Errorf("%v cell in place of VERSIONS: %w", Command(buf[2]), ErrMalformed)
	}
	_, _, body, n, err := NextNarrow(buf)
	if n == 0 || err != nil {
		return nil, 0, err
	}
	versions, err = ParseVersions(body)
	if err != nil {
		return nil, 0, err
	}
	return versions, n, nil
}

// ParseVersions reads the body of a VERSIONS cell. An odd length is refused
// (tor-spec section 4.1).
func ParseVersions(body []byte) ([]uint16, error) {
	if len(body)%2 != 0 {
		return nil, fmt.Errorf("VERSIONS of %d bytes: %w", len(body), ErrMalformed)
	}
	versions := make([]uint16, 0, len(body)/2)
	for ; len(body) > 0; body = body[2:] {
		versions = append(versions, binary.BigEndian.Uint16(body))
	}
	return versions, nil
}
