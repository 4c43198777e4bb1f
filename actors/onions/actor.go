package onions

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/tor/onion"
	"chive/tor/onion/client"
)

// Options is what the actor is made of.
type Options struct {
	Circuits *actor.PID // or who passes on what is for the circuits
	Fetch    Fetch
	Recorder *messages.Recorder
	Now      func() time.Time
	Rand     func() *rand.Rand // a new source, seeded by the system
	Settings Settings          // until a Configure
}

// Fetch asks a directory, at the end of a circuit that its owner calls token, for the
// descriptor of a blinded key. ErrNone: it has none.
type Fetch func(ctx context.Context, owner *actor.PID, token uint64, blinded onion.BlindedKey, directory netip.AddrPort) ([]byte, error)

// Settings is what the configuration says.
type Settings struct {
	AllowPrivate bool                       // ExtendAllowPrivateAddresses
	Testing      bool                       // TestingTorNetwork
	Keys         map[onion.Address][32]byte // ClientOnionAuthDir; read-only
}

type (
	// Configure changes the settings, at once.
	Configure struct{ Settings Settings }
	// Forget drops the descriptors, and what is known of directories and introduction points:
	// a service that gave each who asked another could know him again by it (C tor's NEWNYM).
	Forget struct{}

	// idle tells that a service's actor has nothing to do and nothing to remember.
	idle struct{ name string }
)

// maxServices bounds the services of which something is remembered.
const maxServices = 2048

// service is one as the supervising actor knows it.
type service struct {
	name     string // of its actor; random, for one boot
	address  onion.Address
	meetings map[string]bool
	used     time.Time
}

type onions struct {
	o        Options
	children *supervisor.Children
	byName   map[string]*service
	services map[onion.Address]*service
	network  *network // nil: none is known yet
	turns    *Turns
}

// network is what all services share of a view.
type network struct {
	*circuits.OnionNetwork
	view *client.View
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor {
		s := &onions{o: o, byName: map[string]*service{}, services: map[onion.Address]*service{}, turns: &Turns{}}
		var err error
		s.children, err = supervisor.NewChildren(supervisor.Options{
			Strategy: supervisor.Service(), OnChange: s.changed, OnSpawn: s.spawned, Rand: o.Rand(), Now: o.Now,
		})
		if err != nil {
			panic(err)
		}
		return s
	})
}

// Receive is the actor's table of messages.
func (s *onions) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*kernel.ChildFailed); ok {
		s.childFailed(ctx, m)
	}
	if s.children.Receive(ctx) {
		return
	}
	switch m := ctx.Message().(type) {
	case *circuits.Meet:
		s.meet(ctx, m)
	case *circuits.NoMeet:
		if sv := s.services[m.Address]; sv != nil {
			delete(sv.meetings, m.Meeting)
			_ = s.children.Pass(ctx, sv.name, m) // one that is started anew knows of no meeting
		}
	case *circuits.Met, *circuits.NotMet:
		s.answered(ctx, m)
	case *circuits.OnionNetwork:
		s.updated(ctx, m)
	case *Configure:
		s.configure(ctx, m.Settings)
	case *Forget:
		s.tell(ctx, m)
	case *idle:
		if sv := s.byName[m.name]; sv != nil && len(sv.meetings) == 0 {
			s.forget(ctx, sv)
		}
	}
}

func (s *onions) meet(ctx actor.Context, m *circuits.Meet) {
	sv := s.services[m.Address]
	if sv == nil {
		if sv = s.remember(ctx, m.Address); sv == nil {
			ctx.Send(s.o.Circuits, &circuits.NotMet{Meeting: m.Meeting, Outcome: chivev1.Outcome_OUTCOME_OVERLOADED})
			return
		}
	}
	sv.used = s.o.Now()
	sv.meetings[m.Meeting] = true
	if s.children.Pass(ctx, sv.name, m) != nil {
		s.answered(ctx, &circuits.NotMet{Meeting: m.Meeting, Outcome: chivev1.Outcome_OUTCOME_BACKOFF})
	}
}

// remember starts the actor of a service; nil: there are too many.
func (s *onions) remember(ctx actor.Context, a onion.Address) *service {
	if len(s.services) >= maxServices && !s.makeRoom(ctx) {
		return nil
	}
	sv := &service{name: messages.RandomID(), address: a, meetings: map[string]bool{}}
	s.services[a], s.byName[sv.name] = sv, sv
	s.children.Supervise(ctx, supervisor.Supervise{Name: sv.name, Props: func() *actor.Props { return s.props(sv) }})
	return sv
}

// makeRoom forgets the service that nobody has wanted for longest.
func (s *onions) makeRoom(ctx actor.Context) bool {
	var oldest *service
	for _, sv := range s.services {
		if len(sv.meetings) == 0 && (oldest == nil || sv.used.Before(oldest.used)) {
			oldest = sv
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(ctx, oldest)
	return true
}

func (s *onions) forget(ctx actor.Context, sv *service) {
	delete(s.services, sv.address)
	delete(s.byName, sv.name)
	s.children.Forget(ctx, sv.name)
}

// answered passes on how a meeting ended.
func (s *onions) answered(ctx actor.Context, m any) {
	var id string
	switch m := m.(type) {
	case *circuits.Met:
		id = m.Meeting
	case *circuits.NotMet:
		id = m.Meeting
	}
	for _, sv := range s.services {
		delete(sv.meetings, id)
	}
	ctx.Send(s.o.Circuits, m)
}

// childFailed ends the meetings of a service whose actor panicked, and its circuits.
func (s *onions) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	ctx.Send(s.o.Circuits, &circuits.Orphaned{Owner: m.PID})
	for _, sv := range s.services {
		pid := s.children.PID(sv.name)
		if pid == nil || !pid.Equal(m.PID) {
			continue
		}
		s.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_ONION, sv.name, &chivev1.ActorFailed{Reason: m.Site(), Restarted: true}))
		for id := range sv.meetings {
			ctx.Send(s.o.Circuits, &circuits.NotMet{Meeting: id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL})
		}
		clear(sv.meetings)
	}
}

func (s *onions) changed(c supervisor.StateChanged) {
	if c.Err == nil {
		return // it was forgotten
	}
	s.o.Recorder.Emit(c.Event(c.Child, c.Kind+"/"+c.Child, chivev1.Outcome_OUTCOME_INTERNAL))
}

// spawned tells a service's actor what the network looks like.
func (s *onions) spawned(ctx actor.Context, _ string, pid *actor.PID) {
	if s.network != nil {
		ctx.Send(pid, s.network)
	}
}

func (s *onions) updated(ctx actor.Context, m *circuits.OnionNetwork) {
	s.network = &network{m, ViewOf(m, s.o.Settings.Testing)}
	s.tell(ctx, s.network)
}

// ViewOf is what a view of the network says to a client.
func ViewOf(m *circuits.OnionNetwork, testing bool) *client.View {
	n := onion.NewNetwork(m.Consensus, testing)
	return &client.View{
		Network: n, Ring: m.Ring(n.Fetch()), SendmeIncrement: m.Increment,
		// The user's rules for relays hold for those that others chose.
		Avoid: func(p client.Point) bool { return m.Index.Excluded(p.RSA, p.IPv4) },
		AvoidDirectory: func(id [32]byte) bool {
			r := m.Directory(id)
			return r != nil && m.Index.Excluded(r.Identity, r.IPv4)
		},
	}
}

func (s *onions) tell(ctx actor.Context, m any) {
	for name := range s.byName {
		_ = s.children.Pass(ctx, name, m) // one that is started anew is told by spawned
	}
}

func (s *onions) configure(ctx actor.Context, next Settings) {
	s.o.Settings = next
	for _, sv := range s.byName {
		_ = s.children.Pass(ctx, sv.name, &authorize{next.key(sv.address)})
	}
}

func (s *Settings) key(a onion.Address) *[32]byte {
	key, ok := s.Keys[a]
	if !ok {
		return nil
	}
	return &key
}
