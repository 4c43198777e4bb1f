package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The sentences are tor(1)'s, "THE CONFIGURATION FILE FORMAT".
func TestParseSyntax(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Line
	}{
		{"an option name and a value", "SocksPort 9050\n", []Line{{Number: 1, Key: "SocksPort", Value: "9050"}}},
		{"no newline at the end", "SocksPort 9050", []Line{{Number: 1, Key: "SocksPort", Value: "9050"}}},
		{"tabs, trailing blanks and CRLF", "\tSocksPort\t 9050 \t\r\n\r\nA b", []Line{{Number: 1, Key: "SocksPort", Value: "9050"}, {Number: 3, Key: "A", Value: "b"}}},
		{"anything after # is a comment", "# c\nA b # c\nB#c\nC d#e", []Line{{Number: 2, Key: "A", Value: "b"}, {Number: 3, Key: "B"}, {Number: 4, Key: "C", Value: "d"}}},
		{"a quoted value keeps #, with C escapes", `Log "notice file /a #b\t\"\x41\101\\" # c`, []Line{{Number: 1, Key: "Log", Value: "notice file /a #b\t\"AA\\"}}},
		{"a single backslash before the end of the line", "A b \\\n  c\\\nd\nE f", []Line{{Number: 1, Key: "A", Value: "b   cd"}, {Number: 4, Key: "E", Value: "f"}}},
		{"comments in multiline entries at the beginning of a line", "A b \\\n# no\n  # no\nc", []Line{{Number: 1, Key: "A", Value: "b c"}}},
		{"a continuation right after the name", "A\\\nb", []Line{{Number: 1, Key: "A", Value: "b"}}},
		{"a backslash at the end of the file", "A b\\", []Line{{Number: 1, Key: "A", Value: "b"}}},
		{"a byte order mark", "\ufeffA b", []Line{{Number: 1, Key: "A", Value: "b"}}},
		{"a quote inside an unquoted value", `SocksPort unix:"/a b" WorldWritable`, []Line{{Number: 1, Key: "SocksPort", Value: `unix:"/a b" WorldWritable`}}},
		{"an include is a line", "%include /etc/torrc.d/*.conf", []Line{{Number: 1, Key: "%include", Value: "/etc/torrc.d/*.conf"}}},
		{"nothing", "\n \n#", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse("", strings.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, in, want string
		kind           error
		lines          int // that could still be read
	}{
		{"no closing quote", "A \"b\nC d", `t:1: A: the closing quote is missing`, ErrSyntax, 1},
		{"bad escape", `A "\q"`, "t:1: A: bad escape at byte 1 of the quoted text", ErrSyntax, 0},
		{"NUL by escape", `A "\x00"`, "t:1: A: bad escape at byte 1 of the quoted text", ErrSyntax, 0},
		{"octal over a byte", `A "\777"`, "t:1: A: bad escape at byte 1 of the quoted text", ErrSyntax, 0},
		{"excess data after a quoted string", `A "b" c`, "t:1: A: text after the closing quote", ErrSyntax, 0},
		{"comment in the middle of a continuation", "A b\\\nc # d\nE f", "t:2: A: a comment inside a continued entry must start at the beginning of its line", ErrSyntax, 1},
		{"NUL byte", "A b\x00c\nD e", "t:1: control character 0x00 in the line", ErrSyntax, 1},
		{"control byte in a continuation", "A b\\\n\x01\nD e", "t:2: A: control character 0x01 in the line", ErrSyntax, 1},
		{"value too long", "A " + strings.Repeat("b", MaxValueBytes+1), "t:1: A: value longer than 65536 bytes", ErrLimit, 0},
		{"file too large", strings.Repeat("#", MaxFileBytes+1), "t: larger than 4194304 bytes", ErrLimit, 0},
		{"too many options", strings.Repeat("A\n", MaxLines+1), "t:100000: more than 100000 options", ErrLimit, MaxLines},
		{"every mistake is reported", "A \"\nB \"", "t:1: A: the closing quote is missing\nt:2: B: the closing quote is missing", ErrSyntax, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := Parse("t", strings.NewReader(tt.in))
			if err == nil || err.Error() != tt.want {
				t.Fatalf("error %q, want %q", err, tt.want)
			}
			if !errors.Is(err, tt.kind) {
				t.Errorf("%v is not a %v", err, tt.kind)
			}
			if len(lines) != tt.lines {
				t.Errorf("%d lines, want %d", len(lines), tt.lines)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "A b", "A \"b\\n\" # c", "A b\\\n# c\nd", "\\\n", "#", "A\\", "%include x", publicAuthorities} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		lines, err := Parse("f", strings.NewReader(in))
		last := 0
		for _, l := range lines {
			if l.Key == "" || strings.ContainsAny(l.Key, " \t\n#") || len(l.Value) > MaxValueBytes || l.Number <= last {
				t.Fatalf("bad line %+v after line %d", l, last)
			}
			last = l.Number
		}
		var many Errors
		if err != nil && (!errors.As(err, &many) || len(many) == 0 || len(many) > maxErrors+1) {
			t.Fatalf("bad error %#v", err)
		}
	})
}

// FuzzLoad looks for a crash past the lexer: every value parser is behind it.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"SocksPort 9050 IsolateDestAddr SessionGroup=3", "SocksPort unix:\"/a b\" WorldWritable", "SocksPort [::1]:auto",
		"Log debug-info file /x", "MaxCircuitDirtiness 1.5 hours", "OutboundBindAddress ::1", "NatsListen 4222",
		"FallbackDir 192.0.2.1:80 orport=9001 id=0123456789012345678901234567890123456789 ipv6=[2001:db8::1]:9001 weight=2",
		"DirAuthority a orport=9001 v3ident=0123456789012345678901234567890123456789 192.0.2.1:80 0123456789012345678901234567890123456789",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		cfg, err := loadFrom(oneFile(in), "torrc", nil)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}
