package nodeset_test

import (
	"net/netip"
	"testing"

	"chive/tor/geoip"
	"chive/tor/netdoc"
	"chive/tor/nodeset"
)

func relay(id byte, v4, v6 string) *netdoc.RouterStatus {
	r := &netdoc.RouterStatus{Identity: netdoc.Digest{id}}
	if v4 != "" {
		r.IPv4 = netip.AddrPortFrom(netip.MustParseAddr(v4), 9001)
	}
	if v6 != "" {
		r.IPv6 = netip.AddrPortFrom(netip.MustParseAddr(v6), 9001)
	}
	return r
}

func country(t *testing.T, s string) geoip.Country {
	t.Helper()
	c, ok := geoip.ParseCountry(s)
	if !ok {
		t.Fatal(s)
	}
	return c
}

func TestRules(t *testing.T) {
	db, err := geoip.Parse([]byte("16777216,16777471,AU\n"), []byte("2a00::,2a00:ffff::,DE\n"))
	if err != nil {
		t.Fatal(err)
	}
	au, de, nowhere, mixed := relay(1, "1.0.0.1", ""), relay(2, "", "2a00::1"), relay(3, "9.9.9.9", ""), relay(4, "1.0.0.2", "2a00::2")
	in := func(codes ...string) (s nodeset.Set) {
		for _, c := range codes {
			s.Countries = append(s.Countries, country(t, c))
		}
		return s
	}
	net := nodeset.Set{Networks: []netip.Prefix{netip.MustParsePrefix("9.9.0.0/16")}}
	one := nodeset.Set{Relays: []netdoc.Digest{{1}}}
	for _, tt := range []struct {
		name                string
		rules               *nodeset.Rules
		relay               *netdoc.RouterStatus
		guard, middle, exit bool
	}{
		{"no rules", nil, au, true, true, true},
		{"empty rules", &nodeset.Rules{}, au, true, true, true},
		{"excluded by country", &nodeset.Rules{Exclude: in("AU"), GeoIP: db}, au, false, false, false},
		{"another country", &nodeset.Rules{Exclude: in("de"), GeoIP: db}, au, true, true, true},
		{"either address counts", &nodeset.Rules{Exclude: in("de"), GeoIP: db}, mixed, false, false, false},
		{"unknown is allowed", &nodeset.Rules{Exclude: in("de"), GeoIP: db}, nowhere, true, true, true},
		{"unknown is not, if asked for", &nodeset.Rules{Exclude: in("de"), GeoIP: db, ExcludeUnknown: true}, nowhere, false, false, false},
		{"unknown by name", &nodeset.Rules{Exclude: in("??"), GeoIP: db}, nowhere, false, false, false},
		{"unknown matters with countries only", &nodeset.Rules{Exclude: one, GeoIP: db, ExcludeUnknown: true}, nowhere, true, true, true},
		{"excluded as an exit", &nodeset.Rules{ExcludeExit: one}, au, true, true, false},
		{"excluded by network", &nodeset.Rules{Exclude: net}, nowhere, false, false, false},
		{"exits of one relay", &nodeset.Rules{Exit: one}, au, true, true, true},
		{"and no other", &nodeset.Rules{Exit: one}, de, true, true, false},
		{"guards of one network", &nodeset.Rules{Entry: net}, nowhere, true, true, true},
		{"and of no other", &nodeset.Rules{Entry: net}, au, false, true, true},
		{"middles of one country", &nodeset.Rules{Middle: in("au"), GeoIP: db}, de, true, false, true},
		{"exclusion comes first", &nodeset.Rules{Exit: one, Exclude: one}, au, false, false, false},
	} {
		got := [3]bool{tt.rules.Guard(tt.relay), tt.rules.MiddleHop(tt.relay), tt.rules.ExitHop(tt.relay)}
		if got != [3]bool{tt.guard, tt.middle, tt.exit} {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
