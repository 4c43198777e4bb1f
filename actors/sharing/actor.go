package sharing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/config/logging"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion/share"
)

// Options is what the actor is made of.
type Options struct {
	Fleet, Node string
	Port        messages.SharePort
	Hosting     *actor.PID // is sent a hosting.Role for each service, or who passes it on
	Recorder    *messages.Recorder
	Log         *slog.Logger
	Now         func() time.Time
	Rand        io.Reader // of the system
	Timing      share.Timing
}

// Messages of the actor to itself.
type (
	tick      struct{}
	leaseRead struct {
		part  *part
		entry messages.ShareEntry
		err   error
	}
	membersRead struct {
		part    *part
		entries []messages.ShareEntry
	}
	wrote struct {
		part   *part
		id     uint64
		number uint64
		err    error
	}
	heard struct {
		part  *part
		entry messages.ShareEntry
	}
)

// part is one service.
type part struct {
	dir, id string
	keys    share.Keys
	tag     string
	machine *share.Machine
	stop    func()               // of what is heard
	value   []byte               // of the lease, as this node wrote it last
	failing time.Time            // since when the lease cannot be read; zero: it can
	refused time.Time            // since when nothing that this node writes is stored; zero: it is
	role    *share.Role          // the last
	unknown bool                 // it was told that nobody is known to publish
	number  uint64               // of the lease as it was read last
	warned  map[string]time.Time // by what the operator was told
	leaving bool                 // the node takes part no more, and others are to know first
	parted  bool                 // they do
	ended   bool
	until   time.Time // of the last right to publish
}

type sharing struct {
	o     Options
	began time.Time
	parts map[string]*part // by folder
	timer *kernel.Timer
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return &sharing{o: o, began: o.Now(), parts: map[string]*part{}} })
}

// Receive is the actor's table of messages.
func (s *sharing) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Stopping:
		s.timer.Stop()
		for _, p := range s.parts {
			s.end(ctx, p)
		}
		return
	case *hosting.Shared:
		s.shared(ctx, m)
	case *hosting.Unshared:
		s.leave(ctx, m.Service)
	case *leaseRead:
		s.leaseRead(ctx, m)
	case *membersRead:
		for _, e := range m.entries {
			s.member(m.part, e, m.part.machine.MemberRead)
		}
	case *wrote:
		if errors.Is(m.err, messages.ErrShareConflict) {
			m.err = share.ErrConflict
		}
		s.stored(ctx, m)
		m.part.machine.Wrote(m.id, m.number, m.err, s.moment())
	case *heard:
		s.heard(m)
	case *tick:
		now := s.moment()
		for _, p := range s.parts {
			if next := p.machine.Next(); next <= now.Mono {
				p.machine.Tick(now)
			}
		}
	default:
		return
	}
	for _, p := range s.parts {
		s.perform(ctx, p)
	}
	s.bury(ctx)
	s.rest(ctx)
}

// moment is now on both clocks. The machine's count from the actor's start.
func (s *sharing) moment() share.Moment {
	now := s.o.Now()
	return share.Moment{Mono: now.Sub(s.began), Wall: now.Round(0)}
}

// rest sets the timer for the next deadline of any service.
func (s *sharing) rest(ctx actor.Context) {
	s.timer.Stop()
	var next time.Duration
	for _, p := range s.parts {
		if at := p.machine.Next(); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next != 0 {
		s.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), next-s.moment().Mono, &tick{})
	}
}

// shared takes what the node brings to a service, and takes the service up if it is new.
func (s *sharing) shared(ctx actor.Context, m *hosting.Shared) {
	p := s.parts[m.Service]
	if p != nil && (p.id != m.ID || p.leaving) { // another one in the same folder, or one that comes back
		s.end(ctx, p)
		p = nil
	}
	if p == nil {
		var run share.Instance
		if _, err := io.ReadFull(s.o.Rand, run[:]); err != nil {
			panic(err) // nothing made without it could be trusted
		}
		p = &part{dir: m.Service, id: m.ID, keys: share.NewKeys(m.Secret), warned: map[string]time.Time{}}
		p.tag = p.keys.Tag(s.o.Fleet)
		p.machine = share.New(s.o.Node, run, s.o.Timing, s.moment())
		s.parts[m.Service] = p
		s.listen(ctx, p)
	}
	p.machine.SetOwn(share.Own{Points: m.Points, Used: m.Published, Stored: m.Stored}, s.moment())
}

// listen has the actor told of what others write. What is not heard is read, later.
func (s *sharing) listen(ctx actor.Context, p *part) {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	stop, err := s.o.Port.ShareWatch(p.tag, func(e messages.ShareEntry) { root.Send(self, &heard{p, e}) })
	if err != nil {
		s.o.Log.Warn("other nodes of a shared onion service are not heard", "folder", p.dir, "err", err)
		return
	}
	p.stop = stop
}

// leave has the node end its part in a service in order.
func (s *sharing) leave(ctx actor.Context, folder string) {
	p := s.parts[folder]
	if p == nil {
		ctx.Send(s.o.Hosting, &hosting.Parted{Service: folder})
		return
	}
	p.leaving = true
	p.machine.Leave(s.moment())
}

// bury forgets services that the node has left.
func (s *sharing) bury(ctx actor.Context) {
	for folder, p := range s.parts {
		if p.parted {
			s.end(ctx, p)
			delete(s.parts, folder)
			ctx.Send(s.o.Hosting, &hosting.Parted{Service: folder})
		}
	}
}

// end takes no part in a service any more, at once.
func (s *sharing) end(ctx actor.Context, p *part) {
	p.machine.Leave(s.moment())
	s.perform(ctx, p)
	p.ended = true
	if p.stop != nil {
		p.stop()
	}
}

// leaseRead gives the machine what was read, if it is the work of somebody with the key.
func (s *sharing) leaseRead(ctx actor.Context, m *leaseRead) {
	p, now := m.part, s.moment()
	if m.err != nil {
		if p.failing.IsZero() {
			p.failing = s.o.Now()
		}
		if s.o.Now().Sub(p.failing) >= failsFor {
			s.warn(p, unsaid, m.err)
		}
		p.machine.ReadFailed(now)
		return
	}
	s.saying(p)
	l := s.opened(p, m.entry.Value, now)
	news := m.entry.Number != p.number
	if news { // somebody's was stored
		p.number = m.entry.Number
		s.storing(p)
	}
	p.machine.LeaseRead(l, m.entry.Number, now)
	s.perform(ctx, p)
	if p.unknown && news && l != nil { // and the machine had no more to tell
		p.unknown = false
		s.assign(ctx, p, p.role)
		s.publisher(p, p.role.Holder)
	}
}

// opened is a lease that was read; nil: there is none, or none that somebody with the key made.
func (s *sharing) opened(p *part, value []byte, now share.Moment) *share.Lease {
	if value == nil {
		return nil
	}
	l, err := p.keys.OpenLease(s.o.Fleet, p.tag, value, now.Wall)
	if err != nil {
		s.warn(p, unusable, err)
		return nil
	}
	return &l
}

// stored: a lease was written, or not. Servers that have lost most of their number can be read
// and store nothing: what they say of a publisher is old then.
func (s *sharing) stored(ctx actor.Context, m *wrote) {
	p := m.part
	if m.err == nil {
		p.number = m.number
		s.saying(p) // that this node does
	}
	if m.err == nil || errors.Is(m.err, share.ErrConflict) {
		s.storing(p)
		return
	}
	if p.refused.IsZero() {
		p.refused = s.o.Now()
	}
	if !p.cutOff(s.o.Now()) {
		return
	}
	s.warn(p, unstored, m.err)
	if p.role != nil && p.role.Holder != "" && !p.unknown {
		p.unknown = true
		s.assign(ctx, p, p.role)
		s.publisher(p, "")
	}
}

// storing: the servers store what nodes write.
func (s *sharing) storing(p *part) {
	p.refused = time.Time{}
	s.over(p, unstored, "the fleet's servers store again what is said of a shared onion service")
}

// saying: who publishes is known.
func (s *sharing) saying(p *part) {
	p.failing = time.Time{}
	s.over(p, unsaid, "the fleet says again who publishes a shared onion service")
}

// publisher tells who publishes, "": nobody is known to.
func (s *sharing) publisher(p *part, node string) {
	s.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_HOSTING, p.id, &chivev1.HostingPublisherChanged{Epoch: p.role.Epoch, Publisher: node}))
}

// cutOff: for so long that nothing is known of who publishes.
func (p *part) cutOff(now time.Time) bool {
	return !p.refused.IsZero() && now.Sub(p.refused) >= failsFor
}

// heard takes what somebody wrote: members are believed, the lease is read.
func (s *sharing) heard(m *heard) {
	p := m.part
	if m.entry.Key == share.LeaseKey(p.tag) {
		if p.value == nil || !bytes.Equal(m.entry.Value, p.value) {
			p.machine.Written(s.moment())
		}
		return
	}
	s.member(p, m.entry, p.machine.MemberHeard)
}

func (s *sharing) member(p *part, e messages.ShareEntry, take func(share.Member, share.Moment)) {
	node, ok := share.NodeOf(p.tag, e.Key)
	if !ok || node == s.o.Node {
		return
	}
	now := s.moment()
	if e.Value == nil {
		p.machine.MemberGone(node, now)
		return
	}
	m, err := p.keys.OpenMember(s.o.Fleet, p.tag, node, e.Value, now.Wall)
	if err != nil {
		s.warn(p, unusable, err)
		return
	}
	take(m, now)
}

const (
	// warnEvery is how often the operator hears of the same: somebody may write what
	// cannot be used all the time.
	warnEvery = 10 * time.Minute
	// failsFor is how long the lease cannot be read before he does: servers start, too.
	failsFor = 30 * time.Second
	unsaid   = "the fleet does not say who publishes a shared onion service"
	unstored = "the fleet's servers store nothing: nobody may publish a shared onion service until they do"
	unusable = "what is stored in the fleet for a shared onion service cannot be used"
)

func (s *sharing) warn(p *part, what string, err error) {
	now := s.o.Now()
	if last, told := p.warned[what]; told && now.Sub(last) < warnEvery {
		return
	}
	p.warned[what] = now
	s.o.Log.Warn(what, "folder", p.dir, "err", err)
}

// over tells who was warned that it is over; the next time he is warned at once.
func (s *sharing) over(p *part, what, now string) {
	if _, told := p.warned[what]; !told {
		return
	}
	delete(p.warned, what)
	s.o.Log.Log(context.Background(), logging.LevelNotice, now, "folder", p.dir)
}

// perform does what the machine says.
func (s *sharing) perform(ctx actor.Context, p *part) {
	if p.ended {
		return
	}
	for commands := p.machine.Take(); len(commands) > 0; commands = p.machine.Take() {
		for _, c := range commands {
			s.do(ctx, p, c)
		}
	}
}

func (s *sharing) do(ctx actor.Context, p *part, c share.Command) {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	switch c := c.(type) {
	case share.WriteLease:
		value, err := p.keys.SealLease(s.o.Rand, s.o.Fleet, p.tag, &c.Lease)
		if err != nil {
			ctx.Send(self, &wrote{p, c.ID, 0, err})
			return
		}
		p.value = value
		s.o.Port.ShareWrite(share.LeaseKey(p.tag), value, c.Expect, func(number uint64, err error) { root.Send(self, &wrote{p, c.ID, number, err}) })
	case share.WriteMember:
		value, err := p.keys.SealMember(s.o.Rand, s.o.Fleet, p.tag, &c.Member)
		if err != nil {
			s.o.Log.Warn("the introduction points of a shared onion service cannot be told", "folder", p.dir, "err", err)
			return
		}
		s.o.Port.SharePut(share.MemberKey(p.tag, s.o.Node), value)
	case share.Withdraw:
		s.o.Port.SharePut(share.MemberKey(p.tag, s.o.Node), nil)
	case share.ReadLease:
		s.o.Port.ShareRead(share.LeaseKey(p.tag), func(e messages.ShareEntry, err error) { root.Send(self, &leaseRead{p, e, err}) })
	case share.ReadMembers:
		s.o.Port.ShareList(p.tag, func(all []messages.ShareEntry, err error) {
			if err == nil { // else they are read again soon
				root.Send(self, &membersRead{p, all})
			}
		})
	case share.Parted:
		p.parted = true
	case share.SetRole:
		s.assign(ctx, p, &c.Role)
	case share.Told:
		s.told(p, c.Event)
	}
}

// assign tells the service what the node is to do.
func (s *sharing) assign(ctx actor.Context, p *part, r *share.Role) {
	m := &hosting.Role{
		Service: p.dir, Name: p.tag, Publish: r.Publish, Epoch: r.Epoch, Floor: r.Floor, Ceiling: r.Ceiling, Publisher: r.Holder,
		Others: make([]hosting.SharedPoint, len(r.Others)),
	}
	p.role = r
	if !r.Publish && p.unknown {
		m.Publisher = ""
	}
	if r.Publish {
		now := s.o.Now()
		m.Until = now.Add(r.Until - now.Sub(s.began)) // by both clocks
		p.until = m.Until
	}
	for i, o := range r.Others {
		m.Others[i] = hosting.SharedPoint{Node: o.Node, Point: o.Point}
	}
	ctx.Send(s.o.Hosting, m)
}

// told emits what the machine tells.
func (s *sharing) told(p *part, e share.Event) {
	const kind = chivev1.Kind_KIND_HOSTING
	switch e := e.(type) {
	case share.Taken:
		p.unknown = false
		s.o.Recorder.Emit(messages.Event(kind, p.id, &chivev1.HostingLeaseTaken{Epoch: e.Epoch, From: e.From}))
	case share.Lost:
		now := s.o.Now()
		ago := max(now.Sub(p.until), now.Round(0).Sub(p.until.Round(0)), 0)
		s.o.Recorder.Emit(messages.Event(kind, p.id, &chivev1.HostingLeaseLost{Epoch: e.Epoch, Reason: e.Reason, Ago: messages.Took(ago)}))
	case share.Refused:
		s.o.Recorder.Emit(messages.Event(kind, p.id, &chivev1.HostingLeaseRefused{Epoch: e.Epoch}))
	case share.Changed:
		p.unknown = false
		s.o.Recorder.Emit(messages.Event(kind, p.id, &chivev1.HostingPublisherChanged{Epoch: e.Epoch, Publisher: e.Holder}))
	case share.Members:
		s.o.Recorder.Emit(messages.Event(kind, p.id, &chivev1.HostingMembersChanged{Nodes: uint32(e.Nodes), Points: uint32(e.Points)}))
	}
}
