package onion

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filippo.io/edwards25519"
)

const (
	vectorKey  = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	vectorHost = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion"
)

// C tor's vector, made by a script of its own from proposal 224, and the
// examples of rend-spec-v3 section 6.
func TestAddressVectors(t *testing.T) {
	a, err := NewAddress(unhex32(t, vectorKey))
	if err != nil || a.Host() != vectorHost {
		t.Errorf("%q, %v", a.Host(), err)
	}
	for _, host := range []string{
		vectorHost, strings.ToUpper(vectorHost),
		"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion",
		"sp3k262uwy4r2k3ycr5awluarykdpag6a7y33jxop4cs2lu5uz5sseqd.onion",
		"xa4r2iadxm55fbnqgwwi5mymqdcofiu3w6rpbtqn7b2dyn7mgwj64jyd.onion",
	} {
		a, err := ParseAddress(host)
		if err != nil || a.Host() != strings.ToLower(host) {
			t.Errorf("%s: %s, %v", host, a.Host(), err)
		}
	}
}

func edited(at int, c byte) string {
	b := []byte(vectorHost)
	b[at] = c
	return string(b)
}

func TestBadAddresses(t *testing.T) {
	tests := []struct {
		host string
		want error
	}{
		{"", ErrNotOnion},
		{"onion", ErrNotOnion},
		{"example.com", ErrNotOnion},
		{vectorHost + ".exit", ErrNotOnion},
		{".onion", ErrLength},
		{"expyuzz4wqqyqhjn.onion", ErrLength}, // version 2
		{"aaaaaaaa.onion", ErrLength},
		{"p3xnclpu4mu22dwaurjtsybyqk4xfjmcfz6z62yl24uwmhjatiwnlnadb.onion", ErrLength},
		{strings.Repeat("?", 56) + ".onion", ErrEncoding},
		{edited(0, '1'), ErrEncoding},
		{edited(55, 'e'), ErrVersion},
		{edited(53, 'x'), ErrChecksum},
		{"l5satjgud6gucryazcyvyvhuxhr74u6ygigiuyixe3a6ysis67ororad.onion", ErrChecksum},
		{"btojiu7nu5y5iwut64eufevogqdw4wmqzugnoluw232r4t3ecsfv37ad.onion", ErrChecksum},
	}
	for _, tt := range tests {
		for name, parse := range map[string]func(string) (Address, error){"ParseAddress": ParseAddress, "ParseHost": ParseHost} {
			a, err := parse(tt.host)
			if !errors.Is(err, tt.want) || a != (Address{}) {
				t.Errorf("%s(%q): %v, want %v", name, tt.host, err, tt.want)
			}
			if err != nil && len(tt.host) > 10 && strings.Contains(err.Error(), tt.host[:10]) {
				t.Errorf("%s: the error repeats the name: %v", name, err)
			}
		}
	}
}

func TestSubdomains(t *testing.T) {
	want := Address(unhex32(t, vectorKey))
	for _, host := range []string{vectorHost, "www." + vectorHost, "a.b." + vectorHost} {
		if a, err := ParseHost(host); err != nil || a != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := ParseAddress("www." + vectorHost); !errors.Is(err, ErrLength) {
		t.Errorf("an address took a subdomain: %v", err)
	}
	for _, host := range []string{"." + vectorHost, "www.." + vectorHost} {
		if _, err := ParseHost(host); !errors.Is(err, ErrEncoding) {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestIsOnion(t *testing.T) {
	for host, want := range map[string]bool{
		vectorHost: true, "x.onion": true, "X.ONION": true, "onion": true, ".onion": true, "x.onion.": true, "onion.": true,
		"onion.com": false, "xonion": false, "": false, "x.onion.exit": false,
	} {
		if IsOnion(host) != want {
			t.Errorf("IsOnion(%q) is %v", host, !want)
		}
	}
}

// A key with a torsion component, one of low order and one that is no canonical
// encoding are no service's name, whatever their checksum says.
func TestKeysThatAreNoNames(t *testing.T) {
	torsion, err := new(edwards25519.Point).SetBytes(unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))
	if err != nil {
		t.Fatal(err)
	}
	shifted := new(edwards25519.Point).Add(edwards25519.NewGeneratorPoint(), torsion)
	for name, key := range map[string][]byte{
		"torsion":       shifted.Bytes(),
		"order 2":       torsion.Bytes(),
		"neutral":       edwards25519.NewIdentityPoint().Bytes(),
		"zero":          make([]byte, 32),
		"not canonical": unhex(t, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		"no point":      unhex(t, "0200000000000000000000000000000000000000000000000000000000000000"),
	} {
		if _, err := NewAddress([32]byte(key)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: NewAddress: %v", name, err)
		}
		if _, err := ParseAddress(Address(key).Host()); !errors.Is(err, ErrKey) {
			t.Errorf("%s: ParseAddress: %v", name, err)
		}
		if _, err := Address(key).Blind(Period{1, 1440}); !errors.Is(err, ErrKey) {
			t.Errorf("%s: Blind: %v", name, err)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNothingPrintsSecrets(t *testing.T) {
	a := Address(unhex32(t, vectorKey))
	key := SecretKeyOfSeed([32]byte{7})
	for _, format := range []string{"%v", "%s", "%x", "%+v", "%#v", "%d", "%q"} {
		for _, v := range []any{a, a.Subcredential(BlindedKey{}), *key, key} {
			if got := fmt.Sprintf(format, v); !strings.HasPrefix(got, "[redacted]") {
				t.Errorf("%T as %s prints %q", v, format, got)
			}
		}
	}
}

func TestAddressRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		a := SecretKeyOfSeed(seed).Address()
		got, err := ParseAddress(a.Host())
		if err != nil || got != a {
			t.Fatalf("%v", err)
		}
		// Any other character anywhere is noticed: the checksum is two bytes, so
		// one change in 65536 may pass as another name, but never as this one.
		host := []byte(a.Host())
		i := rapid.IntRange(0, labelLen-1).Draw(t, "at")
		host[i] = rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz234567")).Draw(t, "char")
		other, err := ParseAddress(string(host))
		if err == nil && (other == a) != (string(host) == a.Host()) {
			t.Fatal("two spellings of one address")
		}
	})
}

func FuzzParseHost(f *testing.F) {
	f.Add(vectorHost)
	f.Add("www." + vectorHost)
	f.Add("expyuzz4wqqyqhjn.onion")
	f.Fuzz(func(t *testing.T, host string) {
		a, err := ParseHost(host)
		if err != nil {
			return
		}
		if !IsOnion(host) || !strings.HasSuffix(strings.ToLower(host), a.Host()) {
			t.Errorf("%q was taken for %q", host, a.Host())
		}
	})
}
