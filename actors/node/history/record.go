package history

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"chive/messages/fold"
)

const (
	magic = "\x8fchhist\x01" // its last byte is the format's version

	kindHead  = 1
	kindEvent = 2
	kindHole  = 3

	recordHead = 9
	maxEvent   = 64 << 10
	maxHead    = 16 << 20 // deflated
	maxState   = 64 << 20 // inflated
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors of a segment.
var (
	// ErrNotSegment: the file does not begin as a segment does.
	ErrNotSegment = errors.New("not a segment of a history")
	// ErrNewer: the file is of a later version of the format.
	ErrNewer = errors.New("written by a newer chive")
	// ErrDamaged: the file is whole only up to here.
	ErrDamaged = errors.New("damaged")
)

// Head is what a segment begins with.
type Head struct {
	Boot    string    `json:"boot"` // random, of one start of the node
	Node    string    `json:"node"`
	Fleet   string    `json:"fleet"`
	Version string    `json:"version"`
	Made    time.Time `json:"made"`
	// State is that of the boot before the segment's first event; nil: too large to
	// be written.
	State *fold.Node `json:"-"`
}

type hole struct {
	Count uint64 `json:"count"`
}

// appendRecord adds a record whose body write appends.
func appendRecord(b []byte, kind byte, body func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, kind)
	out, err := body(b)
	if err != nil {
		return b[:start], err
	}
	binary.BigEndian.PutUint32(out[start:], uint32(len(out)-start-recordHead))
	binary.BigEndian.PutUint32(out[start+4:], crc32.Checksum(out[start+8:], castagnoli))
	return out, nil
}

// appendHead: the length of the JSON, 4, the JSON, the deflated state.
func appendHead(b []byte, h Head) ([]byte, error) {
	return appendRecord(b, kindHead, func(b []byte) ([]byte, error) {
		text, err := json.Marshal(h)
		if err != nil {
			return nil, err
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
		if h.State == nil {
			return b, nil
		}
		state, err := Deflate(h.State)
		if err != nil {
			return nil, err
		}
		return append(b, state...), nil
	})
}

// errTooLarge: a state is larger than maxHead or maxState.
var errTooLarge = errors.New("the state is too large")

// Deflate is v as deflated JSON.
func Deflate(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(text) > maxState {
		return nil, errTooLarge
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() > maxHead/2 {
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

// Inflate is the inverse of Deflate.
func Inflate(b []byte, v any) error {
	r := flate.NewReader(bytes.NewReader(b))
	text, err := io.ReadAll(io.LimitReader(r, maxState+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(text) > maxState {
		return errTooLarge
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func parseHead(b []byte) (Head, error) {
	var h Head
	if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) > int64(len(b)-4) {
		return h, fmt.Errorf("%w: its head", ErrDamaged)
	}
	n := int(binary.BigEndian.Uint32(b))
	if err := json.Unmarshal(b[4:4+n], &h); err != nil {
		return h, fmt.Errorf("%w: its head: %w", ErrDamaged, err)
	}
	if rest := b[4+n:]; len(rest) > 0 {
		h.State = &fold.Node{}
		if err := Inflate(rest, h.State); err != nil {
			return h, fmt.Errorf("its head: %w", err)
		}
		if !h.State.Valid() {
			return h, fmt.Errorf("%w: its head's state", ErrDamaged)
		}
	}
	return h, nil
}

// reader reads the records of one segment.
type reader struct {
	b    *bufio.Reader
	body []byte
}

func newReader(r io.Reader) (*reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	var start [len(magic)]byte
	_, err := io.ReadFull(b, start[:])
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it is cut short", ErrDamaged)
	case err != nil:
		return nil, err
	case string(start[:len(magic)-1]) != magic[:len(magic)-1]:
		return nil, ErrNotSegment
	case start[len(magic)-1] != magic[len(magic)-1]:
		return nil, ErrNewer
	}
	return &reader{b: b}, nil
}

// next is the next record; its body is valid until the next call. io.EOF: there
// is none; ErrDamaged: nor will there be.
func (r *reader) next() (kind byte, body []byte, err error) {
	var head [recordHead]byte
	if n, err := io.ReadFull(r.b, head[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return 0, nil, io.EOF
		}
		return 0, nil, cutShort(err)
	}
	kind = head[8]
	size, limit := binary.BigEndian.Uint32(head[:]), uint32(maxEvent)
	if kind == kindHead {
		limit = maxHead
	}
	if size > limit {
		return 0, nil, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, size)
	}
	// No more is set aside than is there, whatever the length says.
	body = r.body[:0]
	for left := int(size); left > 0; {
		step := min(left, 64<<10)
		from := len(body)
		body = append(body, make([]byte, step)...)
		if _, err := io.ReadFull(r.b, body[from:]); err != nil {
			return 0, nil, cutShort(err)
		}
		left -= step
	}
	r.body = body
	sum := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, body)
	if sum != binary.BigEndian.Uint32(head[4:]) {
		return 0, nil, fmt.Errorf("%w: a checksum does not match", ErrDamaged)
	}
	return kind, body, nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	return err
}
