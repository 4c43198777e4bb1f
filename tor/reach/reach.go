// Package reach decides over which version of IP a client makes its connections to
// relays: C tor's options ClientUseIPv4, ClientUseIPv6 and ClientPreferIPv6ORPort.
//
// A relay without an address that may be used is none that this client can have as a
// guard or ask for documents: it is filtered (guard-spec §4.1, FILTERED_GUARDS), and
// never counts as one that failed.
package reach

import "net/netip"

// Rules are what the user says. The zero value uses both versions, and IPv4 where a relay
// has both.
type Rules struct {
	NoIPv4, NoIPv6 bool
	// PreferIPv6 breaks the tie of a relay that has both.
	PreferIPv6 bool
}

// Choose is the address to connect to of a relay's two, either of which may be invalid;
// false: none of them may be used.
func (r Rules) Choose(v4, v6 netip.AddrPort) (netip.AddrPort, bool) {
	use4 := !r.NoIPv4 && usable(v4)
	use6 := !r.NoIPv6 && usable(v6)
	switch {
	case use6 && (r.PreferIPv6 || !use4):
		return v6, true
	case use4:
		return v4, true
	}
	return netip.AddrPort{}, false
}

// Reaches reports whether one of a relay's addresses may be used.
func (r Rules) Reaches(v4, v6 netip.AddrPort) bool {
	_, ok := r.Choose(v4, v6)
	return ok
}

func usable(a netip.AddrPort) bool { return a.IsValid() && a.Port() != 0 }
