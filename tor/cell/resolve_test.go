package cell

import (
	"net/netip"
	"slices"
	"testing"
)

// tor-spec 6.4: RESOLVED holds type, length, value and TTL of each answer.
func TestResolvedRoundTrip(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")}
	got, err := ParseResolved(AppendResolved(nil, 60, want...))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
	if got, err := ParseResolved(AppendResolved(nil, 60)); err != nil || len(got) != 0 {
		t.Fatalf("error answer: got %v, %v; want none", got, err)
	}
	for n := 1; n < 10; n++ {
		if _, err := ParseResolved(AppendResolved(nil, 60, want[0])[:n]); err == nil {
			t.Errorf("%d of 10 bytes: no error", n)
		}
	}
	if b, err := AppendResolve(nil, "Target.TEST"); err != nil || string(b) != "target.test\x00" {
		t.Errorf("RESOLVE %q, %v", b, err)
	}
}

func FuzzParseResolved(f *testing.F) {
	f.Add(AppendResolved(nil, 60, netip.MustParseAddr("192.0.2.7")))
	f.Fuzz(func(t *testing.T, b []byte) {
		addrs, err := ParseResolved(b)
		if err != nil && addrs != nil {
			t.Fatal("addresses along with an error")
		}
	})
}
