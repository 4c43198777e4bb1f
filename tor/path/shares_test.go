package path_test

import (
	"fmt"
	"maps"
	"math"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// near finds, for each relay, those that the rules of a path may keep apart from it: all that
// together can be true of, and more.
func (n *network) near() map[netdoc.Digest][]*netdoc.RouterStatus {
	by := map[string][]*netdoc.RouterStatus{}
	keys := func(rs *netdoc.RouterStatus) []string {
		md := n.mds[rs.MD]
		four, _ := rs.IPv4.Addr().Prefix(16)
		out := append([]string{four.String(), "relay " + rs.Identity.String()}, md.FamilyIDs...)
		if rs.IPv6.IsValid() {
			six, _ := rs.IPv6.Addr().Prefix(32)
			out = append(out, six.String())
		}
		if md.Family != nil {
			for _, id := range md.Family.IDs {
				out = append(out, "relay "+id.String())
			}
		}
		return out
	}
	for i := range n.c.Relays {
		for _, key := range keys(&n.c.Relays[i]) {
			by[key] = append(by[key], &n.c.Relays[i])
		}
	}
	out := map[netdoc.Digest][]*netdoc.RouterStatus{}
	for i := range n.c.Relays {
		rs := &n.c.Relays[i]
		for _, key := range keys(rs) {
			out[rs.Identity] = append(out[rs.Identity], by[key]...)
		}
	}
	return out
}

// positional is the weight of a relay as middle or, with to, as exit for port 443; 0 for one
// that may not be there (dir-spec §3.8.3, path-spec §2.2).
func (n *network) positional(rs *netdoc.RouterStatus, to bool) float64 {
	md := n.mds[rs.MD]
	has := func(f netdoc.Flags) bool { return rs.Flags&f == f }
	usable := has(netdoc.FlagRunning|netdoc.FlagValid|netdoc.FlagFast) && !has(netdoc.FlagNoEdConsensus) && md.NtorKey != [32]byte{}
	if !usable || to && (has(netdoc.FlagBadExit) || has(netdoc.FlagMiddleOnly) || !md.Policy4.Allows(443)) {
		return 0
	}
	names := [...]string{"Wmm", "Wmg", "Wme", "Wmd"}
	if to {
		names = [...]string{"Wem", "Weg", "Wee", "Wed"}
	}
	class := 0
	if has(netdoc.FlagGuard) {
		class++
	}
	if has(netdoc.FlagExit) && !has(netdoc.FlagBadExit) {
		class += 2
	}
	return float64(rs.Bandwidth) * float64(n.c.BandwidthWeights[names[class]])
}

// place is the /16 of those that have many relays in it, else "elsewhere".
func place(rs *netdoc.RouterStatus) string {
	if four := rs.IPv4.Addr().As4(); four[0] == 10 {
		return fmt.Sprintf("10.%d", four[1])
	}
	return "elsewhere"
}

// shares are the probabilities of a path from a guard to port 443: of exits and of middles by
// nickname, and of their /16s.
func (n *network) shares(guard *netdoc.RouterStatus) (exits, middles, pairs map[string]float64) {
	near := n.near()
	apart := map[netdoc.Digest]bool{}
	for _, rs := range near[guard.Identity] {
		apart[rs.Identity] = n.together(guard, rs) != ""
	}
	var left []*netdoc.RouterStatus
	var asMiddle, asExit float64
	weights := map[string]float64{} // of middles, by place
	for i := range n.c.Relays {
		if rs := &n.c.Relays[i]; !apart[rs.Identity] {
			left = append(left, rs)
			asMiddle += n.positional(rs, false)
			asExit += n.positional(rs, true)
			weights[place(rs)] += n.positional(rs, false)
		}
	}
	// A middle comes behind each exit by its share of what that exit leaves.
	exits, middles, pairs = map[string]float64{}, map[string]float64{}, map[string]float64{}
	per := 0.0                      // of one point of weight, where no exit's kin is left out
	without := map[string]float64{} // what of that a relay has not, by nickname
	for _, e := range left {
		p := n.positional(e, true) / asExit
		if p == 0 {
			continue
		}
		exits[e.Nickname] = p
		kin, remains := map[*netdoc.RouterStatus]bool{}, asMiddle
		for _, m := range near[e.Identity] {
			if !apart[m.Identity] && !kin[m] && n.together(e, m) != "" {
				kin[m] = true
				remains -= n.positional(m, false)
			}
		}
		per += p / remains
		for to, w := range weights {
			pairs[place(e)+" "+to] += w * p / remains
		}
		for m := range kin {
			without[m.Nickname] += p / remains
			pairs[place(e)+" "+place(m)] -= n.positional(m, false) * p / remains
		}
	}
	for _, m := range left {
		if w := n.positional(m, false); w > 0 {
			middles[m.Nickname] = w * (per - without[m.Nickname])
		}
	}
	maps.DeleteFunc(pairs, func(_ string, p float64) bool { return p < 1e-9 }) // the rest of a difference
	return exits, middles, pairs
}

// In a network of the public one's size, where a sixth of the relays are in four /16s and a
// third in some family, whole paths have the shares that the weights and the rules give: exits
// that may be joined with the guard, by their weight; then middles that may be joined with
// both; and hence the pairs of /16s.
func TestSharesOfPaths(t *testing.T) {
	rng := newRand(12)
	n := random(t, rng, 10_000)
	x := n.strict()
	// The guard is in a /16 with many others.
	first, err := x.PickGuard(rng, func(r *path.Relay) bool { return !r.Usable() || place(r.RouterStatus) != "10.2" })
	if err != nil {
		t.Fatal(err)
	}
	second, err := x.PickGuard(rng, func(r *path.Relay) bool { return !r.Usable() || r == first })
	if err != nil {
		t.Fatal(err)
	}
	var counts [3]map[string]int
	for i := range counts {
		counts[i] = map[string]int{}
	}
	for range max(paths()/5, 60_000) {
		hops, err := x.Path(rng, path.Request{Guards: []netdoc.Digest{first.Identity, second.Identity}, Want: path.Want{Port: 443}})
		if err != nil || hops[0] != first {
			t.Fatalf("%v, %v", hops, err)
		}
		counts[0][hops[2].Nickname]++
		counts[1][hops[1].Nickname]++
		counts[2][place(hops[2].RouterStatus)+" "+place(hops[1].RouterStatus)]++
	}
	exits, middles, pairs := n.shares(first.RouterStatus)
	for i, shares := range []map[string]float64{exits, middles, pairs} {
		what := [...]string{"exits", "middles", "pairs of /16s"}[i]
		total := 0.0
		for _, p := range shares {
			total += p
		}
		if math.Abs(total-1) > 1e-6 {
			t.Errorf("%s: the shares that are expected add up to %v", what, total)
		}
		chiSquare(t, what, counts[i], shares)
	}
}
