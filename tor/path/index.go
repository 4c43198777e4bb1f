package path

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"chive/tor/netdoc"
	"chive/tor/nodeset"
)

// DefaultLongLivedPorts are the ports whose connections tend to stay open, so
// that their circuits need Stable relays (C tor's option LongLivedPorts).
var DefaultLongLivedPorts = []uint16{21, 22, 706, 1863, 5050, 5190, 5222, 5223, 6523, 6667, 6697, 8300}

// Options of a user that change the rules.
type Options struct {
	// EnforceDistinctSubnets keeps relays of one IPv4 /16 or IPv6 /32 out of one
	// circuit. Off only in private networks.
	EnforceDistinctSubnets bool
	// LongLivedPorts: nil means DefaultLongLivedPorts, empty means none.
	LongLivedPorts []uint16
	// Nodes says which relays may be in which position; nil: every relay in each.
	// Whether one may be a guard is package guard's to ask (MayEnter), so that a
	// guard that is not allowed just now is not forgotten.
	Nodes *nodeset.Rules
}

// Index is a consensus made ready for choosing. It is immutable and safe for
// concurrent use; random sources passed to it are the caller's.
type Index struct {
	relays    []Relay // ascending by Identity
	lists     [positions]list
	longLived []uint16
	coverage  float64
	enough    float64           // coverage that circuits for users need
	times     *netdoc.Consensus // its lifetime alone; nil: it has none
	nodes     *nodeset.Rules
	named     [2][]netdoc.Digest // relays that the user names for the layers, and that may be one's
}

// Relay is one relay of the consensus. It belongs to its Index: read-only.
type Relay struct {
	*netdoc.RouterStatus
	NtorKey [32]byte         // zero unless Usable
	Ed25519 netdoc.Ed25519ID // zero unless Usable

	policy4, policy6 netdoc.PortPolicy
	family           *netdoc.Family
	familyIDs        []uint32 // ascending
	subnet4, subnet6 uint64
	here, usable     bool // microdescriptor: here; and holds the keys
	may              [positions]bool
}

// Usable reports whether the relay's microdescriptor is here and holds the keys
// that a circuit through it needs.
func (r *Relay) Usable() bool { return r.usable }

// CongestionControl reports whether the relay offers ntor-v3 and congestion control.
func (r *Relay) CongestionControl() bool {
	return r.Protocols.Supports(netdoc.ProtoRelay, 4) && r.Protocols.Supports(netdoc.ProtoFlowCtrl, 2)
}

// CGO reports whether the relay offers Counter Galois Onion with all that it needs:
// ntor-v3 that can ask for it (Relay=4 and 5), itself (Relay=6), and congestion control.
func (r *Relay) CGO() bool {
	return r.CongestionControl() && r.Protocols.Supports(netdoc.ProtoRelay, 5) && r.Protocols.Supports(netdoc.ProtoRelay, 6)
}

// CanGuard reports whether the relay is in the set GUARDS of guard-spec §4.0:
// fit to be sampled and used as a guard, be its microdescriptor here or not. One that is
// known to have no keys for a circuit is not: nothing that is still to come would help.
func (r *Relay) CanGuard() bool { return r.may[Guard] }

// MayEnter reports whether the user's options allow the relay as a guard.
func (x *Index) MayEnter(r *Relay) bool { return x.nodes.Guard(r.RouterStatus) }

// CanExit reports whether the relay may be an exit for some port.
func (r *Relay) CanExit() bool { return r.may[Exit] }

// Allows reports whether the relay's exit policy summary carries a port, by the
// policy for IPv6 targets or that for all others; for port 0, whether it carries
// any port of that sort.
func (r *Relay) Allows(port uint16, ipv6 bool) bool { return r.carries(port, ipv6) }

func (r *Relay) carries(port uint16, ipv6 bool) bool {
	policy := r.policy4
	if ipv6 {
		policy = r.policy6
	}
	if port == 0 {
		return policy.AllowsSome()
	}
	return policy.Allows(port)
}

// NewIndex builds the index of a verified consensus. md finds a microdescriptor
// by digest and returns nil for one that is not here; it is called once a relay
// and only during this call.
func NewIndex(c *netdoc.Consensus, md func(netdoc.MDDigest) *netdoc.Microdesc, opts Options) *Index {
	x := &Index{relays: make([]Relay, len(c.Relays)), longLived: DefaultLongLivedPorts, nodes: opts.Nodes}
	if opts.LongLivedPorts != nil {
		x.longLived = slices.Clone(opts.LongLivedPorts)
	}
	b := builder{
		opts:     opts,
		families: c.Params.Get("use-family-lists", 1, 0, 1) == 1,
		ids:      c.Params.Get("use-family-ids", 1, 0, 1) == 1,
		idNumber: make(map[string]uint32),
	}
	for i := range c.Relays {
		b.fill(&x.relays[i], &c.Relays[i], md(c.Relays[i].MD))
	}
	byIdentity := func(a, b Relay) int { return bytes.Compare(a.Identity[:], b.Identity[:]) }
	if !slices.IsSortedFunc(x.relays, byIdentity) {
		slices.SortFunc(x.relays, byIdentity)
	}
	w := newWeights(c)
	for i := range x.relays {
		r := &x.relays[i]
		for pos := range positions {
			if r.may[pos] {
				x.lists[pos].add(r, w.of(pos, r.RouterStatus))
			}
		}
		for i := range x.named {
			if r.may[Middle] && x.nodes.InLayer(i == 0, r.RouterStatus) {
				x.named[i] = append(x.named[i], r.Identity)
			}
		}
	}
	x.coverage = coverage(x.relays, w)
	if !c.ValidUntil.IsZero() {
		x.times = &netdoc.Consensus{ValidAfter: c.ValidAfter, ValidUntil: c.ValidUntil}
	}
	x.enough = float64(c.Params.Get("min_paths_for_circs_pct", 60, 25, 95)) / 100
	return x
}

// builder fills relays of one index.
type builder struct {
	opts          Options
	families, ids bool // consensus parameters: does each sort of family count?
	idNumber      map[string]uint32
}

func (b *builder) fill(r *Relay, rs *netdoc.RouterStatus, md *netdoc.Microdesc) {
	r.RouterStatus = rs
	r.subnet4, r.subnet6 = noSubnet, noSubnet
	if b.opts.EnforceDistinctSubnets {
		r.subnet4 = subnet(rs.IPv4.Addr(), 16)
		r.subnet6 = subnet(rs.IPv6.Addr(), 32)
	}
	if md != nil {
		b.describe(r, md)
	}
	live := rs.Flags.Has(netdoc.FlagRunning|netdoc.FlagValid) && rs.IPv4.IsValid() && rs.IPv4.Port() != 0
	fast := live && rs.Flags.Has(netdoc.FlagFast)
	anywhere := !rs.Flags.Has(netdoc.FlagMiddleOnly)
	r.may[Guard] = fast && anywhere && rs.Flags.Has(netdoc.FlagGuard|netdoc.FlagStable|netdoc.FlagV2Dir) &&
		!rs.Flags.Has(netdoc.FlagNoEdConsensus) && (r.usable || !r.here)
	r.may[Middle] = fast && r.usable && b.opts.Nodes.MiddleHop(rs)
	r.may[Exit] = fast && r.usable && anywhere && b.opts.Nodes.ExitHop(rs) && !rs.Flags.Has(netdoc.FlagBadExit) &&
		(r.policy4.AllowsSome() || r.policy6.AllowsSome())
	r.may[Directory] = live && anywhere && rs.Flags.Has(netdoc.FlagV2Dir) && !b.opts.Nodes.Excluded(rs)
}

// describe takes what is needed from a microdescriptor. The family counts even
// when the relay is not usable.
func (b *builder) describe(r *Relay, md *netdoc.Microdesc) {
	r.here = true
	r.policy4, r.policy6 = md.Policy4, md.Policy6
	if b.families {
		r.family = md.Family
	}
	if b.ids {
		r.familyIDs = b.numbers(md.FamilyIDs)
	}
	if md.NtorKey == ([32]byte{}) || md.Ed25519.IsZero() || r.Flags.Has(netdoc.FlagNoEdConsensus) {
		return
	}
	r.usable, r.NtorKey, r.Ed25519 = true, md.NtorKey, md.Ed25519
}

// numbers gives family ids as numbers of this index, ascending.
func (b *builder) numbers(ids []string) []uint32 {
	if len(ids) == 0 {
		return nil
	}
	out := make([]uint32, 0, len(ids))
	for _, id := range ids {
		n, ok := b.idNumber[id]
		if !ok {
			n = uint32(len(b.idNumber))
			b.idNumber[id] = n
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ByIdentity finds a relay of the consensus, fit for anything or not.
func (x *Index) ByIdentity(id netdoc.Digest) (*Relay, bool) {
	i := sort.Search(len(x.relays), func(i int) bool { return bytes.Compare(x.relays[i].Identity[:], id[:]) >= 0 })
	if i == len(x.relays) || x.relays[i].Identity != id {
		return nil, false
	}
	return &x.relays[i], true
}

// Count is the number of relays that may take a position.
func (x *Index) Count(pos Position) int {
	if pos >= positions {
		return 0
	}
	return len(x.lists[pos].relays)
}

// CountGuards is the number of relays that may be guards and that allow agrees to.
func (x *Index) CountGuards(allow func(*Relay) bool) (n int) {
	for _, r := range x.lists[Guard].relays {
		if allow(r) {
			n++
		}
	}
	return n
}

// LongLived reports whether connections to a port need Stable relays.
func (x *Index) LongLived(port uint16) bool { return slices.Contains(x.longLived, port) }

// Live reports whether the consensus may be used at a time: it is valid then, give or take
// netdoc.ReasonablyLive. One without a time of its own always is.
func (x *Index) Live(now time.Time) bool {
	return x.times == nil || x.times.CheckTime(now, netdoc.ReasonablyLive, netdoc.ReasonablyLive) == nil
}

// Coverage is the fraction (0 to 1) of all paths, by weight, whose relays'
// microdescriptors are here (path-spec §2.1.0).
func (x *Index) Coverage() float64 { return x.coverage }

// Enough reports whether Coverage has reached what the consensus parameter
// min_paths_for_circs_pct asks (60 % by default) and is not zero: until then no
// circuit is built for a user.
func (x *Index) Enough() bool { return x.coverage > 0 && x.coverage >= x.enough }
