package cell_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

func TestBegin(t *testing.T) {
	for name, want := range map[string]cell.Begin{
		"begin":       {Host: "127.0.0.1", Port: 7003},
		"begin_flags": {Host: "www.xkcd.com", Port: 443, Flags: cell.BeginIPv6OK | cell.BeginIPv4NotOK},
		"begin_ipv6":  {Host: "2001:db8::1", Port: 22},
	} {
		data := vector(t, name)
		got, err := cell.ParseBegin(data)
		if err != nil || got != want {
			t.Fatal(name, got, err)
		}
		target, _, _ := strings.Cut(string(data), "\x00")
		if again, err := cell.AppendBegin(nil, target, want.Flags); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s: %x %v", name, again, err)
		}
	}
	for name, want := range map[string]error{"begin_no_port": cell.ErrTruncated, "begin_not_ascii": cell.ErrMalformed} {
		if _, err := cell.ParseBegin(vector(t, name)); !errors.Is(err, want) {
			t.Fatal(name, err)
		}
	}
}

// tor-spec section 6.2: "The ADDRPORT string SHOULD be sent in lower case."
func TestBeginIsLowerCase(t *testing.T) {
	got, err := cell.AppendBegin(nil, "WWW.Example.COM:80", 0)
	if err != nil || string(got) != "www.example.com:80\x00" {
		t.Fatalf("%q %v", got, err)
	}
}

func TestBeginRefuses(t *testing.T) {
	for _, target := range []string{
		"", ":80", "quince", "quince:", "quince:0", "quince:65536", "quince:+1", "quince:-1", "quince:8o", "2001:db8::1:80",
		"[2001:db8::1]", "[quince]:80", "[127.0.0.1]:80", "[fe80::1%eth0]:80", "qui\x00nce:80", "qui nce:80", "qu\u00efnce:80", "quince:80\n",
	} {
		_, err := cell.AppendBegin(nil, target, 0)
		if !errors.Is(err, cell.ErrMalformed) {
			t.Errorf("%q: %v", target, err)
		}
		// Errors reach logs; where a client connects to must not.
		if err != nil && len(target) > 3 && strings.Contains(err.Error(), target) {
			t.Errorf("the error tells the target: %v", err)
		}
	}
	if _, err := cell.AppendBegin(nil, strings.Repeat("a", 491)+":80", 0); !errors.Is(err, cell.ErrRelayLength) {
		t.Error(err)
	}
}

func TestConnected(t *testing.T) {
	tests := []struct {
		name string // tor-spec section 6.2
		data []byte
		addr string
		ttl  uint32
		err  error
	}{
		{"IPv4 address and TTL", vector(t, "connected"), "127.0.0.1", 3600, nil},
		{"four zero octets, then IPv6", vector(t, "connected_ipv6"), "2001:db8::1122", 3600, nil},
		{"an address type that is not 6", vector(t, "connected_bogus"), "", 0, cell.ErrMalformed},
		{"empty: onion services, directories", nil, "", cell.TTLUnknown, nil},
		{"no TTL", unhex(t, "7f000001"), "127.0.0.1", cell.TTLUnknown, nil},
		{"too short", unhex(t, "7f0000"), "", 0, cell.ErrTruncated},
		{"zeros and no IPv6 address", unhex(t, "00000000 06 2001"), "", 0, cell.ErrTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, ttl, err := cell.ParseConnected(tt.data)
			want, _ := netip.ParseAddr(tt.addr)
			if addr != want || ttl != tt.ttl || !errors.Is(err, tt.err) {
				t.Fatal(addr, ttl, err)
			}
			if err == nil && ttl != cell.TTLUnknown && !bytes.Equal(cell.AppendConnected(nil, addr, ttl), tt.data) {
				t.Fatal("re-encoding differs")
			}
		})
	}
	if got := cell.AppendConnected(nil, netip.Addr{}, 1); len(got) != 0 {
		t.Fatalf("%x", got)
	}
}

func TestEnd(t *testing.T) {
	tests := []struct {
		name   string // tor-spec section 6.3
		data   []byte
		reason cell.EndReason
		addr   string
		ttl    uint32
	}{
		{"MISC", vector(t, "end_misc"), cell.EndMisc, "", cell.TTLUnknown},
		{"DONE", vector(t, "end_done"), cell.EndDone, "", cell.TTLUnknown},
		{"EXITPOLICY with IPv4", vector(t, "end_policy"), cell.EndExitPolicy, "127.0.0.7", 256},
		{"EXITPOLICY with IPv6", vector(t, "end_policy6"), cell.EndExitPolicy, "2001:db8::f00b", 512},
		{"TTL absent is 0xffffffff", vector(t, "end_policy_no_ttl"), cell.EndExitPolicy, "127.0.0.7", 0xffffffff},
		{"address absent", []byte{4}, cell.EndExitPolicy, "", cell.TTLUnknown},
		{"address of the wrong length", []byte{4, 1, 2, 3, 4, 5}, cell.EndExitPolicy, "", cell.TTLUnknown},
		{"empty is MISC", nil, cell.EndMisc, "", cell.TTLUnknown},
		{"0 is no success", []byte{0}, cell.EndUnspecified, "", cell.TTLUnknown},
		{"unlisted reasons are accepted", []byte{200, 9}, 200, "", cell.TTLUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reason, addr, ttl := cell.ParseEnd(tt.data)
			want, _ := netip.ParseAddr(tt.addr)
			if reason != tt.reason || addr != want || ttl != tt.ttl {
				t.Fatal(reason, addr, ttl)
			}
			if reason, again, _ := cell.ParseEnd(cell.AppendEnd(nil, reason, addr, ttl)); reason != tt.reason || again != addr {
				t.Fatal("re-encoding differs:", reason, again)
			}
		})
	}
}

func TestBeginRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z0-9.-]{1,255}`).Draw(t, "host")
		port := rapid.StringMatching(`[1-9][0-9]{0,3}`).Draw(t, "port")
		flags := rapid.Uint32().Draw(t, "flags")
		data, err := cell.AppendBegin(nil, host+":"+port, flags)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cell.ParseBegin(data)
		if err != nil || got.Host != host || got.Flags != flags {
			t.Fatal(got, err)
		}
	})
}

func FuzzBegin(f *testing.F) {
	for _, name := range []string{"begin", "begin_flags", "begin_ipv6", "begin_no_port", "begin_not_ascii"} {
		f.Add(vector(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := cell.ParseBegin(data)
		if err != nil || len(data) > cell.MaxRelayData {
			return
		}
		target, _, _ := bytes.Cut(data, []byte{0})
		if len(target)+5 > cell.MaxRelayData {
			return
		}
		again, err := cell.AppendBegin(nil, string(target), b.Flags)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cell.ParseBegin(again); err != nil || !strings.EqualFold(got.Host, b.Host) || got.Port != b.Port || got.Flags != b.Flags {
			t.Fatal(got, b, err)
		}
	})
}

func FuzzConnected(f *testing.F) {
	for _, name := range []string{"connected", "connected_ipv6", "connected_bogus"} {
		f.Add(vector(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		addr, ttl, err := cell.ParseConnected(data)
		if err != nil || !addr.IsValid() || addr.Is4In6() || addr.IsUnspecified() {
			return
		}
		if a, n, err := cell.ParseConnected(cell.AppendConnected(nil, addr, ttl)); a != addr || n != ttl || err != nil {
			t.Fatal(a, n, err)
		}
	})
}

func FuzzEnd(f *testing.F) {
	f.Add(vector(f, "end_policy"))
	f.Add(vector(f, "end_policy6"))
	f.Fuzz(func(t *testing.T, data []byte) {
		reason, addr, ttl := cell.ParseEnd(data)
		if len(data) > 0 && reason != cell.EndReason(data[0]) {
			t.Fatal(reason)
		}
		if addr.IsValid() && reason != cell.EndExitPolicy || !addr.IsValid() && ttl != cell.TTLUnknown {
			t.Fatal(reason, addr, ttl)
		}
	})
}
