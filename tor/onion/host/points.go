package host

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"chive/tor/handshake"
	"chive/tor/netdoc"
	"chive/tor/onion/relaymsg"
)

const (
	maxFailures   = 3               // circuits in a row that may fail; C tor's MAX_INTRO_POINT_CIRCUIT_RETRIES
	retryPeriod   = 5 * time.Minute // a failing relay is left alone; C tor's INTRO_CIRC_RETRY_PERIOD
	pickAgain     = 30 * time.Second
	launchTimeout = 2 * time.Minute // from when it is begun; circuits have limits of their own
	linger        = 10 * time.Minute
	maxRetired    = 3 * time.Hour // a descriptor's lifetime
	firstRetry    = 2 * time.Second
	longestRetry  = 2 * time.Minute
)

// ErrTimeout: nothing was heard of a circuit or an upload for too long.
var ErrTimeout = errors.New("timed out")

// ErrProtocol: the relay broke the protocol.
var ErrProtocol = errors.New("protocol violation")

type phase uint8

const (
	waiting phase = iota
	launched
	asked // ESTABLISH_INTRO was sent
	established
)

// point is one introduction point.
type point struct {
	id      PointID
	relay   Relay
	auth    ed25519.PrivateKey
	enc     [32]byte
	ntor    *handshake.HSNtorService
	expires time.Time
	max     int // introductions that wear it out
	seen    map[tag]struct{}
	kept    bool // of an earlier run: its relay is not looked up yet

	phase      phase
	phaseSince time.Time
	building   bool // launched, and the circuit is begun
	failures   int  // in a row that are the relay's or the path's
	tries      int  // in a row
	retryAt    time.Time
	since      time.Time // when it was up first
	down       time.Time // since when it is not; zero: it is, or never was

	retired  bool // new descriptors do not list it
	retireAt time.Time
	unlisted time.Time // since when no directory is known to list it
}

func (p *point) authKey() [32]byte { return [32]byte(p.auth.Public().(ed25519.PublicKey)) }

// prepare computes what follows from the keys.
func (p *point) prepare() (err error) {
	p.ntor, err = handshake.NewHSNtorService(p.authKey(), p.enc)
	return err
}

func (s *Service) newPoint(r Relay, now time.Time) *point {
	p := &point{id: PointID(s.newID()), relay: r, seen: make(map[tag]struct{})}
	seed := make([]byte, ed25519.SeedSize)
	_, _ = s.rand.Read(seed)
	_, _ = s.rand.Read(p.enc[:])
	p.auth = ed25519.NewKeyFromSeed(seed)
	clear(seed)
	if err := p.prepare(); err != nil {
		panic(err) // every 32 bytes are an x25519 key
	}
	v := &s.view.Params
	p.expires = now.Add(s.rand.between(v.MinLifetime, v.MaxLifetime))
	p.max = v.MinIntroduce + int(s.rand.below(uint64(v.MaxIntroduce-v.MinIntroduce)+1))
	return p
}

func (s *Service) point(id PointID) *point {
	i := slices.IndexFunc(s.points, func(p *point) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return s.points[i]
}

// Opened says that a point's circuit is open; kh is of its last hop's handshake.
// It gives the ESTABLISH_INTRO to send; nil: the circuit is not wanted any more.
func (s *Service) Opened(id PointID, kh [20]byte, now time.Time) []byte {
	p := s.point(id)
	if p == nil || p.phase != launched {
		return nil
	}
	dos := s.config.DoS
	if !p.relay.DoS {
		dos = nil
	}
	message, err := relaymsg.AppendEstablishIntro(nil, p.auth, kh, dos)
	if err != nil {
		panic(err) // the settings were checked
	}
	p.phase, p.phaseSince = asked, now
	s.settle(now)
	return message
}

// Established takes the relay's INTRO_ESTABLISHED. false: the circuit is to be
// closed, and is.
func (s *Service) Established(id PointID, data []byte, now time.Time) bool {
	p := s.point(id)
	if p == nil {
		return false
	}
	if err := relaymsg.ParseIntroEstablished(data); err != nil || p.phase != asked {
		s.misbehaved(p, now)
		return false
	}
	p.phase, p.phaseSince, p.down = established, now, time.Time{}
	if p.since.IsZero() {
		p.since = now
	}
	s.tell(PointUp{p.id, p.relay.Identity})
	s.settle(now)
	return s.point(id) != nil
}

func (s *Service) misbehaved(p *point, now time.Time) {
	s.failing[p.relay.Identity] = now
	s.remove(p, Misbehaved)
	s.settle(now)
}

// PointFailed says that a point's circuit is no more or could not be made. ours:
// for a reason that is not the relay's or the path's, as when there is no network.
func (s *Service) PointFailed(id PointID, cause error, ours bool, now time.Time) {
	if p := s.point(id); p != nil && p.phase != waiting {
		s.failed(p, cause, ours, now)
		s.settle(now)
	}
}

// PointReplaced says that a point's circuit was closed here, so that another takes its place.
// That is nobody's failure, and nobody out there brings it about: nothing is counted, nor
// among the launches of the period, and it is made at once.
func (s *Service) PointReplaced(id PointID, cause error, now time.Time) {
	p := s.point(id)
	if p == nil || p.phase == waiting {
		return
	}
	p.fell(now)
	p.phase, p.phaseSince, p.retryAt = waiting, now, now
	s.launches.count = max(s.launches.count-1, 0)
	s.tell(PointDown{p.id, p.relay.Identity, cause})
	if p.retired {
		s.remove(p, Failing)
	}
	s.settle(now)
}

func (s *Service) failed(p *point, cause error, ours bool, now time.Time) {
	if p.phase == established && now.Sub(p.phaseSince) >= retryPeriod {
		p.failures, p.tries = 0, 0
	}
	p.fell(now)
	p.phase, p.phaseSince = waiting, now
	p.tries++
	if !ours {
		p.failures++
	}
	s.tell(PointDown{p.id, p.relay.Identity, cause})
	switch {
	case p.failures > maxFailures:
		s.failing[p.relay.Identity] = now
		s.remove(p, Failing)
	case p.retired:
		s.remove(p, Failing)
	default:
		p.retryAt = now.Add(s.rand.backoff(p.tries, firstRetry, longestRetry))
	}
}

// fell: its circuit is no more.
func (p *point) fell(now time.Time) {
	if p.phase == established {
		p.down = now
	}
}

// remove forgets a point and closes its circuit.
func (s *Service) remove(p *point, why Reason) {
	if p.phase != waiting {
		s.do(Close{p.id})
	}
	s.points = slices.DeleteFunc(s.points, func(o *point) bool { return o == p })
	if !p.retired && (!p.since.IsZero() || why == Failing || why == Misbehaved) {
		s.tell(PointGone{p.id, p.relay.Identity, why})
	}
}

// retire takes a point out of the descriptors to come. Its circuit stays until no
// directory gives it to clients.
func (s *Service) retire(p *point, why Reason, now time.Time) {
	if p.retired {
		return
	}
	if p.phase != established {
		s.remove(p, why)
		return
	}
	s.tell(PointGone{p.id, p.relay.Identity, why})
	p.retired, p.retireAt = true, now
}

// reviewPoints looks every point's relay up in a new consensus.
func (s *Service) reviewPoints(now time.Time) {
	for _, p := range slices.Clone(s.points) {
		r, ok := s.view.Relays.Find(p.relay.Identity)
		if !ok {
			s.retire(p, Unlisted, now)
			continue
		}
		p.relay, p.kept = r, false
	}
}

// inUse are the points that descriptors list or are to list.
func (s *Service) inUse() (out []*point) {
	for _, p := range s.points {
		if !p.retired {
			out = append(out, p)
		}
	}
	return out
}

func (s *Service) tendPoints(now time.Time) {
	for _, p := range slices.Clone(s.points) {
		s.tendPoint(p, now)
	}
	s.trim(now)
	for id, at := range s.failing {
		if s.due(at.Add(retryPeriod), now) {
			delete(s.failing, id)
			s.pickAt = time.Time{}
		}
	}
	s.pick(now)
	s.launch(now)
}

func (s *Service) tendPoint(p *point, now time.Time) {
	if overdue, queued := s.overdue(p, now); overdue {
		s.do(Close{p.id})
		if queued {
			s.failed(p, ErrQueued, true, now)
		} else {
			s.failed(p, ErrTimeout, false, now)
		}
		if s.point(p.id) == nil {
			return
		}
	}
	switch {
	case p.retired:
	case len(p.seen) >= p.max:
		s.retire(p, Worn, now)
	case s.due(p.expires, now):
		s.retire(p, Aged, now)
	}
}

// trim gives up what is more than enough: circuits that were begun beyond those
// needed when enough are up, and points that the settings do not ask for any more.
func (s *Service) trim(now time.Time) {
	up := 0
	for _, p := range s.inUse() {
		if p.phase == established {
			if up++; up > s.config.Points {
				s.retire(p, Surplus, now)
			}
		}
	}
	if up < s.config.Points {
		return
	}
	for _, p := range s.inUse() {
		if p.phase != established {
			s.remove(p, Surplus)
		}
	}
}

// pick chooses the relays that are missing. A relay is never two points', be it
// that one of them is retired, unless there is no other: then the retired one goes.
func (s *Service) pick(now time.Time) {
	have := len(s.inUse())
	want := s.config.Points
	if have >= want || s.view == nil || !s.publishable() || s.waitsForTurn(now) || !s.due(s.pickAt, now) {
		return
	}
	if have == 0 {
		want += s.view.Params.Extra
	}
	s.noPick = false
	for ; have < want; have++ {
		r, ok := s.view.Relays.Pick(s.taken)
		for !ok && have < s.config.Points && s.dropRetired() {
			r, ok = s.view.Relays.Pick(s.taken)
		}
		if !ok || s.taken(r.Identity) {
			s.noPick = have < s.config.Points
			s.pickAt = now.Add(pickAgain)
			s.due(s.pickAt, now)
			return
		}
		s.points = append(s.points, s.newPoint(r, now))
	}
}

// publishable: are there clients that may find the service?
func (s *Service) publishable() bool { return !s.config.Restricted || len(s.config.Clients) > 0 }

func (s *Service) taken(id netdoc.Digest) bool {
	if _, ok := s.failing[id]; ok {
		return true
	}
	return slices.ContainsFunc(s.points, func(p *point) bool { return p.relay.Identity == id })
}

func (s *Service) dropRetired() bool {
	for _, p := range s.points {
		if p.retired {
			s.remove(p, Surplus)
			return true
		}
	}
	return false
}

// launch asks for the circuits that are missing, within a bound that lets every
// point be tried anew (C tor's get_max_intro_circ_per_period).
func (s *Service) launch(now time.Time) {
	if s.view == nil || s.waitsForTurn(now) {
		return
	}
	if end := s.launches.began.Add(retryPeriod); !now.Before(end) {
		s.launches = window{began: now}
	}
	most := s.config.Points*(1+maxFailures) + s.view.Params.Extra
	for _, p := range s.points {
		if p.phase != waiting || p.kept || !s.due(p.retryAt, now) {
			continue
		}
		if s.launches.count >= most {
			s.due(s.launches.began.Add(retryPeriod), now)
			return
		}
		s.launches.count++
		p.phase, p.phaseSince, p.building = launched, now, false
		s.do(Launch{p.id, p.relay})
		s.due(now.Add(queueTimeout), now)
	}
}

// letGo closes retired points that no directory gives to clients any more, after a
// time for those clients who have them already.
func (s *Service) letGo(now time.Time) {
	for _, p := range s.tooManyRetired(now) {
		s.remove(p, Surplus)
	}
	s.thinRetired()
	for _, p := range slices.Clone(s.points) {
		if !p.retired {
			continue
		}
		// What another node publishes is not known: the point works as long as a descriptor.
		if s.shared != nil || s.listed(p.id) {
			p.unlisted = time.Time{}
		} else if p.unlisted.IsZero() {
			p.unlisted = now
		}
		gone := !p.unlisted.IsZero() && s.due(p.unlisted.Add(linger), now)
		if gone || s.due(p.retireAt.Add(maxRetired), now) || len(p.seen) >= p.max+p.max/4 {
			s.remove(p, Surplus)
		}
	}
}

// thinRetired has no more circuits linger than two sets of points have: what was given up again and
// again is not to pile up. Those that no directory lists go, the oldest first.
func (s *Service) thinRetired() {
	if s.shared != nil {
		return // see tooManyRetired
	}
	retired := slices.DeleteFunc(slices.Clone(s.points), func(p *point) bool { return !p.retired })
	more := len(retired) - 2*s.config.Points
	for _, p := range retired {
		if more > 0 && !s.listed(p.id) {
			s.remove(p, Surplus)
			more--
		}
	}
}
