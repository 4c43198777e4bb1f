package conflux

import (
	"encoding/binary"
	"fmt"

	"chive/tor/cell"
)

// UX is what a sender wants of the other end's choice of legs (proposal 329, 3.1).
type UX uint8

// The values. What C tor's exits ask of clients is MinLatency, and what its clients
// ask of exits HighThroughput.
const (
	NoOpinion UX = iota
	MinLatency
	LowMemLatency
	HighThroughput
	LowMemThroughput
)

// Sizes in bytes.
const (
	NonceLen  = 32
	linkLen   = 1 + NonceLen + 8 + 8 + 1
	switchLen = 4
)

const linkVersion = 1

// Link is the body of LINK and LINKED: version 1, nonce, two 64-bit sequence numbers
// and what the sender wants.
type Link struct {
	Nonce          [NonceLen]byte
	Sent, Received uint64 // the last sequence numbers on other legs
	UX             UX
}

// Append appends the body.
func (l *Link) Append(dst []byte) []byte {
	dst = append(dst, linkVersion)
	dst = append(dst, l.Nonce[:]...)
	dst = binary.BigEndian.AppendUint64(dst, l.Sent)
	dst = binary.BigEndian.AppendUint64(dst, l.Received)
	return append(dst, byte(l.UX))
}

// ParseLink reads the body of a LINK or LINKED; what follows it is ignored. A body that
// is too short gives cell.ErrTruncated, another version or an unknown UX
// cell.ErrMalformed.
func ParseLink(body []byte) (l Link, err error) {
	if len(body) < linkLen {
		return Link{}, fmt.Errorf("LINKED: %w", cell.ErrTruncated)
	}
	if body[0] != linkVersion {
		return Link{}, fmt.Errorf("LINKED version %d: %w", body[0], cell.ErrMalformed)
	}
	at := 1 + copy(l.Nonce[:], body[1:])
	l.Sent = binary.BigEndian.Uint64(body[at:])
	l.Received = binary.BigEndian.Uint64(body[at+8:])
	if l.UX = UX(body[at+16]); l.UX > LowMemThroughput {
		return Link{}, fmt.Errorf("LINKED asks for %d: %w", l.UX, cell.ErrMalformed)
	}
	return l, nil
}

// AppendSwitch appends the body of a SWITCH: how many messages went over other legs
// since the last of this one.
func AppendSwitch(dst []byte, skipped uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, skipped)
}

// ParseSwitch reads the body of a SWITCH; what follows it is ignored.
func ParseSwitch(body []byte) (skipped uint32, err error) {
	if len(body) < switchLen {
		return 0, fmt.Errorf("SWITCH: %w", cell.ErrTruncated)
	}
	return binary.BigEndian.Uint32(body), nil
}

// Sequenced reports whether messages with a command have a place in the sequence: all
// those whose order among a stream's messages matters. Others are a leg's own, or not
// for a set at all (proposal 329, 2.4.1).
func Sequenced(c cell.RelayCommand) bool {
	switch c {
	case cell.RelayBegin, cell.RelayData, cell.RelayEnd, cell.RelayConnected,
		cell.RelayResolve, cell.RelayResolved, cell.RelayXoff, cell.RelayXon:
		return true
	}
	return false
}
