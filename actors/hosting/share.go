package hosting

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/tor/onion"
	"chive/tor/onion/host"
)

// Role says what the node is to do for a service that it shares with others. Whoever
// coordinates the nodes sends it to the hosting actor, whenever it changes.
type Role struct {
	Service string // its folder
	Name    string // in the fleet, where its address is not told
	Publish bool
	Epoch   uint64
	// Floor is the highest Shared.Published of any node: descriptors are newer.
	Floor uint64
	// Ceiling is the latest time that a descriptor may stand for, as Shared.Published; 0:
	// any. It is raised when Shared.Published is above it.
	Ceiling uint64
	// Publisher is the node that publishes, as far as is known; "": none.
	Publisher string
	// Until is when Publish ends unless it is said again, by the node's monotonic clock:
	// nothing is published after it.
	Until  time.Time
	Others []SharedPoint // of the other nodes
}

// SharedPoint is an introduction point of another node.
type SharedPoint struct {
	Node  string
	Point host.ForeignPoint
}

// Shared is what the others are to know of a service. Its actor sends it to
// Options.Sharing when it starts, and whenever it changes.
type Shared struct {
	Service string // its folder
	ID      string // in events, for one boot
	Address onion.Address
	// Secret derives n bytes, the same on every node that has the identity key or delegated
	// ones (HKDF-SHA256, RFC 5869): a label for each use.
	Secret func(label string, n int) []byte
	Points []host.ForeignPoint // of this node, established
	// Published is the newest descriptor of this node: the time that its revision stands
	// for, in seconds (Unix), for revisions of two periods do not compare. 0: none.
	Published uint64
	Stored    uint64 // likewise, the newest that all directories have
	Epoch     uint64 // of the last Role
	// Built is when this node made its newest descriptor, which Published may be ahead of;
	// zero: it has made none.
	Built time.Time
}

// Unshared says that this node does not share a service any more: it was stopped, or
// changed, or failed. It comes after the last Shared.
type Unshared struct{ Service string }

var (
	errNotOurTurn = errors.New("another node publishes the service")
	errNoFleet    = errors.New("HiddenServiceShared 1: the node is in no fleet, so the service is not published")
)

// What is derived for all nodes alike: the seeds of proofs of work, and the
// key that their visits read the descriptor with.
const (
	seedsLabel  = "proof-of-work seeds"
	visitsLabel = "key of the hosts' visits"
)

// shares is what a service's actor told the others, and was told.
type shares struct {
	sent      *Shared // nil: nothing, or that it is shared no more
	role      *Role   // nil: none was given
	away      bool    // the node takes no part, for now
	bad       int     // points of others that are none
	deadlines map[host.UploadID]*time.Timer

	points []host.PointID // as they were when a visit was last thought of, on standby
	since  time.Time      // that they are
}

// listedAfter is how long the publisher may take to list what it is offered, and the
// directories to have it.
const listedAfter = 30 * time.Second

// offered says of a node on standby whether clients ought to find its points, and if not
// whether they will soon.
func (s *shares) offered(points []host.PointID, now time.Time) (listed, soon bool) {
	if !slices.Equal(s.points, points) {
		s.points, s.since = slices.Clone(points), now
	}
	soon = now.Sub(s.since) < listedAfter
	return len(points) > 0 && !soon, len(points) > 0 && soon
}

// assign passes a role on to its service.
func (h *hosting) assign(ctx actor.Context, m *Role) {
	for _, e := range h.entries {
		if e.service.Dir == m.Service {
			e.role = m
			_ = h.children.Pass(ctx, e.id, m) // one that is started anew is told by spawned
		}
	}
}

// take has the machine do what the role says, and gives uploads that are under way the
// time that it gives.
func (a *serviceActor) take(m *Role, now time.Time) {
	if m.Publish && a.shares.away {
		return // it was on its way when the node left
	}
	a.shares.role = m
	others := make([]host.Foreign, len(m.Others))
	for i, o := range m.Others {
		others[i] = host.Foreign{Node: o.Node, Point: o.Point}
	}
	a.machine.SetCeiling(m.Ceiling)
	bad := a.machine.Share(m.Publish, m.Floor, m.Until, others, now)
	if bad != a.shares.bad && bad > 0 {
		a.h.o.Log.Warn("introduction points of other nodes are passed over: they are none, or given twice", "folder", a.service.Dir, "points", bad)
	}
	a.shares.bad = bad
	if until, ok := a.machine.Until(); ok {
		for _, timer := range a.shares.deadlines {
			timer.Reset(until.Sub(now))
		}
	}
}

// bound breaks an upload off when it is not this node's turn any more, whatever the actor
// is doing then. ok is false if it is not now.
func (a *serviceActor) bound(id host.UploadID, cancel context.CancelFunc, now time.Time) (ok bool) {
	if !a.machine.MayUpload(id, now) {
		return false
	}
	if until, shared := a.machine.Until(); shared {
		if a.shares.deadlines == nil {
			a.shares.deadlines = map[host.UploadID]*time.Timer{}
		}
		a.shares.deadlines[id] = time.AfterFunc(until.Sub(now), cancel)
	}
	return true
}

func (a *serviceActor) unbound(id host.UploadID) {
	if timer := a.shares.deadlines[id]; timer != nil {
		timer.Stop()
		delete(a.shares.deadlines, id)
	}
}

// share tells the others what is new.
func (a *serviceActor) share(ctx actor.Context, now time.Time) {
	if a.h.o.Sharing == nil || !a.service.Shared || a.shares.away {
		a.unshare(ctx)
		return
	}
	m := &Shared{
		Service: a.service.Dir, ID: a.e.id, Address: a.store.Address, Secret: a.store.Common().Derive,
		Points: a.machine.Offers(now), Published: a.machine.Published(), Stored: a.machine.Stored(),
	}
	if a.shares.role != nil {
		m.Epoch = a.shares.role.Epoch
	}
	m.Built = a.machine.Built()
	if last := a.shares.sent; last != nil {
		if last.Built.After(m.Built) {
			m.Built = last.Built // others publish now
		}
		if last.Built.Equal(m.Built) && last.Published == m.Published && last.Stored == m.Stored && last.Epoch == m.Epoch && slices.Equal(last.Points, m.Points) {
			return
		}
	}
	a.shares.sent = m
	ctx.Send(a.h.o.Sharing, m)
}

// unshare says that this node has no part in the service any more.
func (a *serviceActor) unshare(ctx actor.Context) {
	if a.shares.sent != nil {
		ctx.Send(a.h.o.Sharing, &Unshared{Service: a.shares.sent.Service})
		a.shares.sent, a.shares.role = nil, nil
	}
}

// SharedStatus is what a node does of a service that it shares.
type SharedStatus struct {
	Publishes bool   `json:"publishes"` // this node, the points of all
	Epoch     uint64 `json:"epoch"`
	Name      string `json:"name,omitempty"`      // of the service, in what all of the fleet see
	Publisher string `json:"publisher,omitempty"` // the node that publishes, as far as is known
	Away      bool   `json:"away,omitempty"`      // this node takes no part: it is drained, or ends
	Nodes     int    `json:"other_nodes"`         // that are there
	Points    int    `json:"points_of_others"`
	// Others are how many introduction points each of them has, by its name.
	Others map[string]int `json:"others,omitempty"`
}

func (a *serviceActor) lookShared(out *Status) {
	if !a.service.Shared {
		return
	}
	s := &SharedStatus{Away: a.shares.away}
	_, s.Publishes = a.machine.Until()
	if m := a.shares.role; m != nil {
		s.Name, s.Epoch, s.Points, s.Publisher = m.Name, m.Epoch, len(m.Others), m.Publisher
		s.Others = map[string]int{}
		for _, o := range m.Others {
			s.Others[o.Node]++
		}
		s.Nodes = len(s.Others)
	}
	out.Shared = s
	if !s.Publishes && out.State != "starting" {
		out.State = "standby"
	}
	if a.h.o.Sharing == nil {
		out.Problem = errNoFleet.Error()
	}
}
