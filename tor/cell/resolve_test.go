package cell

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// tor-spec 6.4: RESOLVED holds type, length, value and TTL of each answer.
func TestResolvedRoundTrip(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")}
	got, err := ParseResolved(AppendResolved(nil, 60, want...))
	if err != nil || !slices.Equal(got, []Answer{{Addr: want[0], TTL: 60}, {Addr: want[1], TTL: 60}}) {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
	if got, err := ParseResolved(AppendResolved(nil, 60)); err != nil || !slices.Equal(got, []Answer{{Failed: true, TTL: 60}}) {
		t.Fatalf("error answer: got %v, %v", got, err)
	}
	for n := 1; n < 10; n++ {
		if _, err := ParseResolved(AppendResolved(nil, 60, want[0])[:n]); err == nil {
			t.Errorf("%d of 10 bytes: no error", n)
		}
	}
	if b, err := AppendResolve(nil, "Target.TEST"); err != nil || string(b) != "target.test\x00" {
		t.Errorf("RESOLVE %q, %v", b, err)
	}
}

// tor-spec 6.4: the types are 0x00 hostname, 0x04 and 0x06 addresses, 0xF0 and
// 0xF1 errors; others are not ours to know.
func TestParseResolvedTypes(t *testing.T) {
	for in, want := range map[string][]Answer{
		"\x00\x03a.b\x00\x00\x00\x07":   {{Name: "a.b", TTL: 7}},
		"\xf0\x00\x00\x00\x00\x05":      {{Failed: true, Retry: true, TTL: 5}},
		"\xf1\x05error\x00\x00\x00\x05": {{Failed: true, TTL: 5}},
		"\x09\x01x\x00\x00\x00\x05":     nil,
		"":                              nil,
		"\x00\x00\xff\xff\xff\xff":      {{TTL: TTLUnknown}},
		"\x09\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00": {{Name: "a"}},
	} {
		if got, err := ParseResolved([]byte(in)); err != nil || !slices.Equal(got, want) {
			t.Errorf("% x: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"\x04\x03abc\x00\x00\x00\x05", "\x06\x04abcd\x00\x00\x00\x05", "\x04\x10abcdabcdabcdabcd\x00\x00\x00\x05", "\x00"} {
		if got, err := ParseResolved([]byte(in)); err == nil {
			t.Errorf("% x: %+v", in, got)
		}
	}
}

func TestReverseName(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":          "7.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.7":   "7.2.0.192.in-addr.arpa",
		"2001:db8::567:89ab": "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", // RFC 3596 section 2.5, shape
	} {
		a := netip.MustParseAddr(addr)
		if got := ReverseName(a); got != want {
			t.Errorf("%s: %s", addr, got)
		}
		if got, ok := ParseReverseName(strings.ToUpper(want)); !ok || got != a.Unmap() {
			t.Errorf("%s: %v %v", want, got, ok)
		}
	}
	for _, name := range []string{"", "in-addr.arpa", "1.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "1.2.3.256.in-addr.arpa", "a.b.c.d.in-addr.arpa", "::1.in-addr.arpa", "1.ip6.arpa", strings.Repeat("g.", 32) + "ip6.arpa", strings.Repeat("1-", 32) + "ip6.arpa", "example.com"} {
		if a, ok := ParseReverseName(name); ok {
			t.Errorf("%q: %v", name, a)
		}
	}
}

func FuzzParseReverseName(f *testing.F) {
	f.Add("7.2.0.192.in-addr.arpa")
	f.Fuzz(func(t *testing.T, name string) {
		if a, ok := ParseReverseName(name); ok && ReverseName(a) != strings.ToLower(name) {
			t.Fatalf("%q is %v is %q", name, a, ReverseName(a))
		}
	})
}

func FuzzParseResolved(f *testing.F) {
	f.Add(AppendResolved(nil, 60, netip.MustParseAddr("192.0.2.7")))
	f.Fuzz(func(t *testing.T, b []byte) {
		addrs, err := ParseResolved(b)
		if err != nil && addrs != nil {
			t.Fatal("addresses along with an error")
		}
	})
}
