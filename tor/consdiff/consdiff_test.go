package consdiff

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "arti", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVector(t *testing.T) {
	base, diff, want := vector(t, "consensus1.txt"), vector(t, "diff1.txt"), vector(t, "consensus2.txt")
	got, err := Apply(base, diff)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v; %d bytes, want %d", err, len(got), len(want))
	}
	if !Looks(diff) || Looks(base) {
		t.Error("does not know a diff from a consensus")
	}
	if _, err := Apply(want, diff); !errors.Is(err, ErrBase) {
		t.Errorf("from another consensus: %v", err)
	}
	changed := bytes.Replace(diff, []byte("Bandwidth="), []byte("Bandwidth=1"), 1)
	if bytes.Equal(changed, diff) {
		changed = bytes.Replace(diff, []byte("directory-signature sha256 3"), []byte("directory-signature sha256 4"), 1)
	}
	if _, err := Apply(base, changed); !errors.Is(err, ErrResult) {
		t.Errorf("another result: %v", err)
	}
}

// "FromDigest is the hex-encoded SHA3-256 digest of the signed part of the consensus"; the value is C tor's.
func TestSignedDigest(t *testing.T) {
	const text = "network-status-version foo\nr name ccccccccccccccccc etc\nfoo\n" +
		"r name eeeeeeeeeeeeeeeee etc\nbar\ndirectory-signature foo bar\nbar\n"
	d, ok := SignedDigest([]byte(text))
	if want := "95D70F5A3CC65F920AA8B44C4563D7781A082674329661884E19E94B79D539C2"; !ok || d.String() != want {
		t.Errorf("%v %v, want %s", d, ok, want)
	}
	if _, ok := SignedDigest([]byte("network-status-version 3\n")); ok {
		t.Error("a text without a signature has a signed part")
	}
}

const zeroHash = "0000000000000000000000000000000000000000000000000000000000000000"

var head = firstLine + "\nhash " + zeroHash + " " + zeroHash + "\n"

// edit applies a script to any lines, without the checks of the hashes.
func edit(base, script string) (string, error) {
	d, err := Parse([]byte(head + script))
	if err != nil {
		return "", err
	}
	out, err := d.apply([]byte(base))
	return string(out), err
}

// dir-spec appendix E.
func TestEdScript(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"no command", "", "ABCDE"},
		{"n a appends after line n", "3a\nU\nO\n.\n0a\nV\n.\n", "VABCUODE"},
		{"at the end", "5a\nU\n.\n", "ABCDEU"},
		{"n d and n,m d delete", "4d\n1,2d\n", "CE"},
		{"n,$ d deletes to the end", "4,$d\n1d\n", "BC"},
		{"n c and n,m c replace", "4c\nT\nX\n.\n1,2c\nM\n.\n", "MCTXE"},
		{"all together", "4c\nT\nX\n.\n2d\n0a\nM\n.\n", "MACTXE"},
		{"two at one place", "2a\nX\n.\n2a\nY\n.\n2d\n", "AYXCDE"},
		{"a block with two dots", "5c\n..\n.\n", "ABCD.."},
	} {
		got, err := edit("A\nB\nC\nD\nE\n", tt.script)
		if err != nil || strings.ReplaceAll(got, "\n", "") != tt.want {
			t.Errorf("%s: %q %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		name, script string
		want         error
	}{
		{"no line number", "a\n", ErrMalformed},
		{"no command letter", "1\n", ErrMalformed},
		{"range without end", "1,\n", ErrMalformed},
		{"range without command", "1,1\n", ErrMalformed},
		{"range that descends", "3,2d\n", ErrMalformed},
		{"append with a range", "1,2a\nX\n.\n", ErrMalformed},
		{"$ with c", "1,$c\nX\n.\n", ErrMalformed},
		{"$ alone", "$d\n", ErrMalformed},
		{"front to back", "1d\n3d\n", ErrMalformed},
		{"$ after a command", "3d\n1,$d\n", ErrMalformed},
		{"ranges that overlap", "3,4d\n2,3d\n", ErrMalformed},
		{"longer command", "1foo\n", ErrMalformed},
		{"other command", "1e\n", ErrMalformed},
		{"s command of ed", "1s/a/b/\n", ErrMalformed},
		{"block that is missing", "0a\n", ErrMalformed},
		{"block without lines", "0a\n.\n", ErrMalformed},
		{"block without end", "0a\nhello\n", ErrMalformed},
		{"space in a range", "0, 4d\n", ErrMalformed},
		{"plus sign", "+1,4d\n", ErrMalformed},
		{"minus sign", "-1d\n", ErrMalformed},
		{"two ranges", "1,4d,5d\n", ErrMalformed},
		{"space before the command", "1,4 d\n", ErrMalformed},
		{"line 0 deleted", "0d\n", ErrMalformed},
		{"line 0 replaced", "0c\nX\n.\n", ErrMalformed},
		{"line that is not there", "6d\n", ErrResult},
		{"append after line that is not there", "6a\nX\n.\n", ErrResult},
		{"number past 31 bits", "2147483648d\n", ErrMalformed},
		{"number past 64 bits", "99999999999999999999d\n", ErrMalformed},
		{"no newline at the end", "1d", ErrMalformed},
	} {
		if _, err := edit("A\nB\nC\nD\nE\n", tt.script); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, text := range []string{
		"", "foo-bar\nheader-line\n", firstLine, firstLine + "\n", firstLine + "\nword a b\nx\n", firstLine + "\nhash a b c\n",
		firstLine + "\nhash aaa bbb\n", firstLine + "\nhash " + strings.Repeat("?", 64) + " " + strings.Repeat("-", 64) + "\n",
		"network-status-diff-version 2\nhash " + zeroHash + " " + zeroHash + "\n",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
	lower := bytes.ToLower(vector(t, "diff1.txt")[:200])
	upper, _, _ := bytes.Cut(vector(t, "diff1.txt"), []byte("\n76"))
	d1, err := Parse(append(lower[:len(upper)], '\n'))
	d2, err2 := Parse(append(upper, '\n'))
	if err != nil || err2 != nil || d1.From != d2.From || d1.To != d2.To || d1.From.IsZero() {
		t.Errorf("lower case hex: %v %v", err, err2)
	}
}

// Bytes, lines and commands are bounded (TROVE-2026-028, -029, -042).
func TestCaps(t *testing.T) {
	var commands strings.Builder
	for i := range MaxCommands + 1 {
		fmt.Fprintf(&commands, "%dd\n", MaxCommands+1-i)
	}
	base := strings.Repeat("x\n", MaxLines)
	for name, tt := range map[string]struct{ base, script string }{
		"diff of too many bytes":   {"", "0a\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", MaxDiffSize/100) + ".\n"},
		"diff of too many lines":   {"", "0a\n" + strings.Repeat("\n", MaxLines) + ".\n"},
		"too many commands":        {"", commands.String()},
		"base of too many lines":   {base + "x\n", ""},
		"result of too many lines": {base, "0a\nx\n.\n"},
		"result of too many bytes": {strings.Repeat("x", MaxDocumentSize-3) + "\n", "0a\nxxx\n.\n"},
	} {
		if _, err := edit(tt.base, tt.script); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Apply(make([]byte, MaxDocumentSize+1), []byte(head)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("base of too many bytes: %v", err)
	}
}

// slow does a script command by command, each on the whole text, as ed would.
func slow(lines []string, commands []string) []string {
	for _, c := range commands {
		var a, b int
		first, block, _ := strings.Cut(c, "\n")
		verb := first[len(first)-1]
		if n, _ := fmt.Sscanf(first, "%d,%d", &a, &b); n == 1 {
			b = a
		}
		added := strings.Split(strings.TrimSuffix(block, "\n.\n"), "\n")
		switch verb {
		case 'a':
			lines = slices.Insert(slices.Clone(lines), a, added...)
		case 'd':
			lines = slices.Delete(slices.Clone(lines), a-1, b)
		case 'c':
			lines = slices.Replace(slices.Clone(lines), a-1, b, added...)
		}
	}
	return lines
}

// "Line numbers always apply to the file after all previous commands have already been applied."
func TestAsEdDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var base, commands []string
		for i := range r.IntN(12) {
			base = append(base, fmt.Sprint("line", i))
		}
		for at := len(base); at > 0; at -= r.IntN(3) {
			low := 1 + r.IntN(at)
			span := fmt.Sprintf("%d,%d", low, at)
			if low == at && r.IntN(2) == 0 {
				span = fmt.Sprint(at)
			}
			block := strings.Repeat(fmt.Sprintf("new%d\n", r.IntN(100)), 1+r.IntN(3)) + ".\n"
			switch r.IntN(3) {
			case 0:
				commands = append(commands, fmt.Sprintf("%da\n%s", at, block))
			case 1:
				commands, at = append(commands, span+"c\n"+block), low-1
			case 2:
				commands, at = append(commands, span+"d\n"), low-1
			}
		}
		text := strings.Join(append(slices.Clone(base), ""), "\n")
		got, err := edit(text, strings.Join(commands, ""))
		want := strings.Join(append(slow(base, commands), ""), "\n")
		if err != nil || got != want {
			t.Fatalf("%v\n%s on\n%s\ngives\n%s\nwant\n%s", err, strings.Join(commands, ""), text, got, want)
		}
	}
}

func FuzzApply(f *testing.F) {
	base := vector(f, "consensus1.txt")
	f.Add(base, vector(f, "diff1.txt"))
	f.Add([]byte("A\nB\nC\n"), []byte(head+"3,$d\n2c\nX\n.\n0a\nY\n.\n"))
	f.Fuzz(func(t *testing.T, base, diff []byte) {
		d, err := Parse(diff)
		if err != nil {
			return
		}
		out, err := d.apply(base)
		if err != nil {
			return
		}
		if len(out) > len(base)+len(diff) || len(out) > MaxDocumentSize || bytes.Count(out, newline) > MaxLines {
			t.Errorf("%d bytes of base and %d of diff give %d", len(base), len(diff), len(out))
		}
		if got, err := Apply(base, diff); err == nil && Sum(got) != d.To {
			t.Error("not what it promises")
		}
	})
}
