package ingress

import (
	"net/netip"
	"slices"
	"testing"

	"chive/config"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/httpconnect"
	"chive/tor/onion"
	"chive/tor/socks"
)

func addresses(all ...string) (out []cell.Answer) {
	for _, s := range all {
		out = append(out, cell.Answer{Addr: netip.MustParseAddr(s)})
	}
	return out
}

// What an exit answers is chosen by family, and never what only exists where the
// exit is (TROVE-2026-044).
func TestAnswers(t *testing.T) {
	both := family{v4: true, v6: true}
	for _, c := range []struct {
		f    answers
		in   []cell.Answer
		want string
	}{
		{answers{family: both}, addresses("2001:db8::1", "192.0.2.1"), "192.0.2.1"},
		{answers{family: family{v4: true, v6: true, prefer6: true}}, addresses("192.0.2.1", "2001:db8::1"), "2001:db8::1"},
		{answers{family: both}, addresses("2001:db8::1"), "2001:db8::1"},
		{answers{family: family{v4: true}}, addresses("2001:db8::1"), ""},
		{answers{family: family{v6: true}}, addresses("192.0.2.1", "2001:db8::1"), "2001:db8::1"},
		{answers{family: both, rejectInternal: true}, addresses("127.0.0.1", "10.0.0.1", "::1", "fe80::1", "fd00::1", "169.254.1.1", "0.0.0.0", "0.1.2.3", "100.64.0.1", "100.127.255.254", "fec0::1", "::ffff:10.0.0.1"), ""},
		{answers{family: both, rejectInternal: true}, addresses("100.128.0.1"), "100.128.0.1"},
		{answers{family: both, rejectInternal: true}, addresses("127.0.0.1", "192.0.2.1"), "192.0.2.1"},
		{answers{family: both}, addresses("127.0.0.1"), "127.0.0.1"},
		{answers{family: both}, []cell.Answer{{Failed: true}, {Name: "a.b"}}, ""},
	} {
		got, ok := c.f.address(c.in)
		if want, err := netip.ParseAddr(c.want); ok != (err == nil) || got != want {
			t.Errorf("%+v of %v: %v %v, want %q", c.f, c.in, got, ok, c.want)
		}
	}
	for in, want := range map[string]string{
		"A.b.": "a.b", "192.0.2.1": "", "a b": "", "x.exit": "", "localhost": "", "printer.local": "", "a\x00b": "", "": "",
	} {
		if got, ok := (answers{rejectInternal: true}).name([]cell.Answer{{Name: in}}); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
}

func TestRefuses(t *testing.T) {
	plain := config.SocksPort{IPv4Traffic: true, IPv6Traffic: true, DNSRequest: true, OnionTraffic: true}
	onion := config.SocksPort{OnionTraffic: true}
	noDNS := plain
	noDNS.DNSRequest = false
	for _, c := range []struct {
		port   config.SocksPort
		req    socks.Request
		refuse bool
	}{
		{plain, socks.Request{Host: "a.b", Port: 1}, false},
		{plain, socks.Request{Host: "localhost", Port: 1}, true},
		{plain, socks.Request{Host: "10.0.0.1", IsIP: true, Port: 1}, true},
		{plain, socks.Request{Host: "10.0.0.1", IsIP: true, Reverse: true}, true},
		{plain, socks.Request{Host: "10.0.0.1", IsIP: true, Resolve: true}, true},
		{plain, socks.Request{Host: "192.0.2.1", IsIP: true, Reverse: true}, false},
		{noDNS, socks.Request{Host: "a.b", Port: 1}, true},
		{noDNS, socks.Request{Host: "a.b", Resolve: true}, true},
		{noDNS, socks.Request{Host: "192.0.2.1", IsIP: true, Reverse: true}, true},
		{noDNS, socks.Request{Host: "192.0.2.1", IsIP: true, Port: 1}, false},
		{onion, socks.Request{Host: "192.0.2.1", IsIP: true, Port: 1}, true},
		{onion, socks.Request{Host: "2001:db8::1", IsIP: true, Port: 1}, true},
		{onion, socks.Request{Host: "a.b", Port: 1}, true},
	} {
		rules := &Rules{Port: c.port, RejectInternal: true}
		if got := askedSOCKS(rules, &c.req).refuses(rules); got != c.refuse {
			t.Errorf("%+v of %+v: %v", c.req, c.port, got)
		}
	}
	// A client's wish narrows, and never widens, what the listener permits.
	for w, want := range map[httpconnect.Family]family{
		httpconnect.IPv6Only: {}, httpconnect.IPv4Only: {v4: true}, httpconnect.IPv6Preferred: {v4: true, prefer6: true},
	} {
		if got := (family{v4: true}).want(w); got != want {
			t.Errorf("%v: %+v", w, got)
		}
	}
}

func TestTargets(t *testing.T) {
	rules := &Rules{Port: config.SocksPort{IPv4Traffic: true, IPv6Traffic: true}}
	for want, req := range map[string]socks.Request{
		"a.b:80":                 {Host: "a.b", Port: 80},
		"[2001:db8::1]:80":       {Host: "2001:db8::1", Port: 80, IsIP: true},
		"a.b":                    {Host: "a.b", Resolve: true},
		"1.2.0.192.in-addr.arpa": {Host: "192.0.2.1", IsIP: true, Reverse: true},
	} {
		if got := askedSOCKS(rules, &req).target(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f := askedSOCKS(rules, &socks.Request{Host: "192.0.2.1", IsIP: true, Reverse: true}).front
	if reply, out := f.Resolved([]cell.Answer{{Name: "a.b"}}); string(reply) != "\x05\x00\x00\x03\x03a.b\x00\x00" || out != chivev1.Outcome_OUTCOME_OK {
		t.Errorf("% x %v", reply, out)
	}
	if _, out := f.Resolved(nil); out != chivev1.Outcome_OUTCOME_RESOLVE_FAILED {
		t.Error(out)
	}
}

// By which of its policies an exit is chosen.
func TestExitPolicyAsked(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	alone, both := family{v6: true}, family{v4: true, v6: true, prefer6: true}
	for name, tt := range map[string]struct {
		a    asked
		want bool
	}{
		"a name":                           {asked{host: "a.b", family: both}, false},
		"a name, IPv4 alone":               {asked{host: "a.b", family: family{v4: true}}, false},
		"a name, IPv6 alone":               {asked{host: "a.b", family: alone}, true},
		"RESOLVE, IPv6 alone":              {asked{host: "a.b", family: alone, resolve: true}, false},
		"an onion service":                 {asked{host: "a.onion", family: alone, onion: &onion.Address{}}, false},
		"an address of IPv4":               {asked{addr: four, family: both}, false},
		"an address of IPv6":               {asked{addr: six, family: both}, true},
		"the name of an address":           {asked{addr: six, family: alone, reverse: true}, false},
		"nothing: it is refused elsewhere": {asked{host: "a.b"}, false},
	} {
		if got := tt.a.exitIPv6(); got != tt.want {
			t.Errorf("%s: by that for IPv6: %v", name, got)
		}
	}
}

// What an exit says it connected to: for names only, and by the listener's rules.
func TestUnwanted(t *testing.T) {
	four, six, inside := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.1")
	for name, tt := range map[string]struct {
		a     asked
		rules Rules
		want  []netip.Addr // of the three
	}{
		"anything":      {asked{family: family{v4: true, v6: true}}, Rules{}, nil},
		"NoIPv4Traffic": {asked{family: family{v6: true}}, Rules{}, []netip.Addr{four, inside}},
		"NoIPv6Traffic": {asked{family: family{v4: true}}, Rules{}, []netip.Addr{six}},
		"rejecting":     {asked{family: family{v4: true, v6: true}}, Rules{RejectAnswers: true}, []netip.Addr{inside}},
		"both":          {asked{family: family{v4: true}}, Rules{RejectAnswers: true}, []netip.Addr{six, inside}},
		"an address":    {asked{addr: four, family: family{v4: true}}, Rules{RejectAnswers: true}, nil},
	} {
		var got []netip.Addr
		f := tt.a.unwanted(&tt.rules)
		for _, addr := range []netip.Addr{four, six, inside} {
			if f != nil && f(addr) {
				got = append(got, addr)
			}
		}
		if !slices.Equal(got, tt.want) || f != nil && f(netip.Addr{}) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
