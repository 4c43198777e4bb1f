package host

import (
	"fmt"
	"slices"

	"chive/tor/onion"
)

// MaxMasters is how many services one may be a backend of: each introduction is tried
// with three keys of each.
const MaxMasters = 8

// checkMasters refuses masters that nothing can be opened for.
func (c *Config) checkMasters() error {
	if len(c.Masters) > MaxMasters {
		return fmt.Errorf("%w: %d masters, at most %d", ErrConfig, len(c.Masters), MaxMasters)
	}
	for i, a := range c.Masters {
		if !onion.ValidKey(a) || slices.Contains(c.Masters[:i], a) {
			return fmt.Errorf("%w: a master is no onion service, or given twice", ErrConfig)
		}
	}
	return nil
}

// setMasters finds out with what clients of the masters ask: they read a descriptor of
// the master's that lists points of ours (C tor's hs_ob.c). The period before and the
// one after count as well, for their consensus may be another than ours.
func (s *Service) setMasters() {
	s.masters = nil
	if s.view == nil {
		return
	}
	p := s.view.Period(s.view.ValidAfter)
	for _, of := range []onion.Period{p, p.Previous(), p.Next()} {
		for _, a := range s.config.Masters {
			blinded, err := a.Blind(of)
			if err != nil {
				continue // Config.check refuses such an address
			}
			s.masters = append(s.masters, &credential{of, blinded, a.Subcredential(blinded)})
		}
	}
}
