package cell_test

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

var (
	localhost  = netip.MustParseAddr("127.0.0.1")
	localhost6 = netip.MustParseAddr("::1")
)

func TestNetinfo(t *testing.T) {
	tests := []struct {
		name   string
		vector string
		want   cell.NetinfoBody
	}{
		{"a client's", "netinfo_client", cell.NetinfoBody{OtherAddr: localhost}},
		{"a relay's", "netinfo_relay", cell.NetinfoBody{Timestamp: 0x5f6f80e1, OtherAddr: localhost, MyAddrs: []netip.Addr{localhost}}},
		{"a relay's with IPv6", "netinfo_relay6", cell.NetinfoBody{
			Timestamp: 0x5f6f859c, OtherAddr: localhost6, MyAddrs: []netip.Addr{localhost, localhost6},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := vector(t, tt.vector)
			got, err := cell.ParseNetinfo(padded(wire))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatal(got, err)
			}
			if again := cell.AppendNetinfo(nil, tt.want); !bytes.Equal(again, wire) {
				t.Fatalf("encoded %x", again)
			}
		})
	}
	// tor-spec section 4.5: "If the ALEN value is wrong for the given ATYPE
	// value, then the provided address should be ignored."
	got, err := cell.ParseNetinfo(vector(t, "netinfo_bogus"))
	if err != nil || got.OtherAddr.IsValid() || !slices.Equal(got.MyAddrs, []netip.Addr{localhost6}) {
		t.Fatal(got, err)
	}
	if got := cell.AppendNetinfo(nil, cell.NetinfoBody{}); !bytes.Equal(got, unhex(t, "00000000 0404 00000000 00")) {
		t.Fatalf("no address to tell: %x", got)
	}
}

// In a whole cell the addresses' lengths can point behind the body's end.
func TestNetinfoTruncated(t *testing.T) {
	whole := vector(t, "netinfo_relay6")
	for n := range len(whole) {
		if _, err := cell.ParseNetinfo(whole[:n]); !errors.Is(err, cell.ErrTruncated) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	full := padded(unhex(t, "00000000 04 04 7F000001 ff"))
	for i := 11; i < len(full); i++ {
		full[i] = 0xff
	}
	if _, err := cell.ParseNetinfo(full); !errors.Is(err, cell.ErrTruncated) {
		t.Fatal(err)
	}
}

func TestNetinfoRoundTrip(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")
		if rapid.Bool().Draw(t, "v4") {
			return netip.AddrFrom4([4]byte(b))
		}
		b[0] |= 0x20 // not an IPv4-mapped one
		return netip.AddrFrom16([16]byte(b))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := cell.NetinfoBody{
			Timestamp: rapid.Uint32().Draw(t, "time"),
			OtherAddr: addr.Draw(t, "other"),
			MyAddrs:   rapid.SliceOfN(addr, 1, 26).Draw(t, "mine"),
		}
		got, err := cell.ParseNetinfo(cell.AppendNetinfo(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, err)
		}
	})
}

func TestCerts(t *testing.T) {
	body := certsVector(t)
	entries, err := cell.ParseCerts(append(slices.Clone(body), "ignored"...))
	if err != nil {
		t.Fatal(err)
	}
	var types, lengths []int
	for _, e := range entries {
		types, lengths = append(types, int(e.Type)), append(lengths, len(e.Body))
	}
	if !slices.Equal(types, []int{1, 2, 4, 5, 7}) || !slices.Equal(lengths, []int{574, 445, 140, 104, 165}) {
		t.Fatal(types, lengths)
	}
	if !bytes.Equal(cell.AppendCerts(nil, entries), body) {
		t.Fatal("re-encoding differs")
	}
	for n := range len(body) {
		if _, err := cell.ParseCerts(body[:n]); !errors.Is(err, cell.ErrTruncated) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestAuthChallenge(t *testing.T) {
	body := vector(t, "auth_challenge")
	got, err := cell.ParseAuthChallenge(append(slices.Clone(body), "ignored"...))
	if err != nil || got.Challenge[1] != 0xda || !slices.Equal(got.Methods, []uint16{1, 3}) {
		t.Fatal(got, err)
	}
	if !bytes.Equal(cell.AppendAuthChallenge(nil, got), body) {
		t.Fatal("re-encoding differs")
	}
	for n := range len(body) {
		if _, err := cell.ParseAuthChallenge(body[:n]); !errors.Is(err, cell.ErrTruncated) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func FuzzParseNetinfo(f *testing.F) {
	for _, name := range []string{"netinfo_client", "netinfo_relay6", "netinfo_bogus"} {
		f.Add(vector(f, name))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := cell.ParseNetinfo(body)
		if err != nil || len(body) > cell.BodyLen || !info.OtherAddr.IsValid() {
			return
		}
		if _, err := cell.ParseNetinfo(cell.AppendNetinfo(nil, info)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseCerts(f *testing.F) {
	f.Add(certsVector(f))
	f.Add([]byte{255, 1, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, err := cell.ParseCerts(body)
		if err != nil {
			return
		}
		if again := cell.AppendCerts(nil, entries); !bytes.HasPrefix(body, again) {
			t.Fatal("re-encoding differs")
		}
	})
}

func FuzzParseAuthChallenge(f *testing.F) {
	f.Add(vector(f, "auth_challenge"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := cell.ParseAuthChallenge(body)
		if err != nil {
			return
		}
		if again := cell.AppendAuthChallenge(nil, c); !bytes.HasPrefix(body, again) {
			t.Fatal("re-encoding differs")
		}
	})
}
