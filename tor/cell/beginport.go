package cell

import (
	"bytes"
	"fmt"
	"strconv"
)

// ParseBeginPort reads the BEGIN that an onion service gets: the port, 1 to 65535.
// Clients leave the host out, and one that stands there means nothing; so do the
// flags (rend-spec-v3 section 4.4).
func ParseBeginPort(data []byte) (uint16, error) {
	end := bytes.IndexByte(data, 0)
	if end < 0 {
		return 0, fmt.Errorf("BEGIN without NUL: %w", ErrTruncated)
	}
	colon := bytes.LastIndexByte(data[:end], ':')
	if colon < 0 {
		return 0, fmt.Errorf("BEGIN without port: %w", ErrMalformed)
	}
	n, err := strconv.ParseUint(string(data[colon+1:end]), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("BEGIN: port is not 1 to 65535: %w", ErrMalformed)
	}
	return uint16(n), nil
}
