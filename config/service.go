package config

import (
	"errors"
	"slices"
	"strings"
)

// ParseService makes a service of lines of a torrc, those that belong to a HiddenServiceDir,
// for a program that gives its folder and its ports itself: lines with these are refused.
// The error names everything that is wrong.
func ParseService(lines []string) (OnionService, error) {
	b := &builder{}
	s := serviceDefaults
	var all []Line
	for _, line := range lines {
		name, value := cutWord(strings.Trim(line, blank))
		l := Line{Key: name, Value: value}
		switch {
		case strings.EqualFold(name, serviceDir), strings.EqualFold(name, "HiddenServicePort"):
			b.fail(l, ErrUnsupported, "the program gives folder and ports itself")
		default:
			all = append(all, l)
		}
	}
	if b.serviceLines(&s, all) {
		b.serviceConflicts(Line{}, &s)
	}
	// What is odd is refused: nobody reads warnings here.
	if errs := append(b.errs, b.cfg.Warnings...); len(errs) > 0 {
		return OnionService{}, errs
	}
	return s, nil
}

// ErrPorts: the ports of a service that a program gives.
var ErrPorts = errors.New("want ports from 1 to 65535, each once, and no more than 1024")

// SetPorts gives a service ports that have no target: the program takes their streams.
func (s *OnionService) SetPorts(ports []uint16) error {
	sorted := slices.Sorted(slices.Values(ports))
	if len(sorted) == 0 || len(sorted) > maxOnionPorts || sorted[0] == 0 || len(slices.Compact(sorted)) != len(ports) {
		return ErrPorts
	}
	s.Ports = nil
	for _, p := range ports {
		s.Ports = append(s.Ports, OnionPort{Port: p})
	}
	return nil
}

// serviceConflicts refuses options of a service that contradict each other; it reports
// whether there are none.
func (b *builder) serviceConflicts(l Line, s *OnionService) bool {
	switch {
	case s.IntroDoSRate > 0 && s.IntroDoSBurst > 0 && s.IntroDoSBurst < s.IntroDoSRate:
		b.fail(l, ErrConflict, "HiddenServiceEnableIntroDoSBurstPerSec %d is less than HiddenServiceEnableIntroDoSRatePerSec %d", s.IntroDoSBurst, s.IntroDoSRate)
	case s.PoWBurst < s.PoWRate:
		b.fail(l, ErrConflict, "HiddenServicePoWQueueBurst %d is less than HiddenServicePoWQueueRate %d", s.PoWBurst, s.PoWRate)
	default:
		return true
	}
	return false
}
