package netdoc

import "testing"

// dir-spec 2.1.1 "proto"; tor-spec 9.
func TestParseProtocols(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"Link=4-5 Relay=2", "Link=4-5 Relay=2"},
		{"Relay=2 Link=5,4", "Link=4-5 Relay=2"},
		{"Relay=1-3,5 Cons=1", "Cons=1 Relay=1-3,5"},
		{"Link=0-63", "Link=0-63"},
		{"Link=63", "Link=63"},
		{"Link=1 Link=3", "Link=1,3"},
		{"Link=", ""},
		{"  Link=4\tRelay=2 ", "Link=4 Relay=2"},
		{"Sleen=1-4 Link=1", "Link=1 Sleen=1-4"},
		{"Link=1,1,1-2", "Link=1-2"},
	} {
		got, err := ParseProtocols(tc.in)
		if err != nil || got.String() != tc.want {
			t.Errorf("ParseProtocols(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
}

func TestParseProtocolsRefuses(t *testing.T) {
	for _, in := range []string{
		"Link", "=4", "Link=64", "Link=4-3", "Link=1,", "Link=,1", "Link=x", "Link=-1", "Link=1--2", "Li_nk=1",
		"Link=99999999999999999999", "Link=4 Relay", "Link=1-", string(make([]byte, 101)) + "=1",
	} {
		if got, err := ParseProtocols(in); err == nil {
			t.Errorf("ParseProtocols(%q) = %q; want an error", in, got)
		}
	}
}

func TestProtocolsSupports(t *testing.T) {
	p, err := ParseProtocols("Link=3-5 Relay=2,4 Sleen=63")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    Protocol
		version uint
		want    bool
	}{
		{ProtoLink, 2, false},
		{ProtoLink, 3, true},
		{ProtoLink, 5, true},
		{ProtoLink, 6, false},
		{ProtoRelay, 3, false}, // capabilities are independent: 2 and 4 do not give 3
		{ProtoRelay, 4, true},
		{ProtoCons, 1, false},
		{"Sleen", 63, true},
		{"Sleen", 64, false},
		{"Sleen", 1 << 20, false},
	} {
		if got := p.Supports(tc.name, tc.version); got != tc.want {
			t.Errorf("Supports(%s, %d) = %v", tc.name, tc.version, got)
		}
	}
	if (Protocols{}).Supports(ProtoLink, 0) || !(Protocols{}).IsEmpty() || p.IsEmpty() {
		t.Error("the zero value must be the empty set, and only it")
	}
}

func TestProtocolsMissing(t *testing.T) {
	required, _ := ParseProtocols("Cons=2 Link=4-5 Sleen=1")
	for _, tc := range []struct{ have, want string }{
		{"", "Cons=2 Link=4-5 Sleen=1"},
		{"Cons=1-2 Link=5 Relay=2", "Link=4 Sleen=1"},
		{"Cons=2 Link=1-5 Sleen=1-2", ""},
	} {
		have, err := ParseProtocols(tc.have)
		if err != nil {
			t.Fatal(err)
		}
		if got := required.Missing(have).String(); got != tc.want {
			t.Errorf("missing from %q: %q, want %q", tc.have, got, tc.want)
		}
	}
	if !(Protocols{}).Missing(required).IsEmpty() {
		t.Error("nothing required, so nothing can be missing")
	}
}
