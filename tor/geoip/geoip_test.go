package geoip_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"chive/tor/geoip"
)

const (
	v4 = "# a comment\n16777216,16777471,AU\n16777472,16778239,cn\r\n\n50331648,50331648,??\n"
	v6 = "2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,JP\n2a00::,2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff,DE\n"
)

func TestCountry(t *testing.T) {
	db, err := geoip.Parse([]byte(v4), []byte(v6))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"0.255.255.255": "??", "1.0.0.0": "au", "1.0.0.255": "au", "1.0.1.0": "cn", "1.0.3.255": "cn", "1.0.4.0": "??",
		"3.0.0.0": "??", "255.255.255.255": "??", "::ffff:1.0.0.7": "au",
		"2001:200::1": "jp", "2001:200:ffff::": "jp", "2001:201::": "??", "2a00:1::": "de", "::1": "??", "ffff::": "??",
	} {
		if got := db.Country(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	var none *geoip.DB
	if none.Country(netip.MustParseAddr("1.0.0.0")) != geoip.Unknown || db.Country(netip.Addr{}) != geoip.Unknown {
		t.Error("something is known of nothing")
	}
}

func TestMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"two fields": "1,2\n", "four": "1,2,DE,x\n", "no number": "a,2,DE\n", "descends": "2,1,DE\n", "too large": "1,4294967296,DE\n",
		"no country": "1,2,Germany\n", "a sign": "1,2,D!\n", "lines that descend": "5,6,DE\n1,2,DE\n",
	} {
		if _, err := geoip.Parse([]byte(text), nil); !errors.Is(err, geoip.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"IPv4": "1.2.3.4,1.2.3.5,DE\n", "descends": "2::,1::,DE\n", "no address": "x,y,DE\n"} {
		if _, err := geoip.Parse(nil, []byte(text)); !errors.Is(err, geoip.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := geoip.Parse([]byte(strings.Repeat("#", geoip.MaxBytes+1)), nil); !errors.Is(err, geoip.ErrMalformed) {
		t.Errorf("too many bytes: %v", err)
	}
}

// The files that Debian ships are read whole.
func TestDebiansFiles(t *testing.T) {
	four, err := os.ReadFile("/usr/share/tor/geoip")
	six, err2 := os.ReadFile("/usr/share/tor/geoip6")
	if err != nil || err2 != nil {
		t.Fatalf("%v %v: make deps installs them", err, err2)
	}
	db, err := geoip.Parse(four, six)
	if err != nil {
		t.Fatal(err)
	}
	// The networks of two registries' own addresses, which do not move.
	if a, b := db.Country(netip.MustParseAddr("193.0.6.139")), db.Country(netip.MustParseAddr("2001:67c:2e8:22::c100:68b")); a.String() != "nl" || b.String() != "nl" {
		t.Errorf("the RIPE NCC is in %v and %v", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(v4), []byte(v6))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		db, err := geoip.Parse(a, b)
		if err == nil {
			db.Country(netip.MustParseAddr("1.0.0.0"))
			db.Country(netip.MustParseAddr("2001::"))
		}
	})
}
