package cell_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

func TestRelayHeader(t *testing.T) {
	tests := []struct {
		name string // tor-spec section 6.1
		body string
		want cell.RelayHeader
		err  error
	}{
		{"command, stream, length", "02 0000 9999 12345678 000c", cell.RelayHeader{Cmd: cell.RelayData, Stream: 0x9999, Length: 12}, nil},
		{"all of the cell is data", "02 0000 9999 12345678 01f2", cell.RelayHeader{Cmd: cell.RelayData, Stream: 0x9999, Length: 498}, nil},
		{"no data, unknown command", "fe 0000 0000 00000000 0000", cell.RelayHeader{Cmd: 0xfe}, nil},
		{"Length is at most 498", "02 0000 9999 12345678 01f3", cell.RelayHeader{}, cell.ErrRelayLength},
		{"Length of 65535", "02 0000 9999 12345678 ffff", cell.RelayHeader{}, cell.ErrRelayLength},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cell.ParseRelayHeader(padded(unhex(t, tt.body)))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatal(got, err)
			}
		})
	}
	if _, err := cell.ParseRelayHeader(make([]byte, 10)); !errors.Is(err, cell.ErrTruncated) {
		t.Fatal(err)
	}
	if _, err := cell.ParseRelayHeader(unhex(t, "02 0000 0001 00000000 0002 ff")); !errors.Is(err, cell.ErrRelayLength) {
		t.Fatal("a body shorter than its Length:", err)
	}
}

func TestPutRelayHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := cell.RelayHeader{
			Cmd:    cell.RelayCommand(rapid.Byte().Draw(t, "cmd")),
			Stream: cell.StreamID(rapid.Uint16().Draw(t, "stream")),
			Length: rapid.IntRange(0, cell.MaxRelayData).Draw(t, "length"),
		}
		body := bytes.Repeat([]byte{0xff}, cell.BodyLen)
		cell.PutRelayHeader(body, want)
		if got, err := cell.ParseRelayHeader(body); got != want || err != nil {
			t.Fatal(got, err)
		}
		if !bytes.Equal(body[1:3], []byte{0, 0}) || !bytes.Equal(body[5:9], []byte{0, 0, 0, 0}) {
			t.Fatal("recognized or digest is not zero")
		}
	})
}

// tor-spec section 5.4 lists 0 to 12; section 6.3 lists 1 to 14.
func TestReasonNames(t *testing.T) {
	destroy := strings.Fields("NONE PROTOCOL INTERNAL REQUESTED HIBERNATING RESOURCELIMIT CONNECTFAILED OR_IDENTITY " +
		"CHANNEL_CLOSED FINISHED TIMEOUT DESTROYED NOSUCHSERVICE DESTROY_REASON_13")
	for i, want := range destroy {
		if got := cell.DestroyReason(i).String(); got != want {
			t.Errorf("destroy reason %d is %s", i, got)
		}
	}
	end := strings.Fields("UNSPECIFIED MISC RESOLVEFAILED CONNECTREFUSED EXITPOLICY DESTROY DONE TIMEOUT NOROUTE " +
		"HIBERNATING INTERNAL RESOURCELIMIT CONNRESET TORPROTOCOL NOTDIRECTORY END_REASON_15")
	for i, want := range end {
		if got := cell.EndReason(i).String(); got != want {
			t.Errorf("end reason %d is %s", i, got)
		}
	}
	if cell.DestroyNoSuchService != 12 || cell.EndNotDirectory != 14 || cell.EndReason(255).String() != "END_REASON_255" {
		t.Error("numbers have moved")
	}
}

func TestDestroy(t *testing.T) {
	for reason := range 256 {
		want := cell.DestroyReason(reason)
		if got := cell.ParseDestroy(padded(cell.AppendDestroy(nil, want))); got != want {
			t.Fatal(got)
		}
	}
	if got := cell.ParseDestroy(nil); got != cell.DestroyNone {
		t.Fatal(got)
	}
}

func TestCreate2(t *testing.T) {
	body := vector(t, "create2")
	htype, hdata, err := cell.ParseCreate2(padded(slices.Clone(body)))
	if htype != 2 || len(hdata) != 84 || err != nil {
		t.Fatal(htype, len(hdata), err)
	}
	if !bytes.Equal(cell.AppendCreate2(nil, htype, hdata), body) {
		t.Fatal("re-encoding differs")
	}
	if _, _, err := cell.ParseCreate2(padded(unhex(t, "0002 01fa"))); !errors.Is(err, cell.ErrTruncated) {
		t.Fatal("HLEN over the cell's end:", err)
	}
}

func TestCreated2(t *testing.T) {
	for name, parse := range map[string]func([]byte) ([]byte, error){
		"created2": cell.ParseCreated2, "extended2": cell.ParseExtended2,
	} {
		body := vector(t, name)
		hdata, err := parse(append(slices.Clone(body), 0, 0))
		if err != nil || !bytes.Equal(cell.AppendCreated2(nil, hdata), body) || len(hdata) != 64 {
			t.Fatal(name, len(hdata), err)
		}
		for n := range len(body) {
			if _, err := parse(body[:n]); !errors.Is(err, cell.ErrTruncated) {
				t.Fatalf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestSendme(t *testing.T) {
	tag := bytes.Repeat([]byte{7}, 20)
	tests := []struct {
		name    string // tor-spec section 7.3.1
		data    []byte
		version byte
		tag     []byte
		err     error
	}{
		{"empty is version 0", nil, 0, nil, nil},
		{"version 0: the rest is ignored", []byte{0, 9, 9}, 0, nil, nil},
		{"version 1 holds the digest", cell.AppendSendmeV1(nil, tag), 1, tag, nil},
		{"what follows it is ignored", append(cell.AppendSendmeV1(nil, tag), 9, 9), 1, tag, nil},
		{"DATA_LEN over 20", append([]byte{1, 0, 22}, append(tag, 1, 2)...), 0, nil, cell.ErrMalformed},
		{"DATA_LEN below 20", append([]byte{1, 0, 19}, tag...), 0, nil, cell.ErrMalformed},
		{"a tag of CGO's length", cell.AppendSendmeV1(nil, tag[:16]), 0, nil, cell.ErrMalformed},
		{"DATA_LEN over the data", append([]byte{1, 0, 21}, tag...), 0, nil, cell.ErrTruncated},
		{"version 1 alone", []byte{1}, 0, nil, cell.ErrTruncated},
		{"an unrecognized version", append([]byte{2, 0, 20}, tag...), 0, nil, cell.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			version, tag, err := cell.ParseSendme(tt.data, cell.SendmeTagLen)
			if version != tt.version || !bytes.Equal(tag, tt.tag) || !errors.Is(err, tt.err) {
				t.Fatal(version, tag, err)
			}
		})
	}
	if version, got, err := cell.ParseSendme(cell.AppendSendmeV1(nil, tag[:16]), cell.SendmeTagLenCGO); version != 1 || !bytes.Equal(got, tag[:16]) || err != nil {
		t.Error("proposal 359's tag of 16 bytes:", version, got, err)
	}
	if _, _, err := cell.ParseSendme(cell.AppendSendmeV1(nil, tag), cell.SendmeTagLenCGO); !errors.Is(err, cell.ErrMalformed) {
		t.Error("20 bytes where 16 are due:", err)
	}
}

func TestExtend2(t *testing.T) {
	data := vector(t, "extend2")
	e, err := cell.ParseExtend2(append(slices.Clone(data), "ignored"...))
	if err != nil || e.HandshakeType != 2 || len(e.Handshake) != 84 || len(e.Specs) != 2 {
		t.Fatal(e, err)
	}
	if ap, ok := e.Specs[0].AddrPort(); !ok || ap != netip.MustParseAddrPort("127.0.0.1:5000") {
		t.Fatal(ap, ok)
	}
	if e.Specs[1].Type != cell.LinkSpecRSA || e.Specs[1].Body[0] != 0x03 {
		t.Fatal(e.Specs[1])
	}
	again, err := cell.AppendExtend2(nil, e)
	if err != nil || !bytes.Equal(again, data) {
		t.Fatal("re-encoding differs", err)
	}
	for n := range len(data) {
		if _, err := cell.ParseExtend2(data[:n]); !errors.Is(err, cell.ErrTruncated) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	e.Handshake = make([]byte, 497)
	if _, err := cell.AppendExtend2(nil, e); !errors.Is(err, cell.ErrRelayLength) {
		t.Fatal(err)
	}
}

func TestLinkSpecs(t *testing.T) {
	for _, ap := range []string{"127.0.0.1:9001", "[2001:db8::1]:443"} {
		want := netip.MustParseAddrPort(ap)
		if got, ok := cell.AddrSpec(want).AddrPort(); !ok || got != want {
			t.Fatal(got, ok)
		}
	}
	if _, ok := cell.RSASpec([20]byte{}).AddrPort(); ok {
		t.Fatal("an identity has no port")
	}
	rsa, ed := "02 14"+strings.Repeat("aa", 20), "03 20"+strings.Repeat("bb", 32)
	tests := []struct {
		name string // tor-spec section 5.1.2
		data string
		n    int
		err  error
	}{
		{"none", "00", 0, nil},
		{"unrecognized ones are kept", "02 63 01 ff 64 00", 2, nil},
		{"several addresses are accepted", "02 00 06 7f0000010001 00 06 7f0000010002", 2, nil},
		{"both identities", "02" + rsa + ed, 2, nil},
		{"two legacy identities", "02" + rsa + rsa, 0, cell.ErrMalformed},
		{"two Ed25519 identities", "02" + ed + ed, 0, cell.ErrMalformed},
		{"an IPv4 address of 7 bytes", "01 00 07 7f000001000100", 0, cell.ErrMalformed},
		{"an Ed25519 identity of 20 bytes", "01 03 14" + strings.Repeat("aa", 20), 0, cell.ErrMalformed},
		{"fewer than NSPEC", "02 63 01 ff", 0, cell.ErrTruncated},
		{"cut in the middle", "01 00 06 7f000001", 0, cell.ErrTruncated},
		{"nothing", "", 0, cell.ErrTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := unhex(t, tt.data)
			specs, rest, err := cell.ParseLinkSpecs(append(slices.Clone(data), "rest"...)[:len(data)])
			if len(specs) != tt.n || len(rest) != 0 || !errors.Is(err, tt.err) {
				t.Fatal(specs, rest, err)
			}
			if err != nil {
				return
			}
			if again, err := cell.AppendLinkSpecs(nil, specs); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%x %v", again, err)
			}
		})
	}
	if _, err := cell.AppendLinkSpecs(nil, []cell.LinkSpec{{Type: 99, Body: make([]byte, 256)}}); !errors.Is(err, cell.ErrMalformed) {
		t.Fatal(err)
	}
	if _, err := cell.AppendLinkSpecs(nil, make([]cell.LinkSpec, 256)); !errors.Is(err, cell.ErrMalformed) {
		t.Fatal(err)
	}
}

func TestExtend2RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := cell.Extend2{
			Specs: []cell.LinkSpec{
				cell.AddrSpec(netip.AddrPortFrom(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip"))), rapid.Uint16().Draw(t, "port"))),
				cell.RSASpec([20]byte(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "rsa"))),
				cell.Ed25519Spec([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "ed"))),
			},
			HandshakeType: rapid.Uint16().Draw(t, "type"),
			Handshake:     rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "handshake"),
		}
		data, err := cell.AppendExtend2(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cell.ParseExtend2(data)
		if err != nil || got.HandshakeType != want.HandshakeType || !bytes.Equal(got.Handshake, want.Handshake) ||
			!slices.EqualFunc(got.Specs, want.Specs, func(a, b cell.LinkSpec) bool { return a.Type == b.Type && bytes.Equal(a.Body, b.Body) }) {
			t.Fatal(got, err)
		}
	})
}

func FuzzRelayHeader(f *testing.F) {
	f.Add(padded(unhex(f, "02 0000 9999 00000000 01f2")))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := cell.ParseRelayHeader(body)
		if err != nil {
			return
		}
		_ = body[cell.RelayHeaderLen : cell.RelayHeaderLen+h.Length]
		again := slices.Clone(body)
		cell.PutRelayHeader(again, h)
		if got, err := cell.ParseRelayHeader(again); got != h || err != nil {
			t.Fatal(got, err)
		}
	})
}

func FuzzLinkSpecs(f *testing.F) {
	f.Add(vector(f, "extend2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		specs, rest, err := cell.ParseLinkSpecs(data)
		if err != nil {
			return
		}
		again, err := cell.AppendLinkSpecs(nil, specs)
		if err != nil || !bytes.Equal(append(again, rest...), data) {
			t.Fatal("re-encoding differs", err)
		}
		for _, s := range specs {
			if ap, ok := s.AddrPort(); ok != (s.Type <= cell.LinkSpecIPv6) || ok && !ap.Addr().IsValid() {
				t.Fatal(s, ap, ok)
			}
		}
	})
}

func FuzzExtend2(f *testing.F) {
	f.Add(vector(f, "extend2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := cell.ParseExtend2(data)
		if err != nil || len(data) > cell.MaxRelayData {
			return
		}
		again, err := cell.AppendExtend2(nil, e)
		if err != nil || !bytes.HasPrefix(data, again) {
			t.Fatal("re-encoding differs", err)
		}
	})
}

func FuzzCreate2(f *testing.F) {
	f.Add(vector(f, "create2"))
	f.Add(vector(f, "created2"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if htype, hdata, err := cell.ParseCreate2(body); err == nil && len(body) <= cell.BodyLen {
			if !bytes.HasPrefix(body, cell.AppendCreate2(nil, htype, hdata)) {
				t.Fatal("re-encoding differs")
			}
		}
		if hdata, err := cell.ParseCreated2(body); err == nil && len(body) <= cell.MaxRelayData {
			if !bytes.HasPrefix(body, cell.AppendCreated2(nil, hdata)) {
				t.Fatal("re-encoding differs")
			}
		}
	})
}

func FuzzSendme(f *testing.F) {
	f.Add(cell.AppendSendmeV1(nil, make([]byte, 20)))
	f.Add([]byte{1, 0, 19})
	f.Fuzz(func(t *testing.T, data []byte) {
		version, tag, err := cell.ParseSendme(data, cell.SendmeTagLen)
		if err == nil && (version == 1) != (len(tag) == cell.SendmeTagLen) {
			t.Fatal(version, tag)
		}
	})
}
