package nodeset

import (
	"chive/tor/geoip"
	"chive/tor/netdoc"
)

// Rules are what a user says of the relays that circuits may go through. nil allows
// every relay everywhere.
type Rules struct {
	Exclude     Set // in no position
	ExcludeExit Set // not as exits
	Entry       Set // guards are of these, if it is not empty
	Middle      Set // likewise
	Exit        Set // likewise
	GeoIP       *geoip.DB
	// ExcludeUnknown: with a country in Exclude or ExcludeExit, relays of which no
	// country is known are in it, too.
	ExcludeUnknown bool
}

// Excluded: may the relay be in no position at all?
func (r *Rules) Excluded(rs *netdoc.RouterStatus) bool {
	return r != nil && r.bars(&r.Exclude, rs)
}

// Guard, MiddleHop and ExitHop say whether a relay may be that.
func (r *Rules) Guard(rs *netdoc.RouterStatus) bool {
	return r == nil || !r.Excluded(rs) && r.within(&r.Entry, rs)
}

// MiddleHop is as Guard.
func (r *Rules) MiddleHop(rs *netdoc.RouterStatus) bool {
	return r == nil || !r.Excluded(rs) && r.within(&r.Middle, rs)
}

// ExitHop is as Guard.
func (r *Rules) ExitHop(rs *netdoc.RouterStatus) bool {
	return r == nil || !r.Excluded(rs) && !r.bars(&r.ExcludeExit, rs) && r.within(&r.Exit, rs)
}

func (r *Rules) within(s *Set, rs *netdoc.RouterStatus) bool { return s.Empty() || s.Has(rs, r.GeoIP) }

func (r *Rules) bars(s *Set, rs *netdoc.RouterStatus) bool {
	if s.Has(rs, r.GeoIP) {
		return true
	}
	if !r.ExcludeUnknown || len(s.Countries) == 0 {
		return false
	}
	unknown := Set{Countries: []geoip.Country{geoip.Unknown}}
	return unknown.Has(rs, r.GeoIP)
}
