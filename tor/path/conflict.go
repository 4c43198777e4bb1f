package path

import "net/netip"

// Conflict reports whether two relays may not be in one circuit: they are the
// same, of one family, or, with EnforceDistinctSubnets, in one IPv4 /16 or IPv6
// /32 (path-spec §2.2).
func (x *Index) Conflict(a, b *Relay) bool { return x.conflict(a, b) != ruleNone }

// conflict names the rule.
func (x *Index) conflict(a, b *Relay) Rule {
	switch {
	case a == b || a.Identity == b.Identity:
		return RuleSameRelay
	case x.sameFamily(a, b):
		return RuleFamily
	case a.subnet4 != noSubnet && a.subnet4 == b.subnet4, a.subnet6 != noSubnet && a.subnet6 == b.subnet6:
		return RuleSubnet
	default:
		return ruleNone
	}
}

// sameFamily: a shared family id, or both list the other (proposal 321). What
// the consensus parameters switch off was left out of the relays.
func (x *Index) sameFamily(a, b *Relay) bool {
	if overlap(a.familyIDs, b.familyIDs) {
		return true
	}
	return a.family != nil && b.family != nil &&
		a.family.Contains(b.Identity, b.Nickname) && b.family.Contains(a.Identity, a.Nickname)
}

// overlap: do two ascending lists share an element?
func overlap(a, b []uint32) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return true
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}

// noSubnet is in no subnet: the prefix of no address, or rules switched off.
const noSubnet = ^uint64(0)

// subnet is the first bits of an address, or noSubnet for none.
func subnet(a netip.Addr, bits int) uint64 {
	if !a.IsValid() || a.IsUnspecified() {
		return noSubnet
	}
	var prefix uint64
	for _, b := range a.AsSlice()[:bits/8] {
		prefix = prefix<<8 | uint64(b)
	}
	return prefix
}
