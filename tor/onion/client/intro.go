package client

import (
	"slices"
	"time"

	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

const (
	// failureLife is how long a failure of an introduction point is remembered (C tor's
	// HS_CACHE_CLIENT_INTRO_STATE_MAX_AGE).
	failureLife = 2 * time.Minute
	// mostUnreachable is how often an introduction point may not be reached, or an
	// introduction through it lead to nothing, before it is of no use (C tor's
	// MAX_INTRO_POINT_REACHABILITY_FAILURES).
	mostUnreachable = 5
)

// failure is what is remembered of an introduction point.
type failure struct {
	at       time.Time
	refused  bool // it said no
	timedOut bool // it did not answer
	useless  int  // could not be reached, or the service did not come
}

func (f *failure) usable() bool { return !f.refused && !f.timedOut && f.useless < mostUnreachable }

// note remembers a failure of an introduction point.
func (s *Service) note(auth [32]byte, now time.Time, how func(*failure)) {
	f := s.failures[auth]
	how(&f)
	f.at = now
	s.failures[auth] = f
}

// choose picks an introduction point at random among those that failed least; nil: none
// is of use.
func (s *Service) choose(d *descriptor.Descriptor) (*descriptor.IntroPoint, Point) {
	var best []*descriptor.IntroPoint
	least := mostUnreachable
	for i := range d.Intros {
		ip := &d.Intros[i]
		f := s.failures[ip.AuthKey]
		p, ok := s.point(ip)
		if !ok || !f.usable() || f.useless > least || s.view != nil && s.view.Avoid != nil && s.view.Avoid(p) {
			continue
		}
		if f.useless < least {
			best, least = nil, f.useless
		}
		best = append(best, ip)
	}
	if len(best) == 0 {
		return nil, Point{}
	}
	if v := s.o.Visit; v != nil {
		if i := slices.IndexFunc(best, func(ip *descriptor.IntroPoint) bool { return ip.AuthKey == v.Point }); i >= 0 {
			best = best[i : i+1]
		}
	}
	ip := best[s.o.Rand.IntN(len(best))]
	p, _ := s.point(ip)
	return ip, p
}

// noIntro is the cause when no introduction point is of use.
func (s *Service) noIntro(d *descriptor.Descriptor) Cause {
	for i := range d.Intros {
		if !s.failures[d.Intros[i].AuthKey].timedOut {
			return IntroFailed
		}
	}
	if len(d.Intros) == 0 {
		return IntroFailed
	}
	return IntroTimedOut
}

// point reads the link specifiers of an introduction point. They are the service's word.
func (s *Service) point(ip *descriptor.IntroPoint) (Point, bool) {
	p, ok := relaymsg.PointOf(ip.Specs, ip.OnionKey, s.o.AllowPrivate)
	zero := [32]byte{}
	return p, ok && ip.EncKey != zero && ip.AuthKey != zero
}
