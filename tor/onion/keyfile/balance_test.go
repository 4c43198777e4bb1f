package keyfile

import (
	"errors"
	"strings"
	"testing"
)

func TestBalance(t *testing.T) {
	const a = host + ".onion"
	for name, tt := range map[string]struct {
		text string
		n    int // 0: refused
	}{
		"one":             {"MasterOnionAddress " + a + "\n", 1},
		"no line end":     {"MasterOnionAddress " + a, 1},
		"as C tor may":    {"# of OnionBalance\r\n\nmasteronionaddress\t" + a + " # the front\r\n", 1},
		"one, twice":      {"MasterOnionAddress " + a + "\nMasterOnionAddress " + strings.ToUpper(a) + "\n", 1},
		"nothing":         {"", 0},
		"comments":        {"# MasterOnionAddress " + a + "\n", 0},
		"another option":  {"MasterOnionAddress " + a + "\nOther 1\n", 0},
		"two in a line":   {"MasterOnionAddress " + a + " " + a + "\n", 0},
		"no address":      {"MasterOnionAddress\n", 0},
		"another address": {"MasterOnionAddress b" + a[1:] + "\n", 0},
		"without .onion":  {"MasterOnionAddress " + host + "\n", 0},
	} {
		got, err := ParseBalance([]byte(tt.text))
		if len(got) != tt.n || (tt.n == 0) != errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %d addresses, %v", name, len(got), err)
		}
		if err != nil && strings.Contains(err.Error(), host[:20]) {
			t.Errorf("%s: the error repeats an address", name)
		}
	}
}

func FuzzParseBalance(f *testing.F) {
	f.Add([]byte("MasterOnionAddress " + host + ".onion\n# x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseBalance(b)
		if (err == nil) != (len(got) > 0) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d addresses, %v", len(got), err)
		}
	})
}
