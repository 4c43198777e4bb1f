// Package nodeset is sets of relays as users name them: by fingerprint, by country and
// by address (the values of ExcludeNodes, ExitNodes and the like).
package nodeset

import (
	"net/netip"
	"slices"

	"chive/tor/geoip"
	"chive/tor/netdoc"
)

// Set is relays; the zero Set is empty. A relay is in it when one of its members names it.
type Set struct {
	Relays    []netdoc.Digest
	Countries []geoip.Country // with Unknown: those of which nothing is known
	Networks  []netip.Prefix  // masked
}

// Empty reports whether the set names nothing.
func (s *Set) Empty() bool {
	return s == nil || len(s.Relays) == 0 && len(s.Countries) == 0 && len(s.Networks) == 0
}

func (s *Set) equal(o *Set) bool {
	return slices.Equal(s.Relays, o.Relays) && slices.Equal(s.Countries, o.Countries) && slices.Equal(s.Networks, o.Networks)
}

// Has reports whether a relay is in the set. A relay with addresses of both families
// is where either of them is: what may be in an excluded country is. db may be nil when
// there are no Countries.
func (s *Set) Has(r *netdoc.RouterStatus, db *geoip.DB) bool {
	if s.Empty() {
		return false
	}
	if slices.Contains(s.Relays, r.Identity) {
		return true
	}
	for _, a := range [...]netip.Addr{r.IPv4.Addr(), r.IPv6.Addr()} {
		if !a.IsValid() {
			continue
		}
		if slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return true
		}
		if len(s.Countries) > 0 && slices.Contains(s.Countries, db.Country(a)) {
			return true
		}
	}
	return false
}
