package reach_test

import (
	"net/netip"
	"testing"

	"chive/tor/reach"
)

func TestChoose(t *testing.T) {
	v4, v6, none := netip.MustParseAddrPort("192.0.2.1:9001"), netip.MustParseAddrPort("[2001:db8::1]:9001"), netip.AddrPort{}
	for _, c := range []struct {
		name             string
		rules            reach.Rules
		both, only4      netip.AddrPort
		only6, zeroPort6 netip.AddrPort
	}{
		{"default", reach.Rules{}, v4, v4, v6, v4},
		{"IPv6 preferred", reach.Rules{PreferIPv6: true}, v6, v4, v6, v4},
		{"no IPv4", reach.Rules{NoIPv4: true}, v6, none, v6, none},
		{"no IPv4, IPv6 preferred", reach.Rules{NoIPv4: true, PreferIPv6: true}, v6, none, v6, none},
		{"no IPv6", reach.Rules{NoIPv6: true}, v4, v4, none, v4},
		{"no IPv6 that is preferred", reach.Rules{NoIPv6: true, PreferIPv6: true}, v4, v4, none, v4},
		{"neither", reach.Rules{NoIPv4: true, NoIPv6: true}, none, none, none, none},
	} {
		for _, relay := range []struct {
			name         string
			v4, v6, want netip.AddrPort
		}{
			{"both", v4, v6, c.both},
			{"IPv4 only", v4, none, c.only4},
			{"IPv6 only", none, v6, c.only6},
			{"an IPv6 address without a port", v4, netip.AddrPortFrom(v6.Addr(), 0), c.zeroPort6},
			{"none", none, none, none},
		} {
			got, ok := c.rules.Choose(relay.v4, relay.v6)
			if got != relay.want || ok != relay.want.IsValid() || ok != c.rules.Reaches(relay.v4, relay.v6) {
				t.Errorf("%s, a relay with %s: %v, %v", c.name, relay.name, got, ok)
			}
		}
	}
}
