package socks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ReplyCode is the REP field of a SOCKS5 reply (RFC 1928 §6; F0-F7: Tor's
// proposal 304 and the ExtendedErrors flag of C tor's SocksPort).
type ReplyCode uint8

// The codes of RFC 1928 §6, with the causes a Tor client gives them for.
const (
	// ReplySucceeded: the exit sent CONNECTED.
	ReplySucceeded ReplyCode = 0x00
	// ReplyGeneralFailure: malformed request or host, a defect of ours, a
	// circuit or stream protocol violation, no directory yet.
	ReplyGeneralFailure ReplyCode = 0x01
	// ReplyNotAllowed: the exit's policy or our own rules refuse the target
	// (END reason EXITPOLICY, private addresses, .exit names).
	ReplyNotAllowed ReplyCode = 0x02
	// ReplyNetworkUnreachable: the exit has no route (END reason NOROUTE), or
	// no relay of ours can be reached.
	ReplyNetworkUnreachable ReplyCode = 0x03
	// ReplyHostUnreachable: the exit could not resolve the name (END reason
	// RESOLVEFAILED), or an onion service cannot be reached.
	ReplyHostUnreachable ReplyCode = 0x04
	// ReplyConnectionRefused: the target refused (END reason CONNECTREFUSED).
	ReplyConnectionRefused ReplyCode = 0x05
	// ReplyTTLExpired: the exit or the circuit was too slow (END reason
	// TIMEOUT, our own stream time limit).
	ReplyTTLExpired ReplyCode = 0x06
	// ReplyCommandNotSupported: BIND, UDP ASSOCIATE and every unknown command.
	ReplyCommandNotSupported ReplyCode = 0x07
	// ReplyAddressTypeNotSupported: an address type other than 1, 3 and 4, or a
	// name where only an address will do.
	ReplyAddressTypeNotSupported ReplyCode = 0x08
)

// The extended codes of proposal 304 §2.2 and of C tor's manual (F6, F7). A
// listener that was not given ExtendedErrors sends Basic of them.
const (
	// ReplyOnionDescriptorNotFound: no descriptor on the hash ring.
	ReplyOnionDescriptorNotFound ReplyCode = 0xF0
	// ReplyOnionDescriptorInvalid: unparsable, or a wrong signature.
	ReplyOnionDescriptorInvalid ReplyCode = 0xF1
	// ReplyOnionIntroFailed: every introduction point said no or was gone.
	ReplyOnionIntroFailed ReplyCode = 0xF2
	// ReplyOnionRendezvousFailed: the service never came to the rendezvous.
	ReplyOnionRendezvousFailed ReplyCode = 0xF3
	// ReplyOnionAuthMissing: the descriptor needs client authorization.
	ReplyOnionAuthMissing ReplyCode = 0xF4
	// ReplyOnionAuthWrong: our client authorization does not open it.
	ReplyOnionAuthWrong ReplyCode = 0xF5
	// ReplyOnionBadAddress: not a version 3 address, or a wrong checksum.
	ReplyOnionBadAddress ReplyCode = 0xF6
	// ReplyOnionIntroTimedOut: as F2, and every try timed out.
	ReplyOnionIntroTimedOut ReplyCode = 0xF7
)

var replyNames = map[ReplyCode]string{
	ReplySucceeded:               "succeeded",
	ReplyGeneralFailure:          "general failure",
	ReplyNotAllowed:              "not allowed by ruleset",
	ReplyNetworkUnreachable:      "network unreachable",
	ReplyHostUnreachable:         "host unreachable",
	ReplyConnectionRefused:       "connection refused",
	ReplyTTLExpired:              "TTL expired",
	ReplyCommandNotSupported:     "command not supported",
	ReplyAddressTypeNotSupported: "address type not supported",
	ReplyOnionDescriptorNotFound: "onion service descriptor not found",
	ReplyOnionDescriptorInvalid:  "onion service descriptor invalid",
	ReplyOnionIntroFailed:        "onion service introduction failed",
	ReplyOnionRendezvousFailed:   "onion service rendezvous failed",
	ReplyOnionAuthMissing:        "onion service client authorization missing",
	ReplyOnionAuthWrong:          "onion service client authorization wrong",
	ReplyOnionBadAddress:         "onion service address invalid",
	ReplyOnionIntroTimedOut:      "onion service introduction timed out",
}

// String is the code's name in RFC 1928's words.
func (c ReplyCode) String() string {
	if s, ok := replyNames[c]; ok {
		return s
	}
	return fmt.Sprintf("reply 0x%02X", uint8(c))
}

// Extended reports whether c is outside RFC 1928 and needs the client's
// consent (SocksPort flag ExtendedErrors).
func (c ReplyCode) Extended() bool { return c >= 0xF0 }

// Basic is the RFC 1928 code that says most of what c says; codes of RFC 1928
// are returned unchanged.
func (c ReplyCode) Basic() ReplyCode {
	switch {
	case !c.Extended():
		return c
	case c == ReplyOnionAuthMissing || c == ReplyOnionAuthWrong:
		return ReplyNotAllowed
	case c == ReplyOnionIntroTimedOut:
		return ReplyTTLExpired
	default:
		return ReplyHostUnreachable
	}
}

// AppendReply appends a SOCKS5 reply: VER 5, REP, RSV 0, the bound address and
// port (RFC 1928 §6). The zero AddrPort is written as 0.0.0.0:0; a zone is
// dropped.
func AppendReply(dst []byte, code ReplyCode, bound netip.AddrPort) []byte {
	dst = append(dst, version5, byte(code), 0)
	addr := bound.Addr().Unmap()
	if addr.Is6() {
		a := addr.As16()
		dst = append(dst, addrIPv6)
		dst = append(dst, a[:]...)
	} else {
		var a [4]byte
		if addr.Is4() {
			a = addr.As4()
		}
		dst = append(dst, addrIPv4)
		dst = append(dst, a[:]...)
	}
	return binary.BigEndian.AppendUint16(dst, bound.Port())
}

// AppendNameReply appends a SOCKS5 reply whose bound address is a host name, the
// answer to RESOLVE_PTR (socks-extensions §2). name has at most 255 octets.
func AppendNameReply(dst []byte, name string) []byte {
	dst = append(dst, version5, byte(ReplySucceeded), 0, addrName, byte(len(name)))
	dst = append(dst, name...)
	return append(dst, 0, 0)
}
