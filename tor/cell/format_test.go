package cell_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

// The commands that carry a stream id in V1 (proposal 340, "relay_cmd_expects_streamid"
// in C tor).
var ofStreams = map[cell.RelayCommand]bool{
	cell.RelayBegin: true, cell.RelayData: true, cell.RelayEnd: true, cell.RelayConnected: true, cell.RelayResolve: true,
	cell.RelayResolved: true, cell.RelayBeginDir: true, cell.RelayXoff: true, cell.RelayXon: true,
}

// known are all commands with a name.
func known() (all []cell.RelayCommand) {
	for c := range 256 {
		if name := cell.RelayCommand(c).String(); len(name) < 6 || name[:6] != "RELAY_" {
			all = append(all, cell.RelayCommand(c))
		}
	}
	return all
}

// v1 is a body that begins with a tag and the bytes given.
func v1(t testing.TB, hex string) []byte {
	t.Helper()
	return append(append(bytes.Repeat([]byte{0xee}, 16), unhex(t, hex)...), make([]byte, cell.BodyLen)...)[:cell.BodyLen]
}

func TestRelayV1(t *testing.T) {
	tests := []struct {
		name string
		body string // after the tag
		want cell.RelayHeader
		err  error
	}{
		{"DATA: command, length, stream", "02 000c 9999", cell.RelayHeader{Cmd: cell.RelayData, Stream: 0x9999, Length: 12}, nil},
		{"all of the cell is data", "02 01e8 9999", cell.RelayHeader{Cmd: cell.RelayData, Stream: 0x9999, Length: 488}, nil},
		{"a stream's message is at most 488", "02 01e9 9999", cell.RelayHeader{}, cell.ErrRelayLength},
		{"a circuit's message has no stream", "0e 01ea 9999", cell.RelayHeader{Cmd: cell.RelayExtend2, Length: 490}, nil},
		{"and is at most 490", "0e 01eb", cell.RelayHeader{}, cell.ErrRelayLength},
		{"length of 65535", "05 ffff", cell.RelayHeader{}, cell.ErrRelayLength},
		{"SENDME is the circuit's", "05 0013", cell.RelayHeader{Cmd: cell.RelaySendme, Length: 19}, nil},
		{"a stream's message without a stream", "02 0001 0000", cell.RelayHeader{}, cell.ErrMalformed},
		{"command 0", "00 0000", cell.RelayHeader{}, cell.ErrMalformed},
		{"an unknown command", "17 0000", cell.RelayHeader{}, cell.ErrMalformed},
		{"a command over 63, that modulo 64 is DATA", "42 0001 0001", cell.RelayHeader{}, cell.ErrMalformed},
		{"command 255", "ff 0000", cell.RelayHeader{}, cell.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, data, err := cell.RelayV1.Parse(v1(t, tt.body))
			if h != tt.want || !errors.Is(err, tt.err) || len(data) != tt.want.Length {
				t.Fatal(h, len(data), err)
			}
		})
	}
	for _, n := range []int{0, 19, 508, 510} {
		for _, f := range []cell.RelayFormat{cell.RelayV0, cell.RelayV1} {
			if _, _, err := f.Parse(make([]byte, n)); !errors.Is(err, cell.ErrTruncated) {
				t.Errorf("%v body of %d bytes: %v", f, n, err)
			}
		}
	}
}

func TestRelayFormats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]cell.RelayFormat{cell.RelayV0, cell.RelayV1}).Draw(t, "format")
		want := cell.RelayHeader{Cmd: rapid.SampledFrom(known()).Draw(t, "command")}
		if f == cell.RelayV0 || ofStreams[want.Cmd] {
			want.Stream = cell.StreamID(rapid.Uint16Min(1).Draw(t, "stream"))
		}
		content := rapid.SliceOfN(rapid.Byte(), 0, f.MaxData(want.Cmd)).Draw(t, "data")
		want.Length = len(content)
		body := bytes.Repeat([]byte{0xff}, cell.BodyLen)
		space := f.Put(body, want)
		if len(space) != f.MaxData(want.Cmd) {
			t.Fatalf("%v has room for %d bytes, want %d", want.Cmd, len(space), f.MaxData(want.Cmd))
		}
		copy(space, content)
		got, data, err := f.Parse(body)
		if got != want || err != nil || !bytes.Equal(data, content) {
			t.Fatal(got, data, err)
		}
		if f == cell.RelayV1 && !bytes.Equal(body[:16], bytes.Repeat([]byte{0xff}, 16)) {
			t.Fatal("the tag was touched")
		}
	})
}

func TestRelayFormatPanics(t *testing.T) {
	for name, h := range map[string]cell.RelayHeader{
		"too long":                   {Cmd: cell.RelayData, Stream: 1, Length: 489},
		"too long for a circuit's":   {Cmd: cell.RelayExtend2, Length: 491},
		"a stream's without one":     {Cmd: cell.RelayData, Length: 1},
		"a circuit's with one":       {Cmd: cell.RelaySendme, Stream: 1},
		"too long for any, by far":   {Cmd: cell.RelayData, Stream: 1, Length: 70000},
		"unknown, and with a stream": {Cmd: 200, Stream: 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			cell.RelayV1.Put(make([]byte, cell.BodyLen), h)
		}()
	}
}

// Whatever a relay sends, what is read lies in the body, and is written as it was.
func FuzzRelayFormats(f *testing.F) {
	f.Add(v1(f, "02 000c 9999"), true)
	f.Add(v1(f, "05 0013"), true)
	f.Add(padded(unhex(f, "02 0000 9999 12345678 01f2")), false)
	f.Fuzz(func(t *testing.T, raw []byte, second bool) {
		format := cell.RelayV0
		if second {
			format = cell.RelayV1
		}
		body := padded(bytes.Clone(raw[:min(len(raw), cell.BodyLen)]))
		h, data, err := format.Parse(body)
		if err != nil {
			return
		}
		if len(data) != h.Length || h.Length > format.MaxData(h.Cmd) {
			t.Fatal(h, len(data))
		}
		again := bytes.Clone(body)
		if format == cell.RelayV0 {
			clear(body[1:3])
			clear(body[5:9])
		}
		copy(format.Put(again, h), data)
		if !bytes.Equal(again, body) {
			t.Fatalf("% x is written % x", body, again)
		}
	})
}
