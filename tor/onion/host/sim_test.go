package host

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

var errSim = errors.New("the network of the test says no")

// simRelay is a relay that may hold introduction points and descriptors.
type simRelay struct {
	Relay
	ed      [32]byte
	listed  bool
	broken  bool // refuses circuits
	holding map[onion.BlindedKey]stored
}

type stored struct {
	revision uint64
	until    time.Time
	intros   [][32]byte // authentication keys, ascending
}

// simPoint is a circuit of the service as the network sees it.
type simPoint struct {
	relay  *simRelay
	up     bool
	body   relaymsg.EstablishIntro
	closed bool
}

// faults are chances of 1000, and how often circuits break.
type faults struct {
	circuit, upload, meeting, lost int
	breakEvery                     time.Duration // mean; 0: never
	unlist                         int           // of a relay, each hour
}

// sim is a network, a clock and a service, and holds the service against what must
// always be so. Everything it knows it has from commands.
type sim struct {
	t       testing.TB
	rng     *rand.Rand
	random  *rand.ChaCha8
	now     time.Time
	queue   simQueue
	faults  faults
	relays  []*simRelay
	network onion.Network

	identity *onion.SecretKey
	keys     Keys
	config   Config
	s        *Service
	stopped  bool

	points    map[PointID]*simPoint
	byAuth    map[[32]byte]PointID
	uploads   map[UploadID]bool
	meetings  map[MeetingID]Meet
	kept      Floors
	revisions map[onion.Period]uint64 // of the last text seen
	launches  []time.Time
	queued    *[]func() // circuits that are not begun; nil: each is at once
	cut       int
	events    []Event
	asked     []Meet // since taken
	told      int    // events looked at by refused
	changed   time.Time
	described int
	texts     map[string]stored // by text: what is in it
	blinded   map[onion.Period]onion.BlindedKey
	doubts    map[[32]byte]bool // directories that once took a descriptor without saying so
	bad       []string
}

type simEvent struct {
	at  time.Time
	seq int
	do  func()
}

type simQueue struct {
	events []simEvent
	seq    int
}

func (q *simQueue) Len() int      { return len(q.events) }
func (q *simQueue) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }
func (q *simQueue) Push(x any)    { q.events = append(q.events, x.(simEvent)) }
func (q *simQueue) Less(i, j int) bool {
	a, b := q.events[i], q.events[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}

func (q *simQueue) Pop() any {
	last := q.events[len(q.events)-1]
	q.events = q.events[:len(q.events)-1]
	return last
}

func newSim(t testing.TB, seed uint64, relays int, config Config) *sim {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	m := &sim{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), random: rand.NewChaCha8(key), now: epoch, config: config,
		points: map[PointID]*simPoint{}, byAuth: map[[32]byte]PointID{}, uploads: map[UploadID]bool{},
		meetings: map[MeetingID]Meet{}, revisions: map[onion.Period]uint64{}, texts: map[string]stored{}, doubts: map[[32]byte]bool{}, blinded: map[onion.Period]onion.BlindedKey{},
	}
	m.identity = onion.SecretKeyOfSeed(sha256.Sum256(key[:]))
	m.keys = NewOnline(m.identity)
	for i := range relays {
		m.relays = append(m.relays, m.newRelay(byte(i+1)))
	}
	m.start(nil)
	m.consensus()
	return m
}

func (m *sim) newRelay(n byte) *simRelay {
	ed := sha256.Sum256([]byte{'e', n})
	priv := sha256.Sum256([]byte{'n', n})
	service, err := handshake.NewHSNtorService([32]byte{}, priv)
	if err != nil {
		m.t.Fatal(err)
	}
	id := netdoc.Digest(ed[:20])
	return &simRelay{
		Relay: Relay{
			Identity: id, OnionKey: service.EncKey(), DoS: n%2 == 0,
			Specs: []cell.LinkSpec{
				{Type: cell.LinkSpecIPv4, Body: []byte{20, 1, 2, n, 0x23, 0x29}},
				{Type: cell.LinkSpecRSA, Body: id[:]},
				cell.Ed25519Spec(ed),
			},
		},
		ed: ed, listed: true, holding: map[onion.BlindedKey]stored{},
	}
}

func (m *sim) start(state []byte) {
	s, err := New(m.identity.Address(), m.keys, m.random, m.config, m.kept, m.now)
	if err != nil {
		m.t.Fatal(err)
	}
	if state != nil {
		if err := s.Restore(state, m.now); err != nil {
			m.t.Fatal(err)
		}
	}
	m.s, m.stopped = s, false
	m.launches = nil
}

// restart stops the service and starts another from what the first left.
func (m *sim) restart(crash bool) {
	state, err := m.s.State()
	if err != nil {
		m.t.Fatal(err)
	}
	if crash {
		state = nil
		m.s.Take()
		for _, p := range m.points {
			p.up, p.closed = false, true
		}
		clear(m.uploads)
		clear(m.meetings)
	} else {
		m.s.Stop()
		m.obey()
	}
	m.points, m.byAuth = map[PointID]*simPoint{}, map[[32]byte]PointID{}
	m.start(state)
	m.s.SetView(m.view(), m.now)
	m.obey()
}

func (m *sim) after(d time.Duration, do func()) {
	m.queue.seq++
	s := m.s
	heap.Push(&m.queue, simEvent{m.now.Add(d), m.queue.seq, func() {
		if s == m.s || s == nil {
			do()
		}
	}})
}

func (m *sim) chance(of1000 int) bool { return m.rng.IntN(1000) < of1000 }

// soon is the time of a circuit: up to some seconds.
func (m *sim) soon() time.Duration { return time.Duration(1+m.rng.IntN(5000)) * time.Millisecond }

// networkAt is the network of a consensus.
func networkAt(valid time.Time) onion.Network {
	sched := onion.Schedule{Voting: time.Hour, Minutes: 1440}
	run := sched.RunStart(valid)
	value := func(at time.Time) *[32]byte {
		v := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(at.Unix())))
		return &v
	}
	return onion.Network{
		Schedule: sched, ValidAfter: valid, Current: value(run), Previous: value(run.Add(-24 * time.Hour)),
		Replicas: 2, SpreadFetch: 3, SpreadStore: 4,
	}
}

// consensus makes a new one each hour, as long as the simulation runs.
func (m *sim) consensus() {
	valid := m.now.Truncate(time.Hour)
	m.network = networkAt(valid)
	for _, r := range m.relays {
		if r.listed {
			r.listed = !m.chance(m.faults.unlist)
		} else {
			r.listed = m.chance(300)
		}
	}
	m.changed = m.now
	m.s.SetView(m.view(), m.now)
	m.obey()
	m.queue.seq++
	heap.Push(&m.queue, simEvent{valid.Add(time.Hour), m.queue.seq, m.consensus})
}

func (m *sim) view() *View {
	var directories [][32]byte
	for _, r := range m.relays {
		if r.listed {
			directories = append(directories, r.ed)
		}
	}
	return &View{
		Network: m.network, Until: m.network.ValidAfter.Add(27 * time.Hour), Relays: (*simRelays)(m),
		Params: ParamsOf(nil),
		Ring:   func(sl onion.Slot) *onion.Ring { return onion.NewRing(sl, directories) },
	}
}

type simRelays sim

func (r *simRelays) Pick(exclude func(netdoc.Digest) bool) (Relay, bool) {
	var fit []Relay
	for _, o := range r.relays {
		if o.listed && !exclude(o.Identity) {
			fit = append(fit, o.Relay)
		}
	}
	if len(fit) == 0 {
		return Relay{}, false
	}
	return fit[r.rng.IntN(len(fit))], true
}

func (r *simRelays) Find(id netdoc.Digest) (Relay, bool) {
	o := (*sim)(r).relay(id)
	return o.Relay, o.listed
}

func (m *sim) relay(id netdoc.Digest) *simRelay {
	i := slices.IndexFunc(m.relays, func(o *simRelay) bool { return o.Identity == id })
	return m.relays[i]
}

func (m *sim) directory(ed [32]byte) *simRelay {
	i := slices.IndexFunc(m.relays, func(o *simRelay) bool { return o.ed == ed })
	return m.relays[i]
}

// run lets time pass.
func (m *sim) run(d time.Duration) {
	m.t.Helper()
	end := m.now.Add(d)
	for !m.stopped {
		at := end
		next := m.s.Next()
		if !next.IsZero() && next.Before(at) {
			at = next
		}
		if m.queue.Len() > 0 && m.queue.events[0].at.Before(at) {
			e := heap.Pop(&m.queue).(simEvent)
			m.now = e.at
			e.do()
			m.obey()
			m.check()
			continue
		}
		if at.Before(m.now) {
			m.complain("wakes in the past: %v before %v", at, m.now)
			at = m.now
		}
		m.now = at
		if at == end {
			break
		}
		m.s.Tick(m.now)
		if next = m.s.Next(); !next.IsZero() && !next.After(m.now) {
			m.complain("wakes at once again at %v", m.now)
			break
		}
		m.obey()
		m.check()
	}
	if len(m.bad) > 0 {
		m.t.Fatalf("after %v:\n%s", m.now.Sub(epoch), m.bad[0])
	}
}

func (m *sim) complain(format string, args ...any) {
	m.bad = append(m.bad, fmt.Sprintf("%v: ", m.now.Sub(epoch))+fmt.Sprintf(format, args...))
}

// obey does what the service asks for.
func (m *sim) obey() {
	for {
		commands := m.s.Take()
		if len(commands) == 0 {
			return
		}
		for _, c := range commands {
			m.one(c)
		}
	}
}

func (m *sim) one(c Command) {
	switch c := c.(type) {
	case Launch:
		m.launch(c)
	case Close:
		p := m.points[c.Point]
		if p == nil || p.closed {
			m.complain("closes a circuit that is none")
			return
		}
		p.up, p.closed = false, true
	case Keep:
		m.kept.Raise(c.Floor)
	case Upload:
		m.upload(c)
	case CancelUpload:
		delete(m.uploads, c.ID)
	case Meet:
		m.meet(c)
	case Abandon:
		if _, ok := m.meetings[c.ID]; !ok {
			m.complain("abandons a meeting that is none")
		}
		delete(m.meetings, c.ID)
	case CutOff:
		m.cut++
	case Told:
		m.events = append(m.events, c.Event)
		switch c.Event.(type) {
		case Described:
			m.described++
			m.changed = m.now
		case PointGone, PointDown, PointUp:
			m.changed = m.now
		}
	}
}

func (m *sim) launch(c Launch) {
	m.launches = append(m.launches, m.now)
	p := &simPoint{relay: m.relay(c.Relay.Identity)}
	m.points[c.Point] = p
	m.inTurn(func() {
		if !p.closed {
			m.s.PointBuilding(c.Point, false, m.now)
			m.build(c, p)
		}
	})
}

func (m *sim) build(c Launch, p *simPoint) {
	r := p.relay
	fail := func(ours bool) {
		if !p.closed {
			p.up, p.closed = false, true
			m.s.PointFailed(c.Point, errSim, ours, m.now)
		}
	}
	switch {
	case m.chance(m.faults.lost): // nothing is ever heard of it
		return
	case r.broken || m.chance(m.faults.circuit):
		ours := m.chance(200) && !r.broken
		m.after(m.soon(), func() { fail(ours) })
		return
	}
	m.after(m.soon(), func() {
		if p.closed {
			return
		}
		kh := [20]byte(sha256.New().Sum(nil))
		body := m.s.Opened(c.Point, kh, m.now)
		if body == nil {
			m.complain("a launched circuit is not wanted, and was not closed")
			return
		}
		established, err := relaymsg.ParseEstablishIntro(body, kh)
		if err != nil {
			m.complain("ESTABLISH_INTRO: %v", err)
			return
		}
		p.body = established
		m.after(m.soon(), func() {
			if p.closed {
				return
			}
			p.up = true
			m.byAuth[established.AuthKey] = c.Point
			if !m.s.Established(c.Point, relaymsg.AppendIntroEstablished(nil), m.now) && !p.closed {
				m.obey()
				if !p.closed {
					m.complain("a circuit is refused and not closed")
				}
			}
			if every := m.faults.breakEvery; every > 0 {
				m.after(time.Duration(m.rng.ExpFloat64()*float64(every)), func() { fail(false) })
			}
		})
	})
}

func (m *sim) upload(c Upload) {
	m.uploads[c.ID] = true
	m.inTurn(func() {
		if m.uploads[c.ID] {
			m.s.UploadBuilding(c.ID, false, m.now)
			m.store(c)
		}
	})
}

func (m *sim) store(c Upload) {
	d := m.directory(c.Directory)
	in := m.read(c)
	blinded := m.blind(c.Period)
	end := func(cause error) func() {
		return func() {
			if m.uploads[c.ID] {
				delete(m.uploads, c.ID)
				m.s.Uploaded(c.ID, cause, m.now)
			}
		}
	}
	switch {
	case m.chance(m.faults.lost):
	case m.chance(m.faults.upload):
		// It may have come to the directory nevertheless.
		if m.chance(300) {
			in.until = m.now.Add(descriptor.DefaultLifetime)
			d.holding[blinded] = in
			m.doubts[c.Directory] = true
		}
		m.after(m.soon(), end(errSim))
	default:
		m.after(m.soon(), func() {
			if !m.uploads[c.ID] {
				return
			}
			if had := d.holding[blinded]; had.revision >= in.revision {
				if !m.doubts[c.Directory] {
					m.complain("a directory is sent revision %d after %d", in.revision, had.revision)
				}
				end(ErrRefused)()
				return
			}
			in.until = m.now.Add(descriptor.DefaultLifetime)
			d.holding[blinded] = in
			end(nil)()
		})
	}
}

// read opens a text as a client does, and checks it.
func (m *sim) read(c Upload) stored {
	if in, ok := m.texts[string(c.Text)]; ok {
		return in
	}
	address := m.identity.Address()
	blinded := m.blind(c.Period)
	sealed, err := descriptor.Open(c.Text, blinded, m.now)
	if err != nil {
		m.complain("descriptor: %v", err)
		return stored{}
	}
	in := stored{revision: sealed.Revision}
	if sealed.Revision <= m.revisions[c.Period] {
		m.complain("revision %d is not above %d", sealed.Revision, m.revisions[c.Period])
	}
	if m.kept.of(c.Period) != sealed.Revision {
		m.complain("revision %d is sent, %d is kept", sealed.Revision, m.kept.of(c.Period))
	}
	m.revisions[c.Period] = sealed.Revision
	d, err := sealed.Decrypt(address.Subcredential(blinded), m.client(), m.now)
	if err != nil {
		m.complain("descriptor: %v", err)
		return in
	}
	if d.Refused > 0 || len(d.Intros) == 0 || len(d.Intros) > m.config.Points {
		m.complain("descriptor with %d introduction points, %d refused, want up to %d", len(d.Intros), d.Refused, m.config.Points)
	}
	relays := map[*simRelay]bool{}
	for _, ip := range d.Intros {
		p := m.points[m.byAuth[ip.AuthKey]]
		if p == nil {
			m.complain("a descriptor lists a point that never was up")
			continue
		}
		if relays[p.relay] {
			m.complain("a descriptor lists a relay twice")
		}
		relays[p.relay] = true
		if !p.up && p.closed && m.faults == (faults{}) {
			m.complain("a stale descriptor: it lists a point that is closed")
		}
		in.intros = append(in.intros, ip.AuthKey)
	}
	slices.SortFunc(in.intros, compareKeys)
	m.texts[string(c.Text)] = in
	return in
}

// client is an authorised client's private key, if there are any.
func (m *sim) client() *[32]byte {
	if !m.config.Restricted {
		return nil
	}
	private := clientKey(0)
	return &private
}

func clientKey(n byte) [32]byte { return sha256.Sum256([]byte{'c', n}) }

func clientPublic(n byte) [32]byte {
	s, err := handshake.NewHSNtorService([32]byte{}, clientKey(n))
	if err != nil {
		panic(err)
	}
	return s.EncKey()
}

func (m *sim) meet(c Meet) {
	m.meetings[c.ID] = c
	m.asked = append(m.asked, c)
	m.inTurn(func() { m.s.MeetingBuilding(c.ID, false, m.now) })
	if m.chance(m.faults.lost) {
		return
	}
	fails := m.chance(m.faults.meeting)
	m.after(m.soon(), func() {
		if _, ok := m.meetings[c.ID]; !ok {
			return
		}
		delete(m.meetings, c.ID)
		if fails {
			m.s.MeetingFailed(c.ID, errSim, m.now)
		} else {
			m.s.Met(c.ID, m.now)
		}
	})
}

// blind is the service's key of a period.
func (m *sim) blind(p onion.Period) onion.BlindedKey {
	if k, ok := m.blinded[p]; ok {
		return k
	}
	k, err := m.identity.Address().Blind(p)
	if err != nil {
		m.t.Fatal(err)
	}
	m.blinded[p] = k
	return k
}
