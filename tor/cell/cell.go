package cell

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes in bytes (tor-spec section 3, link protocol 4 and higher).
const (
	BodyLen           = 509 // body of a fixed cell
	HeaderLen         = 5   // circuit id and command
	FixedLen          = HeaderLen + BodyLen
	VariableHeaderLen = 7     // circuit id, command, length
	MaxVariableLen    = 16384 // largest accepted body of any variable cell

	narrowHeaderLen = 5 // 2-byte circuit id, command, length
	maxVersionsLen  = 512
	maxAuthLen      = 4096
)

// Errors of the parsers. All of them mean that the peer broke the protocol.
var (
	// ErrOversize: a variable cell announces more than its command may carry.
	ErrOversize = errors.New("cell: variable cell over its size limit")
	// ErrTruncated: a body ends before its own length fields say so.
	ErrTruncated = errors.New("cell: truncated body")
	// ErrMalformed: a field has a value that the specification excludes.
	ErrMalformed = errors.New("cell: malformed body")
)

// Next splits the first whole cell off buf, which starts at a cell's first
// byte and uses 4-byte circuit ids. body aliases buf; n is the cell's length.
// n == 0 with a nil error means that buf does not hold a whole cell yet; a
// buffer of VariableHeaderLen+MaxVariableLen bytes can hold any cell. A
// variable cell over its command's limit gives ErrOversize as soon as its
// header is there. Next allocates nothing.
func Next(buf []byte) (circ CircID, cmd Command, body []byte, n int, err error) {
	if len(buf) < HeaderLen {
		return 0, 0, nil, 0, nil
	}
	cmd = Command(buf[4])
	if !cmd.Variable() {
		if len(buf) < FixedLen {
			return 0, 0, nil, 0, nil
		}
		return CircID(binary.BigEndian.Uint32(buf)), cmd, buf[HeaderLen:FixedLen:FixedLen], FixedLen, nil
	}
	if len(buf) < VariableHeaderLen {
		return 0, 0, nil, 0, nil
	}
	size := int(binary.BigEndian.Uint16(buf[5:]))
	if size > cmd.maxBody() {
		return 0, 0, nil, 0, ErrOversize
	}
	n = VariableHeaderLen + size
	if len(buf) < n {
		return 0, 0, nil, 0, nil
	}
	return CircID(binary.BigEndian.Uint32(buf)), cmd, buf[VariableHeaderLen:n:n], n, nil
}

// NextNarrow is Next for the cells up to and including VERSIONS, which have
// 2-byte circuit ids (tor-spec section 3). Only variable cells may occur
// there: any other command gives ErrMalformed.
func NextNarrow(buf []byte) (circ CircID, cmd Command, body []byte, n int, err error) {
	if len(buf) < 3 {
		return 0, 0, nil, 0, nil
	}
	cmd = Command(buf[2])
	if !cmd.Variable() {
		return 0, 0, nil, 0, fmt.Errorf("%v cell before VERSIONS: %w", cmd, ErrMalformed)
	}
	if len(buf) < narrowHeaderLen {
		return 0, 0, nil, 0, nil
	}
	size := int(binary.BigEndian.Uint16(buf[3:]))
	if size > cmd.maxBody() {
		return 0, 0, nil, 0, ErrOversize
	}
	n = narrowHeaderLen + size
	if len(buf) < n {
		return 0, 0, nil, 0, nil
	}
	return CircID(binary.BigEndian.Uint16(buf)), cmd, buf[narrowHeaderLen:n:n], n, nil
}

// PutHeader writes the first HeaderLen bytes of a cell to dst.
func PutHeader(dst []byte, circ CircID, cmd Command) {
	_ = dst[HeaderLen-1]
	binary.BigEndian.PutUint32(dst, uint32(circ))
	dst[4] = byte(cmd)
}

// AppendFixed appends a whole fixed cell: header, body, zeros up to FixedLen.
// It panics if body exceeds BodyLen or the command is a variable one.
func AppendFixed(dst []byte, circ CircID, cmd Command, body []byte) []byte {
	if cmd.Variable() || len(body) > BodyLen {
		panic(fmt.Sprintf("cell: %v of %d bytes is not a fixed cell", cmd, len(body)))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(circ))
	dst = append(dst, byte(cmd))
	dst = append(dst, body...)
	return append(dst, zeros[:BodyLen-len(body)]...)
}

// AppendVariable appends a whole variable cell. It panics if body exceeds the
// command's limit or the command is not a variable one.
func AppendVariable(dst []byte, circ CircID, cmd Command, body []byte) []byte {
	if !cmd.Variable() || len(body) > cmd.maxBody() {
		panic(fmt.Sprintf("cell: %v of %d bytes is not a variable cell", cmd, len(body)))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(circ))
	dst = append(dst, byte(cmd))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...)
}

var zeros [BodyLen]byte
