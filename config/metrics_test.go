package config

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestMetricsPort(t *testing.T) {
	c, err := written(t, "MetricsPort 9035\nMetricsPort [::1]:auto Prometheus\nMetricsPortPolicy accept 127.0.0.1, accept [::1]\nMetricsPortPolicy reject *\n")
	if err != nil || len(c.Warnings) != 0 {
		t.Fatal(err, c.Warnings)
	}
	p := c.MetricsPorts
	if len(p) != 2 || p[0].Protocol != Metrics || p[0].String() != "127.0.0.1:9035" || !p[1].Auto || len(c.Listeners()) != 3 {
		t.Fatalf("%+v", p)
	}
	if got := Find("MetricsPort").Values(c); !slices.Equal(got, []string{"127.0.0.1:9035", "[::1]:auto"}) {
		t.Errorf("%q", got)
	}
	if got := Find("MetricsPortPolicy").Values(c); !slices.Equal(got, []string{"accept 127.0.0.1", "accept ::1", "reject *"}) {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]error{
		"MetricsPort 1 json":                                       ErrValue,
		"MetricsPort 0 prometheus":                                 ErrValue,
		"MetricsPort somewhere:1":                                  ErrValue,
		"MetricsPort unix:/s":                                      ErrConflict,
		"MetricsPort 192.0.2.1:1":                                  ErrConflict,
		"MetricsPort 192.0.2.1:1\nMetricsPortPolicy reject *":      ErrConflict,
		"MetricsPort 9050\nSocksPort 9050":                         ErrConflict,
		"MetricsPort 1\nMetricsPort 0":                             ErrConflict,
		"MetricsPortPolicy accept":                                 ErrValue,
		"MetricsPortPolicy 127.0.0.1":                              ErrValue,
		"MetricsPortPolicy permit 127.0.0.1":                       ErrValue,
		"MetricsPortPolicy accept 127.0.0.1:80":                    ErrValue,
		"MetricsPortPolicy accept localhost":                       ErrValue,
		"MetricsPortPolicy accept 10.0.0.0/33":                     ErrValue,
		"MetricsPortPolicy accept6 10.0.0.1":                       ErrValue,
		"MetricsPortPolicy accept6 private":                        ErrValue,
		"MetricsPortPolicy accept 10.0.0.1 reject *":               ErrValue,
		"MetricsPortPolicy " + strings.Repeat("reject *,", 10_000): ErrLimit,
	} {
		if _, err := written(t, text+"\n"); !errors.Is(err, want) {
			t.Errorf("%q: %v", text[:min(len(text), 80)], err)
		}
	}
	for text, want := range map[string]string{
		"MetricsPort 1": "nobody may read at 127.0.0.1:1",
		"MetricsPort 1\nMetricsPortPolicy reject *":              "nobody may read at 127.0.0.1:1",
		"MetricsPortPolicy accept *":                             "has no effect without a MetricsPort",
		"MetricsPort 192.0.2.1:1\nMetricsPortPolicy accept ::1":  "is reachable from other machines",
		"SocksPort 0\nMetricsPort 1\nMetricsPortPolicy accept *": "no listener is open: no program can use this node",
	} {
		c, err := written(t, text+"\n")
		if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Error(), want) {
			t.Errorf("%q: %v %v", text, err, c)
		}
	}
	for _, name := range []string{"MetricsPort", "MetricsPortPolicy"} {
		if AllowRemote(name) == nil {
			t.Errorf("a remote party may set %s", name)
		}
	}
}

// "The policies have the same form as exit policies [...]. It is a reject all by default
// policy." (tor manual)
func TestPolicy(t *testing.T) {
	for _, test := range []struct{ policy, in, out string }{
		{"", "", "127.0.0.1 ::1"},
		{"accept 127.0.0.1", "127.0.0.1 ::ffff:127.0.0.1", "127.0.0.2 ::1"},
		{"reject 10.1.0.0/16,accept 10.0.0.0/8:*", "10.2.0.1 10.0.0.1", "10.1.2.3 11.0.0.1"},
		{"accept *4", "192.0.2.1", "2001:db8::1"},
		{"accept *6", "2001:db8::1", "192.0.2.1"},
		{"ACCEPT6 *", "2001:db8::1", "192.0.2.1"},
		{"reject6 [fe80::]/10,accept *", "192.0.2.1 2001:db8::1", "fe80::1 fe80::1%eth0"},
		{"accept private", "10.1.2.3 192.168.0.1 127.0.0.1 ::1 fd00::1 172.31.0.1", "192.0.2.1 172.32.0.1 2001:db8::1"},
		{"accept 2001:db8::/32", "2001:db8:1::1", "2001:db9::1"},
	} {
		var p Policy
		for text := range strings.SplitSeq(test.policy, ",") {
			if text == "" {
				continue
			}
			r, err := parseRule(text)
			if err != nil {
				t.Fatal(err)
			}
			again, err := parseRule(r.String())
			if err != nil || again.String() != r.String() || !slices.Equal(again.Networks, r.Networks) {
				t.Errorf("%q is written %q, read as %v, %v", text, r, again, err)
			}
			p = append(p, r)
		}
		for _, a := range strings.Fields(test.in) {
			if !p.Accepts(netip.MustParseAddr(a)) {
				t.Errorf("%q rejects %s", test.policy, a)
			}
		}
		for _, a := range strings.Fields(test.out) {
			if p.Accepts(netip.MustParseAddr(a)) {
				t.Errorf("%q accepts %s", test.policy, a)
			}
		}
	}
}
