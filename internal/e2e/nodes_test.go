package e2e

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chive/internal/testnet"
)

// paths lists the relays of the circuits for users since an event, guard first.
func (r *reloadable) paths(from int) (out [][]string) {
	log, _ := r.events(from)
	for _, e := range log {
		l := e.GetCircuitLaunched()
		if l == nil || l.GetHops() != 3 {
			continue
		}
		var path []string
		for _, hop := range l.GetPath() {
			path = append(path, strings.ToUpper(hex.EncodeToString(hop)))
		}
		out = append(out, path)
	}
	return out
}

// Each option that names relays changes, in the running node, what circuits go through.
func TestNodeSets(t *testing.T) {
	t.Parallel()
	n := network(t)
	var exits, others []testnet.Node
	for _, x := range n.Nodes() {
		switch {
		case x.Exit:
			exits = append(exits, x)
		case x.Role != "onion":
			others = append(others, x)
		}
	}
	dir := t.TempDir()
	// One exit is in one country, the second in another, the third nowhere.
	four, six := filepath.Join(dir, "geoip"), filepath.Join(dir, "geoip6")
	write(t, six, nil)
	write(t, four, []byte(ranges(exits[0], "AA", exits[1], "BB")))
	base := []string{
		"SocksPort auto", "CircuitPoolMinSize 3", "GeoIPFile " + four, "GeoIPv6File " + six,
		"ConfluxEnabled 0",           // legs of a set may be launched late; see TestConflux
		"LearnCircuitBuildTimeout 0", // nor is any circuit built to be measured
	}
	r := startReloadable(t, n, nil, base...)
	l := &lab{reloadable: r, n: n, http: resource(n, 1000), base: base}

	const guard, middle, exit = 0, 1, 2
	in := func(all []testnet.Node, fingerprint string) bool {
		for _, x := range all {
			if x.Fingerprint == fingerprint {
				return true
			}
		}
		return false
	}
	exitIs := func(want ...testnet.Node) func([]string) bool {
		return func(p []string) bool { return in(want, p[exit]) }
	}
	for _, test := range []struct {
		lines string
		right func(path []string) bool
	}{
		{"ExitNodes $" + exits[1].Fingerprint + "~anything", exitIs(exits[1])},
		{"ExitNodes " + exits[2].IP.String() + "/16," + exits[0].Fingerprint, exitIs(exits[0], exits[2])},
		{"ExitNodes {aa}", exitIs(exits[0])},
		{"ExitNodes {??}", exitIs(exits[2])},
		{"ExcludeExitNodes $" + exits[0].Fingerprint, exitIs(exits[1], exits[2])},
		{"ExcludeExitNodes {bb}\nGeoIPExcludeUnknown 0", exitIs(exits[0], exits[2])},
		{"ExcludeExitNodes {bb}", exitIs(exits[0])},
		{"ExcludeNodes $" + exits[0].Fingerprint + "," + others[0].IP.String() + "\nStrictNodes 1", func(p []string) bool {
			for _, hop := range p {
				if hop == exits[0].Fingerprint || hop == others[0].Fingerprint {
					return false
				}
			}
			return true
		}},
		{"MiddleNodes " + join(others), func(p []string) bool { return in(others, p[middle]) }},
	} {
		l.settled(t)
		_, from := r.events(0)
		l.set(t, strings.Split(test.lines, "\n")...)
		l.until(t, patience, "circuits by the new rules: "+test.lines, func() bool { return len(r.paths(from)) >= 3 })
		for range 3 {
			l.once(t)
		}
		for _, p := range r.paths(from) {
			if !test.right(p) {
				t.Errorf("%s: the path %v", test.lines, p)
			}
		}
	}
	entryNodes(t, l)
	refusedSets(t, l, dir)
}

// entryNodes: guards are of the set, and without it those of before come back.
func entryNodes(t *testing.T, l *lab) {
	l.set(t)
	l.once(t)
	before := l.paths(0)
	old := before[len(before)-1][0]
	var want string
	for _, x := range l.n.Nodes() {
		if x.Guard && x.Fingerprint != old {
			want = x.Fingerprint
		}
	}
	for _, test := range []struct {
		lines []string
		guard string
	}{{[]string{"EntryNodes " + want}, want}, {nil, old}} {
		_, from := l.events(0)
		l.set(t, test.lines...)
		l.until(t, patience, "a circuit through the guard", func() bool {
			l.once(t)
			for _, p := range l.paths(from) {
				if p[0] == test.guard {
					return true
				}
			}
			return false
		})
	}
}

// refusedSets: what cannot be followed changes nothing, and says why.
func refusedSets(t *testing.T, l *lab, dir string) {
	everybody := []testnet.Node{}
	for _, x := range l.n.Nodes() {
		if x.V3Ident != "" {
			everybody = append(everybody, x)
		}
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("no,such\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for lines, why := range map[string]string{
		"ExitNodes {aa}\nGeoIPFile " + filepath.Join(dir, "missing"): "tor-geoipdb",
		"ExitNodes {aa}\nGeoIPFile " + broken:                        "malformed GeoIP file",
		"StrictNodes 1\nExcludeNodes " + join(everybody):             "nobody is left to ask",
	} {
		before := l.Config()
		base := []string{l.base[0], l.base[1], l.base[3]}
		result := l.change(t, append(base, strings.Split(lines, "\n")...)...)
		if result.Applied || !strings.Contains(result.Reason, why) || l.Config() != before {
			t.Errorf("%s: %+v", lines, result)
		}
	}
}

func join(all []testnet.Node) string {
	var out []string
	for _, x := range all {
		out = append(out, "$"+x.Fingerprint)
	}
	return strings.Join(out, ",")
}

// ranges is a GeoIP file in which two relays are somewhere.
func ranges(a testnet.Node, in string, b testnet.Node, inB string) string {
	line := func(x testnet.Node, in string) string {
		v := x.IP.As4()
		n := uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3])
		return fmt.Sprintf("%d,%d,%s\n", n, n, in)
	}
	if b.IP.Less(a.IP) {
		return line(b, inB) + line(a, in)
	}
	return line(a, in) + line(b, inB)
}
