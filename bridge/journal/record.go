package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"chive/messages"
)

// A record is what one append, or one state, is on disk: one message of the stream, so
// that it is written as a whole or not at all.
//
//	magic 8 | length of body, 4 | CRC-32C of body, 4 | body
//	body: flags 1, then as uvarints or as texts with a uvarint length before them:
//	  before, sequence, milliseconds, aggregate, id, count, count × (kind, version, data)
//
// The aggregate goes from sequence before to sequence. Each record names its aggregate and
// its place, so that it can be told from the bytes alone where it belongs.
type record struct {
	state     bool // events is one whole state; sequence minus before events were lost
	before    uint64
	sequence  uint64
	millis    uint64
	aggregate string
	id        string
	events    []messages.JournalEvent
}

const (
	magic       = "\x8fchjrnl\x01" // its last byte is the format's version
	recordHead  = len(magic) + 8
	maxName     = 64
	maxID       = 128
	maxRecord   = messages.MaxJournalData + messages.MaxJournalEvents*(maxName+16) + 1024
	flagState   = 1
	maxSequence = 1 << 53 // beyond it something is wrong
	maxMillis   = 1 << 48
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord means that bytes are not a record; errShort that they end before it does.
var (
	errRecord = errors.New("not a record")
	errShort  = fmt.Errorf("%w: cut short", errRecord)
)

func (r *record) time() time.Time { return time.UnixMilli(int64(r.millis)).UTC() }

// lost is how many events a state stands for that were never written.
func (r *record) lost() uint64 {
	if !r.state {
		return 0
	}
	return r.sequence - r.before
}

// check is what holds of every record, whether it is written or read.
func (r *record) check() error {
	switch {
	case !validName(r.aggregate):
		return fmt.Errorf("aggregate %q: lower case, digits and dashes, at most %d", r.aggregate, maxName)
	case r.id == "" && !r.state || len(r.id) > maxID || strings.ContainsFunc(r.id, func(c rune) bool { return c <= ' ' || c > '~' }):
		return fmt.Errorf("id %q: 1 to %d printable characters", r.id, maxID)
	case r.sequence > maxSequence || r.sequence < r.before || r.millis > maxMillis:
		return fmt.Errorf("sequence %d to %d", r.before, r.sequence)
	case r.state && len(r.events) != 1:
		return fmt.Errorf("%d states, want one", len(r.events))
	case !r.state && (len(r.events) == 0 || len(r.events) > messages.MaxJournalEvents):
		return fmt.Errorf("%d events, want 1 to %d", len(r.events), messages.MaxJournalEvents)
	case !r.state && r.sequence-r.before != uint64(len(r.events)):
		return fmt.Errorf("%d events from %d to %d", len(r.events), r.before, r.sequence)
	}
	size := 0
	for _, e := range r.events {
		if !validName(e.Kind) || e.Version == 0 {
			return fmt.Errorf("kind %q, version %d: the name is lower case, digits and dashes, the version from 1", e.Kind, e.Version)
		}
		size += len(e.Data)
	}
	if size > messages.MaxJournalData {
		return fmt.Errorf("%d bytes of data, at most %d", size, messages.MaxJournalData)
	}
	return nil
}

// validName says whether a name can be a token of a subject and of a file's name.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// encode gives the bytes of a record that check accepts.
func (r *record) encode() []byte {
	size := recordHead + 64 + len(r.aggregate) + len(r.id)
	for _, e := range r.events {
		size += len(e.Kind) + len(e.Data) + 16
	}
	b := append(make([]byte, 0, size), magic...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	var flags byte
	if r.state {
		flags = flagState
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, r.before)
	b = binary.AppendUvarint(b, r.sequence)
	b = binary.AppendUvarint(b, r.millis)
	b = appendText(b, r.aggregate)
	b = appendText(b, r.id)
	b = binary.AppendUvarint(b, uint64(len(r.events)))
	for _, e := range r.events {
		b = appendText(b, e.Kind)
		b = binary.AppendUvarint(b, uint64(e.Version))
		b = appendText(b, e.Data)
	}
	body := b[recordHead:]
	binary.BigEndian.PutUint32(b[len(magic):], uint32(len(body)))
	binary.BigEndian.PutUint32(b[len(magic)+4:], crc32.Checksum(body, castagnoli))
	return b
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decode reads the record that b is, with nothing after it. The record keeps no part of b.
func decode(b []byte) (*record, error) {
	r, n, err := decodePrefix(b)
	if err == nil && n != len(b) {
		return nil, fmt.Errorf("%w: %d bytes after it", errRecord, len(b)-n)
	}
	return r, err
}

// decodePrefix reads the record that b begins with, and says how long it is.
func decodePrefix(b []byte) (*record, int, error) {
	switch n := len(magic) - 1; {
	case len(b) <= n || string(b[:n]) != magic[:n]:
		return nil, 0, fmt.Errorf("%w: it does not begin like one", errRecord)
	case b[n] > magic[n]:
		return nil, 0, fmt.Errorf("%w: a record of format %d, this program knows %d", messages.ErrJournalNewer, b[n], magic[n])
	case b[n] != magic[n]:
		return nil, 0, fmt.Errorf("%w: format %d", errRecord, b[n])
	case len(b) < recordHead:
		return nil, 0, errShort
	}
	size := binary.BigEndian.Uint32(b[len(magic):])
	if size > uint32(maxRecord) {
		return nil, 0, fmt.Errorf("%w: %d bytes long, at most %d", errRecord, size, maxRecord)
	}
	if int(size) > len(b)-recordHead {
		return nil, 0, errShort
	}
	body := b[recordHead : recordHead+int(size)]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(magic)+4:]) {
		return nil, 0, fmt.Errorf("%w: wrong checksum", errRecord)
	}
	r, err := decodeBody(body)
	return r, recordHead + int(size), err
}

func decodeBody(body []byte) (*record, error) {
	d := reader{b: body}
	flags := d.byte()
	r := &record{state: flags == flagState}
	r.before, r.sequence, r.millis = d.uvarint(), d.uvarint(), d.uvarint()
	r.aggregate, r.id = string(d.text(maxName)), string(d.text(maxID))
	count := d.uvarint()
	if count > messages.MaxJournalEvents {
		return nil, fmt.Errorf("%w: %d events", errRecord, count)
	}
	for range count {
		if d.bad {
			break
		}
		kind, version, data := string(d.text(maxName)), d.uvarint(), d.text(messages.MaxJournalData)
		if version > 1<<31 {
			return nil, fmt.Errorf("%w: version %d", errRecord, version)
		}
		r.events = append(r.events, messages.JournalEvent{Kind: kind, Version: uint32(version), Data: append([]byte{}, data...)})
	}
	if d.bad || len(d.b) > 0 || flags > flagState {
		return nil, fmt.Errorf("%w: malformed body", errRecord)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return r, nil
}

// reader takes a body apart; bad once something was not there.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) text(limit int) []byte {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	t := d.b[:n]
	d.b = d.b[n:]
	return t
}
