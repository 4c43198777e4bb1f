package socks_test

import (
	"net/netip"
	"testing"

	"chive/tor/socks"
)

// RFC 1928 §6.
func TestAppendReply(t *testing.T) {
	for _, c := range []struct {
		bound string
		want  string
	}{
		{"", "x\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"1.2.3.4:80", "x\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50"},
		{"[::ffff:1.2.3.4]:80", "x\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50"},
		{"[2001:db8::1]:258", "x\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x02"},
	} {
		var bound netip.AddrPort
		if c.bound != "" {
			bound = netip.MustParseAddrPort(c.bound)
		}
		if got := socks.AppendReply([]byte("x"), socks.ReplySucceeded, bound); string(got) != c.want {
			t.Errorf("%q: % x, want % x", c.bound, got, c.want)
		}
	}
}

// Proposal 304 §2.1: the extended codes are only for clients that asked.
func TestBasicCodes(t *testing.T) {
	names := map[string]bool{}
	for c := range 256 {
		code := socks.ReplyCode(c)
		names[code.String()] = true
		basic := code.Basic()
		switch {
		case c < 0xF0 && basic != code:
			t.Errorf("%v became %v", code, basic)
		case c >= 0xF0 && (basic > socks.ReplyAddressTypeNotSupported || basic == socks.ReplySucceeded):
			t.Errorf("%v became %v", code, basic)
		}
	}
	if len(names) != 256 {
		t.Errorf("%d names for 256 codes", len(names))
	}
	for code, want := range map[socks.ReplyCode]string{
		socks.ReplyOnionIntroTimedOut: "TTL expired", socks.ReplyOnionAuthWrong: "not allowed by ruleset",
		socks.ReplyOnionDescriptorNotFound: "host unreachable",
	} {
		if got := code.Basic().String(); got != want {
			t.Errorf("%v: %s, want %s", code, got, want)
		}
	}
}

// RFC 7686 §2: every name in .onion, well-formed or not.
func TestIsOnion(t *testing.T) {
	for host, want := range map[string]bool{
		duckOnion: true, "a." + duckOnion: true, "x.ONION": true, "x.onion.": true, "onion": true, ".onion": true,
		"onion.example": false, "notonion": false, "x.onion.example": false, "": false, ".": false, "1.2.3.4": false,
	} {
		if got := socks.IsOnion(host); got != want {
			t.Errorf("IsOnion(%q) = %v", host, got)
		}
	}
}
