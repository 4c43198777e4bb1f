package host

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func foreignPoint(t testing.TB) ForeignPoint {
	t.Helper()
	c := newClump(t, 60, 30, 1, Config{Points: 1})
	c.pass(time.Minute)
	return c.nodes[0].s.Offers(c.nodes[0].now())[0]
}

func TestForeignPoint(t *testing.T) {
	good := foreignPoint(t)
	good.Relay.IPv6 = addrPort("[2a00::1]:9001")
	b, err := good.AppendBinary(nil)
	if err != nil || len(b) > MaxForeignPoint {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	var again ForeignPoint
	if err := again.UnmarshalBinary(b); err != nil || again != good {
		t.Errorf("%+v, %v", again, err)
	}
	text, err := json.Marshal([]ForeignPoint{good})
	if err != nil {
		t.Fatal(err)
	}
	var list []ForeignPoint
	if err := json.Unmarshal(text, &list); err != nil || len(list) != 1 || list[0] != good {
		t.Errorf("%s: %v", text, err)
	}
	for name, change := range map[string]func(*ForeignPoint){
		"nothing":           func(p *ForeignPoint) { *p = ForeignPoint{} },
		"no encryption key": func(p *ForeignPoint) { p.EncKey = [32]byte{} },
		"low order":         func(p *ForeignPoint) { p.EncKey = [32]byte{1} },
		"no relay's key":    func(p *ForeignPoint) { p.Relay.OnionKey = [32]byte{} },
		"no authentication": func(p *ForeignPoint) { p.AuthKey = [32]byte{} },
		"auth of low order": func(p *ForeignPoint) { p.AuthKey = [32]byte{1} },
		"no identity":       func(p *ForeignPoint) { p.Relay.RSA = [20]byte{} },
		"no address":        func(p *ForeignPoint) { p.Relay.IPv4 = netip.AddrPort{} },
		"no port":           func(p *ForeignPoint) { p.Relay.IPv4 = addrPort("20.1.2.3:0") },
		"IPv6 for IPv4":     func(p *ForeignPoint) { p.Relay.IPv4 = addrPort("[2a00::1]:9001") },
		"IPv4 for IPv6":     func(p *ForeignPoint) { p.Relay.IPv6 = addrPort("20.1.2.3:9001") },
		"one key twice":     func(p *ForeignPoint) { p.EncKey = p.Relay.OnionKey },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(true); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := bad.AppendBinary(nil); err == nil {
			if err := again.UnmarshalBinary(b); !errors.Is(err, ErrForeign) {
				t.Errorf("%s, read: %v", name, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(b[:len(b):len(b)], 0), make([]byte, MaxForeignPoint+1)} {
		if err := again.UnmarshalBinary(bad); !errors.Is(err, ErrForeign) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	local := good
	local.Relay.IPv4 = addrPort("10.0.0.1:9001")
	if local.Check(true) != nil || local.Check(false) == nil {
		t.Error("a private address is one everywhere, or nowhere")
	}
}

// What is read is what could have been written, and nothing panics.
func FuzzForeignPoint(f *testing.F) {
	good := foreignPoint(f)
	b, err := good.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		var p ForeignPoint
		if err := p.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Error(err)
			}
			return
		}
		again, err := p.AppendBinary(nil)
		if err != nil || string(again) != string(b) || p.Check(true) != nil {
			t.Errorf("%x is written as %x, %v", b, again, err)
		}
	})
}
