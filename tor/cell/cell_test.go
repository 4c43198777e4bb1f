package cell_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

// vector reads one of testdata/vectors.txt.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == name {
			return unhex(t, strings.Join(fields[1:], ""))
		}
	}
	t.Fatalf("no vector %q", name)
	return nil
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func certsVector(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/certs.hex")
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, string(b))
}

// padded fills a body up with zeros, as in a fixed cell.
func padded(b []byte) []byte { return append(b, make([]byte, cell.BodyLen-len(b))...) }

func TestNext(t *testing.T) {
	fixed := append(unhex(t, "20201122 03 666f72206120636f6465"), make([]byte, 514-15)...)
	tests := []struct {
		name string // tor-spec section 3
		buf  []byte
		circ cell.CircID
		cmd  cell.Command
		body []byte
		n    int
		err  error
	}{
		{"CELL_LEN is 514 with link protocol 4", fixed, 0x20201122, cell.Relay, fixed[5:], 514, nil},
		{"what follows a cell is not part of it", append(slices.Clone(fixed), "next"...), 0x20201122, cell.Relay, fixed[5:], 514, nil},
		{"one byte short of a fixed cell", fixed[:513], 0, 0, nil, 0, nil},
		{"commands from 128 on are variable", unhex(t, "12345678 ff 0002 7765 20"), 0x12345678, 255, []byte("we"), 9, nil},
		{"VERSIONS is variable", unhex(t, "00000000 07 0000"), 0, cell.Versions, []byte{}, 7, nil},
		{"one byte short of a variable cell", unhex(t, "00000000 81 0003 1234"), 0, 0, nil, 0, nil},
		{"half a length", unhex(t, "00000000 81 00"), 0, 0, nil, 0, nil},
		{"no length", unhex(t, "00000000 81"), 0, 0, nil, 0, nil},
		{"no command", unhex(t, "00000000"), 0, 0, nil, 0, nil},
		{"nothing", nil, 0, 0, nil, 0, nil},
		{"CERTS at its limit is awaited", unhex(t, "00000000 81 4000"), 0, 0, nil, 0, nil},
		{"CERTS over its limit", unhex(t, "00000000 81 4001"), 0, 0, nil, 0, cell.ErrOversize},
		{"AUTH_CHALLENGE over its limit", unhex(t, "00000000 82 1001"), 0, 0, nil, 0, cell.ErrOversize},
		{"VERSIONS over its limit", unhex(t, "00000000 07 0201"), 0, 0, nil, 0, cell.ErrOversize},
		{"an unknown command at the wire's limit", unhex(t, "00000000 fe ffff"), 0, 0, nil, 0, cell.ErrOversize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			circ, cmd, body, n, err := cell.Next(tt.buf)
			if circ != tt.circ || cmd != tt.cmd || !bytes.Equal(body, tt.body) || n != tt.n || !errors.Is(err, tt.err) {
				t.Fatalf("got %v %v %d bytes, n=%d, %v", circ, cmd, len(body), n, err)
			}
			if cap(body) != len(body) {
				t.Fatal("appending to the body would write into the next cell")
			}
		})
	}
}

func TestNextNarrow(t *testing.T) {
	tests := []struct {
		name string // tor-spec sections 3 and 4
		buf  string
		cmd  cell.Command
		n    int
		err  error
	}{
		{"VERSIONS has a 2-byte circuit id", "0000 07 0006 0003 0004 0005", cell.Versions, 11, nil},
		{"VPADDING may precede VERSIONS", "0000 80 0001 ff 00", cell.Vpadding, 6, nil},
		{"incomplete", "0000 07 0006 0003 0004 00", 0, 0, nil},
		{"half a header", "0000 07 00", 0, 0, nil},
		{"no fixed cell before VERSIONS", "0000 08", 0, 0, cell.ErrMalformed},
		{"oversize", "0000 07 0202", 0, 0, cell.ErrOversize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, cmd, _, n, err := cell.NextNarrow(unhex(t, tt.buf))
			if cmd != tt.cmd && err == nil || n != tt.n || !errors.Is(err, tt.err) {
				t.Fatalf("got %v, n=%d, %v", cmd, n, err)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	got, err := cell.ParseVersions(vector(t, "versions"))
	if err != nil || !slices.Equal(got, []uint16{3, 4, 5}) {
		t.Fatal(got, err)
	}
	tests := []struct {
		name string // tor-spec section 4.1
		buf  string
		want []uint16
		n    int
		err  error
	}{
		{"big-endian two-byte integers", "0000 07 0004 0004 0005 99", []uint16{4, 5}, 9, nil},
		{"an empty list is well-formed", "0000 07 0000", []uint16{}, 5, nil},
		{"odd number of bytes", "0000 07 0003 0004 00", nil, 0, cell.ErrMalformed},
		{"another cell", "0000 80 0000", nil, 0, cell.ErrMalformed},
		{"incomplete", "0000 07 0004 0004", nil, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, n, err := cell.ParseVersionsCell(unhex(t, tt.buf))
			if !slices.Equal(got, tt.want) || n != tt.n || !errors.Is(err, tt.err) {
				t.Fatal(got, n, err)
			}
		})
	}
	if got := cell.AppendVersions([]byte{9}, 4, 5); !bytes.Equal(got, unhex(t, "09 0000 07 0004 0004 0005")) {
		t.Fatalf("%x", got)
	}
}

func TestFixedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		circ := cell.CircID(rapid.Uint32().Draw(t, "circ"))
		cmd := cell.Command(rapid.ByteRange(0, 127).Filter(func(b byte) bool { return b != 7 }).Draw(t, "cmd"))
		body := rapid.SliceOfN(rapid.Byte(), 0, cell.BodyLen).Draw(t, "body")
		wire := cell.AppendFixed([]byte("before"), circ, cmd, body)[6:]
		if len(wire) != cell.FixedLen {
			t.Fatal(len(wire))
		}
		var header [cell.HeaderLen]byte
		cell.PutHeader(header[:], circ, cmd)
		if !bytes.Equal(header[:], wire[:cell.HeaderLen]) {
			t.Fatal("PutHeader and AppendFixed differ")
		}
		c, d, b, n, err := cell.Next(wire)
		if c != circ || d != cmd || n != len(wire) || err != nil || !bytes.Equal(b, padded(body)) {
			t.Fatal(c, d, n, err)
		}
	})
}

func TestVariableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		circ := cell.CircID(rapid.Uint32().Draw(t, "circ"))
		cmd := cell.Command(rapid.ByteRange(128, 255).Draw(t, "cmd"))
		body := rapid.SliceOfN(rapid.Byte(), 0, 4096).Draw(t, "body")
		wire := cell.AppendVariable(nil, circ, cmd, body)
		c, d, b, n, err := cell.Next(wire)
		if c != circ || d != cmd || n != len(wire) || err != nil || !bytes.Equal(b, body) {
			t.Fatal(c, d, n, err)
		}
	})
}

// Callers' mistakes, never a peer's: what Append… refuses to encode.
func TestAppendPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"fixed body too long":      func() { cell.AppendFixed(nil, 0, cell.Relay, make([]byte, 510)) },
		"fixed of a variable":      func() { cell.AppendFixed(nil, 0, cell.Certs, nil) },
		"variable of a fixed":      func() { cell.AppendVariable(nil, 0, cell.Relay, nil) },
		"variable body too long":   func() { cell.AppendVariable(nil, 0, cell.Certs, make([]byte, 16385)) },
		"handshake too long":       func() { cell.AppendCreate2(nil, 2, make([]byte, 506)) },
		"handshake reply too long": func() { cell.AppendCreated2(nil, make([]byte, 497)) },
		"SENDME tag of 19 bytes":   func() { cell.AppendSendmeV1(nil, make([]byte, 19)) },
		"257 versions":             func() { cell.AppendVersions(nil, make([]uint16, 257)...) },
		"256 certificates":         func() { cell.AppendCerts(nil, make([]cell.CertEntry, 256)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			f()
		})
	}
}

func TestCommandNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{cell.Padding.String(), "PADDING"},
		{cell.CreateFast.String(), "CREATE_FAST"},
		{cell.Created2.String(), "CREATED2"},
		{cell.PaddingNegotiate.String(), "PADDING_NEGOTIATE"},
		{cell.Vpadding.String(), "VPADDING"},
		{cell.Authorize.String(), "AUTHORIZE"},
		{cell.Command(13).String(), "COMMAND_13"},
		{cell.Command(255).String(), "COMMAND_255"},
		{cell.RelayBegin.String(), "BEGIN"},
		{cell.RelayExtended2.String(), "EXTENDED2"},
		{cell.RelayConfluxLink.String(), "CONFLUX_LINK"},
		{cell.RelayIntroduceAck.String(), "INTRODUCE_ACK"},
		{cell.RelayXon.String(), "XON"},
		{cell.RelayCommand(0).String(), "RELAY_COMMAND_0"},
		{cell.RelayCommand(16).String(), "RELAY_COMMAND_16"},
		{cell.RelayCommand(255).String(), "RELAY_COMMAND_255"},
		{cell.CircID(0x80000001).String(), "0x80000001"},
		{cell.StreamID(65535).String(), "65535"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

// Every command a Tor may send has its name; none has a number.
func TestEveryCommandIsNamed(t *testing.T) {
	for _, c := range []cell.Command{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 128, 129, 130, 131, 132} {
		if strings.HasPrefix(c.String(), "COMMAND_") {
			t.Errorf("command %d has no name", uint8(c))
		}
	}
	for c := cell.RelayCommand(1); c <= 44; c++ {
		unassigned := c >= 16 && c <= 18 || c >= 23 && c <= 31
		if strings.HasPrefix(c.String(), "RELAY_COMMAND_") != unassigned {
			t.Errorf("relay command %d is %v", uint8(c), c)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add(cell.AppendFixed(nil, 1, cell.Relay, []byte("x")))
	f.Add(cell.AppendVariable(nil, 0, cell.Certs, certsVector(f)))
	f.Add(unhex(f, "00000000 80 ffff"))
	f.Add(cell.AppendVersions(nil, 4, 5))
	f.Fuzz(func(t *testing.T, buf []byte) {
		circ, cmd, body, n, err := cell.Next(buf)
		if n < 0 || n > len(buf) || (err != nil && n != 0) {
			t.Fatal(n, err)
		}
		if n == 0 {
			return
		}
		var again []byte
		if cmd.Variable() {
			again = cell.AppendVariable(nil, circ, cmd, body)
		} else {
			again = cell.AppendFixed(nil, circ, cmd, body)
		}
		if !bytes.Equal(again, buf[:n]) {
			t.Fatal("re-encoding differs")
		}
		if _, _, _, m, err := cell.Next(buf[:n-1]); m != 0 || err != nil {
			t.Fatal("a cell less a byte is not 'more needed':", m, err)
		}
	})
}

func FuzzVersionsCell(f *testing.F) {
	f.Add(cell.AppendVersions(nil, 3, 4, 5))
	f.Add(unhex(f, "0000 07 0003 000400"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		versions, n, err := cell.ParseVersionsCell(buf)
		if n == 0 || err != nil {
			return
		}
		if again := cell.AppendVersions(nil, versions...); !bytes.Equal(again[2:], buf[2:n]) {
			t.Fatal("re-encoding differs")
		}
	})
}
