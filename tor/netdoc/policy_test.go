package netdoc

import (
	"fmt"
	"strings"
	"testing"
)

// dir-spec 3.8.2; what is lenient is so because C tor is.
func TestParsePortPolicy(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		yes, no  []uint16
	}{
		{"reject 1-65535", "reject 1-65535", nil, []uint16{0, 1, 80, 65535}},
		{"accept 1-65535", "accept 1-65535", []uint16{1, 80, 65535}, []uint16{0}},
		{"accept 80,443", "accept 80,443", []uint16{80, 443}, []uint16{79, 81, 442, 444, 0, 65535}},
		{"reject 25,119,135-139", "accept 1-24,26-118,120-134,140-65535", []uint16{24, 26, 140, 65535}, []uint16{25, 135, 137, 139, 0}},
		{"accept 443,80", "accept 80,443", []uint16{80}, nil},
		{"accept 1-10,5-20,21", "accept 1-21", []uint16{21}, []uint16{22}},
		{"accept 65535", "accept 65535", []uint16{65535}, []uint16{65534}},
		{"reject 65535", "accept 1-65534", nil, []uint16{65535}},
		{"reject 1", "accept 2-65535", nil, []uint16{1}},
		{"accept 80,future,443", "accept 80,443", nil, nil},
		{"accept 80,", "accept 80", nil, nil},
		{"accept  80", "accept 80", nil, nil},
	} {
		p, err := ParsePortPolicy(tc.in)
		if err != nil || p.String() != tc.want {
			t.Errorf("ParsePortPolicy(%q) = %q, %v; want %q", tc.in, p, err, tc.want)
			continue
		}
		for _, port := range tc.yes {
			if !p.Allows(port) {
				t.Errorf("%q must allow %d", tc.in, port)
			}
		}
		for _, port := range tc.no {
			if p.Allows(port) {
				t.Errorf("%q must not allow %d", tc.in, port)
			}
		}
	}
	if (PortPolicy{}).Allows(80) || (PortPolicy{}).AllowsSome() {
		t.Error("the zero value must reject everything: a missing p6 line is \"reject 1-65535\" (dir-spec 3.3)")
	}
}

func TestParsePortPolicyRefuses(t *testing.T) {
	long := make([]string, maxPortRanges+1)
	for i := range long {
		long[i] = fmt.Sprint(i + 1)
	}
	for _, in := range []string{
		"", "accept", "accept ", "allow 80", "accept 0", "accept 65536", "accept 80-79", "accept 80-", "accept 80x",
		"accept whatever", "Accept 80", "accept 80-90-100", "accept 80 - 90", "accept " + strings.Join(long, ","),
		"accept 99999999999999999999",
	} {
		if p, err := ParsePortPolicy(in); err == nil {
			t.Errorf("ParsePortPolicy(%q) = %q; want an error", clip([]byte(in)), p)
		}
	}
}
