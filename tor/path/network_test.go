package path_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

const (
	plain = netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir
	guard = plain | netdoc.FlagGuard
	exit  = plain | netdoc.FlagExit
	both  = guard | exit
)

// liveWeights are the bandwidth-weights of the public network's consensus of
// 27 July 2026, but for Wmd and Wgd, which are 0 there.
var liveWeights = netdoc.Weights{
	"Wbd": 1000, "Wbe": 0, "Wbg": 3890, "Wbm": 10000, "Wdb": 10000, "Web": 10000, "Wed": 8000, "Wee": 10000,
	"Weg": 8000, "Wem": 10000, "Wgb": 10000, "Wgd": 1000, "Wgg": 6110, "Wgm": 6110, "Wmb": 10000, "Wmd": 1000,
	"Wme": 0, "Wmg": 3890, "Wmm": 10000,
}

// network builds a consensus by hand.
type network struct {
	t   testing.TB
	c   *netdoc.Consensus
	mds map[netdoc.MDDigest]*netdoc.Microdesc
}

func newNetwork(t testing.TB) *network {
	return &network{t, &netdoc.Consensus{BandwidthWeights: liveWeights, Params: netdoc.Params{}}, map[netdoc.MDDigest]*netdoc.Microdesc{}}
}

type change func(*netdoc.RouterStatus, *netdoc.Microdesc)

// relay adds relay number n: its identity begins with n, its address is in a
// /16 of its own, its nickname is "r<n>".
func (n *network) relay(flags netdoc.Flags, bandwidth uint32, policy string, changes ...change) netdoc.Digest {
	i := len(n.c.Relays)
	if i >= 200*256 {
		n.t.Fatal("too many relays for distinct /16s")
	}
	rs := netdoc.RouterStatus{
		Nickname: fmt.Sprintf("r%d", i), Identity: digest(i), Flags: flags, Bandwidth: bandwidth,
		IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(20 + i/256), byte(i), 0, 1}), 9001),
	}
	md := &netdoc.Microdesc{NtorKey: [32]byte{1, byte(i)}, Ed25519: netdoc.Ed25519ID{2, byte(i)}}
	binary.BigEndian.PutUint32(md.Digest[:], uint32(i)+1)
	if policy != "" {
		var err error
		if md.Policy4, err = netdoc.ParsePortPolicy(policy); err != nil {
			n.t.Fatal(err)
		}
	}
	for _, change := range changes {
		change(&rs, md)
	}
	rs.MD = md.Digest
	n.mds[md.Digest] = md
	n.c.Relays = append(n.c.Relays, rs)
	return rs.Identity
}

func digest(i int) (d netdoc.Digest) {
	binary.BigEndian.PutUint32(d[:], uint32(i)+1)
	return d
}

func (n *network) index(opts path.Options) *path.Index {
	return path.NewIndex(n.c, func(d netdoc.MDDigest) *netdoc.Microdesc { return n.mds[d] }, opts)
}

func (n *network) strict() *path.Index {
	return n.index(path.Options{EnforceDistinctSubnets: true})
}

func address(s string) change {
	return func(rs *netdoc.RouterStatus, _ *netdoc.Microdesc) { rs.IPv4 = netip.MustParseAddrPort(s) }
}

func address6(s string) change {
	return func(rs *netdoc.RouterStatus, _ *netdoc.Microdesc) { rs.IPv6 = netip.MustParseAddrPort(s) }
}

func lists(relays ...int) change {
	return func(_ *netdoc.RouterStatus, md *netdoc.Microdesc) {
		md.Family = &netdoc.Family{}
		for _, i := range relays {
			md.Family.IDs = append(md.Family.IDs, digest(i))
		}
	}
}

func familyIDs(ids ...string) change {
	return func(_ *netdoc.RouterStatus, md *netdoc.Microdesc) { md.FamilyIDs = ids }
}

func policy6(s string) change {
	return func(_ *netdoc.RouterStatus, md *netdoc.Microdesc) {
		p, err := netdoc.ParsePortPolicy(s)
		if err != nil {
			panic(err)
		}
		md.Policy6 = p
	}
}

func noKeys(_ *netdoc.RouterStatus, md *netdoc.Microdesc) { md.NtorKey = [32]byte{} }

func newRand(seed uint64) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.New(rand.NewChaCha8(key))
}

// random makes a network of n relays shaped like the public one: bandwidths over
// four orders of magnitude, families declared on one or on both sides, family
// ids, shared subnets, narrow policies and a share of every flag that forbids.
func random(t testing.TB, rng *rand.Rand, relays int) *network {
	n := newNetwork(t)
	policies := []string{"", "", "", "accept 80,443", "accept 1-65535", "reject 25,119,135-139,445", "accept 22,443,6667-6697"}
	flagSets := []netdoc.Flags{guard, guard, guard, plain, plain, exit, both}
	for i := range relays {
		flags := flagSets[rng.IntN(len(flagSets))]
		for _, f := range []netdoc.Flags{netdoc.FlagFast, netdoc.FlagStable, netdoc.FlagRunning, netdoc.FlagValid, netdoc.FlagV2Dir} {
			if rng.IntN(30) == 0 {
				flags &^= f
			}
		}
		for _, f := range []netdoc.Flags{netdoc.FlagBadExit, netdoc.FlagMiddleOnly, netdoc.FlagNoEdConsensus} {
			if rng.IntN(30) == 0 {
				flags |= f
			}
		}
		var changes []change
		switch rng.IntN(6) {
		case 0: // operators of up to six relays, who all list all
			first := i / 6 * 6
			changes = append(changes, lists(first, first+1, first+2, first+3, first+4, first+5))
		case 1: // a list that nobody returns on purpose
			changes = append(changes, lists(rng.IntN(relays)))
		case 2:
			changes = append(changes, familyIDs(fmt.Sprint("ed25519:", rng.IntN(relays/10+1)), "x"+fmt.Sprint(rng.IntN(relays))))
		case 3:
			changes = append(changes, address(fmt.Sprintf("10.%d.%d.1:9001", rng.IntN(4), i%256)))
		case 4:
			changes = append(changes, address6(fmt.Sprintf("[2001:db8:%x::1]:9001", rng.IntN(20))), policy6("accept 443"))
		}
		if rng.IntN(40) == 0 {
			changes = append(changes, noKeys)
		}
		n.relay(flags, uint32(1+rng.ExpFloat64()*5000), policies[rng.IntN(len(policies))], changes...)
	}
	return n
}
