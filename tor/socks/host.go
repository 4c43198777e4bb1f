package socks

import (
	"crypto/sha3"
	"encoding/base32"
	"net/netip"
	"strings"
)

const (
	maxName  = 253 // RFC 1035 §2.3.4, in text form and without a final dot
	maxLabel = 63
)

// parseHost turns the name field of a request into a canonical host: an IP
// literal (brackets around IPv6 allowed, an IPv4-mapped one unmapped), or a
// lower-case host name without a final dot. Underscores are allowed in names
// since real ones carry them.
func parseHost(field []byte) (host string, isIP bool, code ReplyCode, err error) {
	s := string(field)
	if addr, ok := parseAddr(s); ok {
		return canonical(addr), true, 0, nil
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	switch {
	case !validName(s):
		return "", false, ReplyGeneralFailure, ErrHost
	case lastLabel(s) == "exit":
		return "", false, ReplyNotAllowed, ErrExit
	case lastLabel(s) == "onion":
		if err := checkOnion(s); err != nil {
			return "", false, ReplyOnionBadAddress, err
		}
	}
	return s, false, 0, nil
}

func parseAddr(s string) (netip.Addr, bool) {
	bracketed := len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']'
	if bracketed {
		s = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" || (bracketed && addr.Is4()) {
		return netip.Addr{}, false
	}
	return addr, true
}

func canonical(a netip.Addr) string { return a.Unmap().String() }

// validName accepts letters, digits, '-' and '_' in labels of 1-63 octets that
// do not begin or end with '-'. A name whose last label is a number is refused:
// resolvers take "127.1" and "0x7f000001"-like forms for addresses, so such a
// name could reach what an address filter meant to forbid.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return !numeric(lastLabel(s))
}

func validLabel(l string) bool {
	if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// numeric: decimal digits, or 0x and hexadecimal digits.
func numeric(l string) bool {
	if hex, ok := strings.CutPrefix(l, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(l, "0123456789") == ""
}

func lastLabel(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// ParseHost is the canonical form of a host, as Request has it: an IP literal or
// a lower-case name. The error is one of the package's, without the host.
func ParseHost(s string) (host string, isIP bool, err error) {
	host, isIP, _, err = parseHost([]byte(s))
	return host, isIP, err
}

// IsOnion reports whether host is in the .onion domain (RFC 7686), well-formed
// or not, in any case and with or without a final dot. Such a name must never
// reach a resolver or an exit.
func IsOnion(host string) bool {
	return strings.EqualFold(lastLabel(strings.TrimSuffix(host, ".")), "onion")
}

// checkOnion checks the address of a lower-case .onion name; labels before it
// are ignored (address-spec §3). Whether the key is a sound curve point is left
// to the onion service code.
func checkOnion(name string) error {
	address := lastLabel(strings.TrimSuffix(strings.TrimSuffix(name, "onion"), "."))
	switch len(address) {
	case 16:
		if _, err := onionBase32.DecodeString(address); err == nil {
			return ErrOnionV2
		}
	case 56:
		raw, err := onionBase32.DecodeString(address)
		if err == nil && onionSum(raw) {
			return nil
		}
	}
	return ErrOnionAddress
}

var onionBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// onionSum checks PUBKEY(32) | CHECKSUM(2) | VERSION(1) (address-spec §3).
func onionSum(raw []byte) bool {
	const version = 3
	if len(raw) != 35 || raw[34] != version {
		return false
	}
	var in []byte
	in = append(in, ".onion checksum"...)
	in = append(in, raw[:32]...)
	in = append(in, version)
	sum := sha3.Sum256(in)
	return sum[0] == raw[32] && sum[1] == raw[33]
}
