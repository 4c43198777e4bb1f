package host

import (
	"errors"
	"fmt"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

const (
	meetTimeout = 30 * time.Second // C tor's MAX_REND_TIMEOUT

	// maxMeetings are asked for and not yet met. C tor has no bound; what one costs is a circuit,
	// and those whose last relay does not answer keep no others from being built.
	maxMeetings = 1024

	// maxUnbegun of them have a circuit that waits to be built. More would wait for longer only.
	maxUnbegun = 128

	// meetPatience is what each of so many has, from when its circuit is begun, while others
	// wait: clients can name rendezvous points that never answer, and who cannot be met must not
	// keep out who can.
	meetPatience = 5 * time.Second
)

// Why a request is not answered.
var (
	ErrReplay    = errors.New("introduction seen before")
	ErrAuthKey   = errors.New("introduction with a key that is not the point's")
	ErrCrowded   = errors.New("more introductions than can be answered")
	ErrAbandoned = errors.New("not met in time")
	ErrGaveWay   = fmt.Errorf("%w: it gave way to who waits", ErrAbandoned)
)

// request is one that waits.
type request struct {
	hs         *handshake.HSNtorRequest
	rendezvous *relaymsg.Request
	point      relaymsg.Point
}

// meeting is one under way.
type meeting struct {
	ask      Meet
	building bool      // its circuit is, or is there
	since    time.Time // if so
}

// bucket lets rate a second through, and a burst.
type bucket struct {
	tokens float64
	at     time.Time
}

// setWork makes gate and queue as the settings say.
func (s *Service) setWork(now time.Time) error {
	waiting := s.queue
	if s.config.PoW == nil {
		s.gate, s.queue, s.bucket = nil, pow.NewQueue[*request](0, 0), bucket{}
	} else {
		gate, err := s.newGate(now)
		if err != nil {
			return err
		}
		s.gate, s.queue = gate, pow.NewQueue[*request](s.config.PoW.Rate, s.config.PoW.Burst)
		s.bucket = bucket{tokens: float64(s.config.PoW.Burst), at: now}
		s.effortAt = now.Add(s.config.PoW.period())
	}
	for waiting != nil {
		r, effort, _, ok := waiting.Pop(0, now)
		if !ok {
			break
		}
		s.queue.Push(r, effort, now)
	}
	return nil
}

// drain forgets who waits.
func (s *Service) drain(now time.Time) {
	for {
		if _, _, _, ok := s.queue.Pop(0, now); !ok {
			return
		}
	}
}

func (s *Service) abandonAll() {
	for _, id := range sortedKeys(s.meetings) {
		s.do(Abandon{id})
	}
	clear(s.meetings)
}

// Introduce2 takes a client's request from a point's circuit. false: the relay
// broke the protocol, and its circuit is closed. What only a client can have done
// wrong is ignored, as the relay could not see it.
func (s *Service) Introduce2(id PointID, data []byte, now time.Time) bool {
	p := s.point(id)
	if p == nil {
		return false
	}
	if p.phase != established {
		s.misbehaved(p, now)
		return false
	}
	m, err := relaymsg.ParseIntroduce2(data)
	if err == nil && m.AuthKey != p.authKey() {
		s.tell(Refused{p.id, ErrAuthKey})
		s.misbehaved(p, now)
		return false
	}
	if err == nil {
		err = s.introduce(p, m, now)
	}
	if err != nil {
		s.tell(Refused{p.id, err})
	}
	s.settle(now)
	return s.point(id) != nil
}

func (s *Service) introduce(p *point, m relaymsg.Introduce2, now time.Time) error {
	known := s.credentials()
	subcredentials := make([][32]byte, len(known))
	for i, c := range known {
		subcredentials[i] = c.subcredential
	}
	opened, err := p.ntor.Open(subcredentials, m.Header, m.Encrypted)
	if err != nil {
		return err
	}
	// Only what opened is remembered, so nobody else can fill the memory.
	t := tagOf(m.Encrypted)
	if _, ok := p.seen[t]; ok {
		return ErrReplay
	}
	p.seen[t] = struct{}{}
	r, err := relaymsg.ParseRequest(opened.Plaintext)
	if err != nil {
		return err
	}
	point, ok := relaymsg.PointOf(r.Specs, r.OnionKey, s.view.AllowPrivate)
	if !ok {
		return fmt.Errorf("rendezvous point: %w", relaymsg.ErrMalformed)
	}
	if !s.cookies.add(r.Cookie, now) {
		return fmt.Errorf("%w: its rendezvous cookie was", ErrReplay)
	}
	effort, err := s.effortOf(r, known[opened.Subcredential].blinded)
	if err != nil {
		return err
	}
	if s.visit(t) {
		s.tell(Visited{p.id})
		s.meet(&request{opened, r, point}, effort, true, now)
		return nil
	}
	for range s.queue.Push(&request{opened, r, point}, effort, now) {
		s.tell(Refused{p.id, ErrCrowded})
	}
	return nil
}

// credentials are those whose descriptors clients may have read: of the slots, of the
// one before, and of masters.
func (s *Service) credentials() (out []*credential) {
	for _, sl := range s.slots {
		out = append(out, &sl.credential)
	}
	if s.past != nil {
		out = append(out, s.past)
	}
	return append(out, s.masters...)
}

// effortOf checks the proof of work. A request without one is worth nothing; a
// wrong one is refused.
func (s *Service) effortOf(r *relaymsg.Request, blinded onion.BlindedKey) (uint32, error) {
	body, ok := r.Extension(relaymsg.ExtProofOfWork)
	if s.gate == nil || !ok {
		return 0, nil
	}
	proof, err := pow.ParseProof(body)
	if err != nil {
		return 0, err
	}
	return proof.Effort, s.gate.Verify(blinded, &proof)
}

// tendMeetings gives up what took too long and begins what is next.
func (s *Service) tendMeetings(now time.Time) {
	s.abandonLate(now)
	for s.queue.Len() > 0 && s.unbegun() < maxUnbegun && s.allowed(now) {
		var gives *meeting // way, to the next
		if len(s.meetings) >= maxMeetings {
			if gives = s.stalled(now); gives == nil {
				return
			}
		}
		r, effort, late, ok := s.queue.Pop(len(s.meetings), now)
		for range late {
			s.tell(Refused{0, ErrCrowded})
		}
		if !ok {
			return // a meeting that ends looks again
		}
		if gives != nil {
			delete(s.meetings, gives.ask.ID)
			s.tell(MeetingLost{gives.ask.ID, ErrGaveWay, gives.ask.Visit})
			s.do(Abandon{gives.ask.ID})
		}
		s.spend()
		s.meet(r, effort, false, now)
	}
}

// abandonLate gives up what was not met in time.
func (s *Service) abandonLate(now time.Time) {
	var first time.Time
	for _, m := range s.meetings {
		if first.IsZero() || m.ask.Deadline.Before(first) {
			first = m.ask.Deadline
		}
	}
	if first.IsZero() || !s.due(first, now) {
		return
	}
	for _, id := range sortedKeys(s.meetings) {
		if s.due(s.meetings[id].ask.Deadline, now) {
			s.tell(MeetingLost{id, ErrAbandoned, s.meetings[id].ask.Visit})
			delete(s.meetings, id)
			s.do(Abandon{id})
		}
	}
}

// unbegun is how many meetings wait for their circuits to be built.
func (s *Service) unbegun() (n int) {
	for _, m := range s.meetings {
		if !m.building {
			n++
		}
	}
	return n
}

// MeetingBuilding says that the circuit of a meeting is being built from now on; with waits,
// that another will be in its stead, and waits for that.
func (s *Service) MeetingBuilding(id MeetingID, waits bool, now time.Time) {
	if m := s.meetings[id]; m != nil {
		m.building, m.since = !waits, now
		s.settle(now)
	}
}

// stalled is the meeting that gives way if one has to: of those that had their time the one
// of least effort, and of these the oldest. The host's own visit stays: others would have
// it say that clients are not met. nil: none had its time yet; it is looked again then.
func (s *Service) stalled(now time.Time) (m *meeting) {
	for _, id := range sortedKeys(s.meetings) { // the oldest first
		other := s.meetings[id]
		if other.ask.Visit || !other.building || m != nil && m.ask.Effort <= other.ask.Effort {
			continue
		}
		if s.due(other.since.Add(meetPatience), now) {
			m = other
		}
	}
	return m
}

// allowed: does the rate permit another?
func (s *Service) allowed(now time.Time) bool {
	if s.config.PoW == nil || s.config.PoW.Rate == 0 {
		return true
	}
	rate := float64(s.config.PoW.Rate)
	passed := max(now.Sub(s.bucket.at), 0).Seconds()
	s.bucket.tokens = min(s.bucket.tokens+passed*rate, float64(s.config.PoW.Burst))
	s.bucket.at = now
	if s.bucket.tokens >= 1 {
		return true
	}
	missing := time.Duration((1 - s.bucket.tokens) / rate * float64(time.Second))
	return s.due(now.Add(missing+time.Millisecond), now)
}

func (s *Service) spend() {
	if s.config.PoW != nil && s.config.PoW.Rate > 0 {
		s.bucket.tokens--
	}
}

func (s *Service) meet(r *request, effort uint32, visit bool, now time.Time) {
	id := MeetingID(s.newID())
	info, keys, err := r.hs.Reply(s.rand)
	if err != nil {
		s.tell(MeetingLost{id, err, visit})
		return
	}
	message, err := relaymsg.AppendRendezvous1(nil, s.rand, r.rendezvous.Cookie, info)
	if err != nil {
		s.tell(MeetingLost{id, err, visit})
		return
	}
	_, cc := r.rendezvous.Extension(relaymsg.ExtCongestionControl)
	m := &meeting{ask: Meet{
		ID: id, Point: r.point, Message: message, Keys: keys,
		CongestionControl: cc && s.view != nil && s.view.FlowControl != nil,
		Effort:            effort, Attempt: 1, Deadline: now.Add(meetTimeout), Visit: visit,
	}}
	s.meetings[id] = m
	s.do(m.ask)
	s.due(m.ask.Deadline, now)
}

// Met says that RENDEZVOUS1 was sent.
func (s *Service) Met(id MeetingID, now time.Time) {
	delete(s.meetings, id)
	s.settle(now)
}

// MeetingFailed says that the rendezvous point was not reached. It is tried again
// as often as the consensus allows and time is left.
func (s *Service) MeetingFailed(id MeetingID, cause error, now time.Time) {
	m, ok := s.meetings[id]
	if !ok {
		return
	}
	if s.view != nil && m.ask.Attempt < s.view.Params.Attempts && now.Before(m.ask.Deadline) {
		m.ask.Attempt++
		m.building = false
		s.do(m.ask)
	} else {
		delete(s.meetings, id)
		s.tell(MeetingLost{id, cause, m.ask.Visit})
	}
	s.settle(now)
}
