package netdoc

import (
	"errors"
	"strings"
	"testing"
)

// scanAll renders items as keyword|args|type|data, one a line.
func scanAll(text string, maxObjects int) (string, error) {
	s, err := newScanner("test", []byte(text), 1<<20, maxObjects)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	var it item
	for {
		ok, err := s.next(&it)
		if err != nil || !ok {
			return b.String(), err
		}
		b.WriteString(string(it.keyword) + "|" + string(it.args.rest()) + "|" + string(it.objType) + "|" +
			strings.ReplaceAll(string(it.object), "\n", "/") + ";")
	}
}

// dir-spec 1.2.
func TestScan(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"an empty document", "", ""},
		{"blank lines between items", "\n\na 1\n\nb\n", "a|1||;b|||;"},
		{"tabs and many blanks", "a\t1  2\n", "a|1  2||;"},
		{"a last line without newline", "a 1\nb 2", "a|1||;b|2||;"},
		{
			"objects", "k x\n-----BEGIN RSA PUBLIC KEY-----\nAAAA\nBB==\n-----END RSA PUBLIC KEY-----\nb\n",
			"k|x|RSA PUBLIC KEY|AAAA/BB==/;b|||;",
		},
		{"an empty object", "k\n-----BEGIN X-----\n-----END X-----\n", "k||X|;"},
		{"an object at the end without newline", "k\n-----BEGIN X-----\nAA==\n-----END X-----", "k||X|AA==/;"},
		{"keywords of every allowed character", "x-Az09- y\n0a\n", "x-Az09-|y||;0a|||;"},
		{"non-ASCII arguments", "contact J\xc3\xb6rg\n", "contact|J\xc3\xb6rg||;"},
	} {
		got, err := scanAll(tc.in, 10)
		if err != nil || got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	object := "k\n-----BEGIN X-----\nAA==\n-----END X-----\n"
	for _, tc := range []struct {
		name, in string
		want     error
		line     int
	}{
		{"a NUL byte", "a\nb\x00\n", ErrMalformed, 2},
		{"a line that starts with a blank", "a\n b\n", ErrMalformed, 2},
		{"a line that starts with a dash", "-a\n", ErrMalformed, 1},
		{"a keyword with other characters", "a_b c\n", ErrMalformed, 1},
		{"an object without item", "-----BEGIN X-----\n-----END X-----\n", ErrMalformed, 1},
		{"two objects for an item", object + "-----BEGIN X-----\nAA==\n-----END X-----\n", ErrMalformed, 5},
		{"an object without end", "k\n-----BEGIN X-----\nAA==\n", ErrMalformed, 2},
		{"an object cut short", "k\n-----BEGIN X-----\nAA==\n-----END X--", ErrMalformed, 4},
		{"an object that ends as another", "k\n-----BEGIN X-----\nAA==\n-----END Y-----\n", ErrMalformed, 4},
		{"an end in the middle of a line", "k\n-----BEGIN X-----\nAA==-----END X-----\n", ErrMalformed, 3},
		{"an object without name", "k\n-----BEGIN -----\n-----END -----\n", ErrMalformed, 2},
		{"a cut begin line", "k\n-----BEGIN X\nAA==\n-----END X-----\n", ErrMalformed, 2},
		{"too many objects", strings.Repeat(object, 11), ErrTooLarge, 42},
		{"a line too long", "a\nb " + strings.Repeat("x", maxLineLength) + "\n", ErrTooLarge, 2},
		{"an object too long", "k\n-----BEGIN X-----\n" + strings.Repeat("AAAA\n", maxObjectLength/5+1) + "-----END X-----\n", ErrTooLarge, 2},
		{"a document too long", strings.Repeat("a\n", 1<<20), ErrTooLarge, 0},
	} {
		got, err := scanAll(tc.in, 10)
		var pe *ParseError
		if !errors.Is(err, tc.want) || !errors.As(err, &pe) || pe.Line != tc.line {
			t.Errorf("%s: %q, error %v; want %v in line %d", tc.name, clip([]byte(got)), err, tc.want, tc.line)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want int32
		ok   bool
	}{
		{"0", 0, true},
		{"-1", -1, true},
		{"2147483647", 1<<31 - 1, true},
		{"-2147483648", -1 << 31, true},
		{"2147483648", 0, false},
		{"-2147483649", 0, false},
		{"", 0, false},
		{"-", 0, false},
		{"+1", 0, false},
		{"1x", 0, false},
		{"--1", 0, false},
		{"18446744073709551617", 0, false}, // 2^64+1 must not wrap to 1
		{"99999999999999999999999", 0, false},
	} {
		got, ok := parseInt32([]byte(tc.in))
		if ok != tc.ok || (ok && got != tc.want) {
			t.Errorf("parseInt32(%q) = %d, %v", tc.in, got, ok)
		}
	}
}

func TestIdentities(t *testing.T) {
	d, err := ParseDigest("$f533c81cef0bc0267857c99b2f471adf249fa232")
	if err != nil || d.String() != "F533C81CEF0BC0267857C99B2F471ADF249FA232" || d.IsZero() {
		t.Errorf("ParseDigest: %v, %v", d, err)
	}
	for _, in := range []string{"", "F533", "g533c81cef0bc0267857c99b2f471adf249fa232", "f533c81cef0bc0267857c99b2f471adf249fa23200"} {
		if d, err := ParseDigest(in); err == nil {
			t.Errorf("ParseDigest(%q) = %v", in, d)
		}
	}
	const key = "DvdwIovwJCblLr6NMKVJzRRaAoi5Er6XTyMoVOuQr9Q"
	for _, in := range []string{key, key + "="} { // padded before consensus method 30, unpadded since (dir-spec 3.3)
		id, err := ParseEd25519ID(in)
		if err != nil || id.String() != key {
			t.Errorf("ParseEd25519ID(%q) = %v, %v", in, id, err)
		}
		md, err := ParseMDDigest(in)
		if err != nil || md.String() != key {
			t.Errorf("ParseMDDigest(%q) = %v, %v", in, md, err)
		}
	}
	for _, in := range []string{"", key[1:], key + "A", key + "===", "!" + key[1:]} {
		if id, err := ParseEd25519ID(in); err == nil {
			t.Errorf("ParseEd25519ID(%q) = %v", in, id)
		}
	}
}
