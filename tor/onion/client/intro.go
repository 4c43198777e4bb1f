package client

import (
	"net/netip"
	"time"

	"chive/tor/cell"
	"chive/tor/onion/descriptor"
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
		if _, ok := s.point(ip); !ok || !f.usable() || f.useless > least {
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

// point reads the link specifiers of an introduction point. They are the service's word:
// one that would have a relay connect into its own network, or that names no relay, is
// refused. As in C tor the first IPv4 address counts and what is unknown is not passed on,
// so that a service cannot mark a client's EXTEND2.
func (s *Service) point(ip *descriptor.IntroPoint) (Point, bool) {
	p := Point{OnionKey: ip.OnionKey}
	named := false
	for _, spec := range ip.Specs {
		switch spec.Type {
		case cell.LinkSpecIPv4, cell.LinkSpecIPv6:
			ap, ok := spec.AddrPort()
			if !ok || ap.Port() == 0 || !s.o.AllowPrivate && internal(ap.Addr()) {
				return Point{}, false
			}
			if spec.Type == cell.LinkSpecIPv4 && !p.IPv4.IsValid() {
				p.IPv4 = ap
			}
		case cell.LinkSpecRSA:
			named = len(spec.Body) == copy(p.RSA[:], spec.Body) && p.RSA != [20]byte{}
		case cell.LinkSpecEd25519:
			copy(p.Ed25519[:], spec.Body)
		}
	}
	zero := [32]byte{}
	if !named || !p.IPv4.IsValid() || ip.OnionKey == zero || ip.EncKey == zero || ip.AuthKey == zero {
		return Point{}, false
	}
	return p, true
}

// special are networks that mean something only where one is, beside those that netip
// knows (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
}

// internal: is it an address that no relay of the public network has?
func internal(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	for _, p := range special {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
