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
	Second      Set // the second layer of guards in circuits to onion services: likewise
	Third       Set // the third layer: likewise
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

// NamesLayer says whether the user names relays for a layer of guards, the second or else
// the third.
func (r *Rules) NamesLayer(second bool) bool { return r != nil && !r.layer(second).Empty() }

// InLayer: does the user name the relay for it?
func (r *Rules) InLayer(second bool, rs *netdoc.RouterStatus) bool {
	return r != nil && r.layer(second).Has(rs, r.GeoIP)
}

// SameLayers: do both name the same for the layers?
func (r *Rules) SameLayers(o *Rules) bool {
	for _, second := range []bool{true, false} {
		if r.NamesLayer(second) != o.NamesLayer(second) || r.NamesLayer(second) && !r.layer(second).equal(o.layer(second)) {
			return false
		}
	}
	return true
}

func (r *Rules) layer(second bool) *Set {
	if second {
		return &r.Second
	}
	return &r.Third
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
