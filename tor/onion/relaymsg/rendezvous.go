package relaymsg

import (
	"fmt"
	"io"

	"chive/tor/handshake"
)

// rendezvousLen is the length of the version 2 message, to which the newer one is
// padded so that the relay cannot tell them apart (section 4.3).
const rendezvousLen = 168

// AppendRendezvous1 makes a RENDEZVOUS1 message: the client's cookie, the
// service's half of the handshake (64 bytes), and random padding from rand.
func AppendRendezvous1(dst []byte, rand io.Reader, cookie Cookie, info []byte) ([]byte, error) {
	if len(info) != handshake.HSNtorReplyLen {
		return nil, fmt.Errorf("RENDEZVOUS1: handshake of %d bytes: %w", len(info), ErrMalformed)
	}
	dst = append(append(dst, cookie[:]...), info...)
	pad := make([]byte, rendezvousLen-len(cookie)-len(info))
	if _, err := io.ReadFull(rand, pad); err != nil {
		return nil, fmt.Errorf("RENDEZVOUS1 padding: %w", err)
	}
	return append(dst, pad...), nil
}

// ParseRendezvous1 is the relay's half: info is what it sends on as RENDEZVOUS2,
// and aliases data.
func ParseRendezvous1(data []byte) (cookie Cookie, info []byte, err error) {
	if len(data) < len(cookie) {
		return cookie, nil, fmt.Errorf("RENDEZVOUS1: %w", ErrMalformed)
	}
	return Cookie(data), data[len(cookie):], nil
}

// ParseRendezvous2 is the service's half of the handshake, for HSNtor.Finish; what
// follows it is padding. It aliases data.
func ParseRendezvous2(data []byte) ([]byte, error) {
	if len(data) < handshake.HSNtorReplyLen {
		return nil, fmt.Errorf("RENDEZVOUS2: %w", ErrMalformed)
	}
	return data[:handshake.HSNtorReplyLen], nil
}
