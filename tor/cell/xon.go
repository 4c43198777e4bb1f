package cell

import (
	"encoding/binary"
	"fmt"
)

// AppendXoff appends the data of an XOFF message (proposal 324 §10.1): the version.
func AppendXoff(dst []byte) []byte { return append(dst, 0) }

// ParseXoff checks the data of an XOFF message. Bytes behind what we know are ignored.
func ParseXoff(data []byte) error {
	if len(data) < 1 {
		return fmt.Errorf("XOFF: %w", ErrTruncated)
	}
	if data[0] != 0 {
		return fmt.Errorf("XOFF version %d: %w", data[0], ErrMalformed)
	}
	return nil
}

// AppendXon appends the data of an XON message (proposal 324 §10.1): the version and
// the rate that the stream is read at, in 1000 bytes a second; 0 is no limit.
func AppendXon(dst []byte, rate uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), rate)
}

// ParseXon reads the data of an XON message.
func ParseXon(data []byte) (rate uint32, err error) {
	if len(data) < 5 {
		return 0, fmt.Errorf("XON: %w", ErrTruncated)
	}
	if data[0] != 0 {
		return 0, fmt.Errorf("XON version %d: %w", data[0], ErrMalformed)
	}
	return binary.BigEndian.Uint32(data[1:]), nil
}
