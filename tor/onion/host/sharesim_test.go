package host

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

// leaseBeat is how often a lease is renewed, if not told otherwise; it ends after three.
const (
	leaseBeat = 5 * time.Second
	leaseTime = 3 * leaseBeat
)

// clump is some nodes that host one service, with one set of directories, and somebody
// who gives a lease to one node at a time. It complains when what must always be so is
// not.
type clump struct {
	*sim
	nodes  []*sharer
	holder *sharer
	lease  time.Time // when the holder's ends
	floor  uint64
	every  time.Duration // how often it is renewed; it lasts three times that
	told   bool          // the coordinator hears of what is published

	refusals int // of directories
	stores   int
	texts    map[string]stored
	owners   map[[32]byte]*sharer // by authentication key
	encs     map[[32]byte][32]byte
}

// sharer is one node.
type sharer struct {
	c       *clump
	name    string
	s       *Service
	skew    time.Duration // its clock against the others'
	dead    bool
	deaf    bool // the coordinator does not reach it
	points  map[PointID]bool
	flying  map[UploadID]bool
	kept    Floors
	met     int
	made    []Described
	refused []error
	down    []PointGone
}

func (n *sharer) now() time.Time { return n.c.sim.now.Add(n.skew) }

// set sets the node's clock.
func (n *sharer) set(skew time.Duration) {
	n.skew = skew
	n.s.Tick(n.now())
	n.obey()
}

func newClump(t testing.TB, seed uint64, relays, nodes int, config Config) *clump {
	config.Shared = true
	m := newSim(t, seed, relays, Config{Points: 1})
	m.queue = simQueue{} // nothing of that service, which only lends its network
	c := &clump{sim: m, told: true, every: leaseBeat, texts: map[string]stored{}, owners: map[[32]byte]*sharer{}, encs: map[[32]byte][32]byte{}}
	for _, r := range m.relays {
		clear(r.holding)
	}
	c.config = config
	for i := range nodes {
		c.add(fmt.Sprintf("n%02d", i))
	}
	c.hourly()
	c.beat()
	return c
}

func (c *clump) add(name string) *sharer {
	n := &sharer{c: c, name: name, points: map[PointID]bool{}, flying: map[UploadID]bool{}}
	c.nodes = append(c.nodes, n)
	n.start(nil)
	return n
}

func (n *sharer) start(state []byte) {
	s, err := New(n.c.identity.Address(), NewOnline(n.c.identity), n.c.random, n.c.config, n.kept, n.now())
	if err == nil && state != nil {
		err = s.Restore(state, n.now())
	}
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.s, n.dead = s, false
	s.SetView(n.c.view(), n.now())
	n.obey()
}

// kill ends a node as kill -9 does.
func (n *sharer) kill() {
	n.dead, n.s = true, nil
	clear(n.points)
	clear(n.flying)
}

func (c *clump) hourly() {
	c.network = networkAt(c.sim.now.Truncate(time.Hour))
	for _, n := range c.nodes {
		if !n.dead {
			n.s.SetView(c.view(), n.now())
			n.obey()
		}
	}
	c.later(c.network.ValidAfter.Add(time.Hour).Sub(c.sim.now), c.hourly)
}

func (c *clump) later(d time.Duration, do func()) {
	c.queue.seq++
	heap.Push(&c.queue, simEvent{c.sim.now.Add(d), c.queue.seq, do})
}

// later is for what a node began: nothing comes of it when it is dead.
func (n *sharer) later(d time.Duration, do func()) {
	s := n.s
	n.c.later(d, func() {
		if n.s == s && s != nil {
			do()
			n.obey()
		}
	})
}

// beat gives and renews the lease.
func (c *clump) beat() {
	if h := c.holder; h != nil && !h.dead && !h.deaf && c.sim.now.Before(c.lease) {
		c.lease = c.sim.now.Add(3 * c.every)
	} else if !c.sim.now.Before(c.lease) {
		c.holder = nil
		for _, n := range c.nodes {
			if !n.dead && !n.deaf {
				c.holder, c.lease = n, c.sim.now.Add(3*c.every)
				break
			}
		}
	}
	c.tell()
	c.later(c.every, c.beat)
}

// tell says to every node what the coordinator knows.
func (c *clump) tell() {
	offers := map[string][]ForeignPoint{}
	for _, n := range c.nodes {
		if !n.dead && !n.deaf {
			offers[n.name] = n.s.Offers(n.now())
			if c.told {
				c.floor = max(c.floor, n.s.Published())
			}
		}
	}
	for _, n := range c.nodes {
		if n.dead || n.deaf {
			continue
		}
		var others []Foreign
		for _, name := range slices.Sorted(maps.Keys(offers)) {
			for _, p := range offers[name] {
				if name != n.name {
					others = append(others, Foreign{name, p})
				}
			}
		}
		publish := n == c.holder
		until := time.Time{}
		if publish {
			until = c.lease.Add(n.skew)
		}
		if bad := n.s.Share(publish, c.floor, until, others, n.now()); bad > 0 {
			c.complain("%d points of others are refused", bad)
		}
		n.obey()
	}
}

// pass lets time pass.
func (c *clump) pass(d time.Duration) {
	c.t.Helper()
	end := c.sim.now.Add(d)
	for {
		at := end
		var who *sharer
		for _, n := range c.nodes {
			if n.dead {
				continue
			}
			if next := n.s.Next(); !next.IsZero() && next.Add(-n.skew).Before(at) {
				at, who = next.Add(-n.skew), n
			}
		}
		if c.queue.Len() > 0 && c.queue.events[0].at.Before(at) {
			e := heap.Pop(&c.queue).(simEvent)
			c.sim.now = e.at
			e.do()
			continue
		}
		if at.Before(c.sim.now) {
			c.complain("wakes in the past")
			at = c.sim.now
		}
		c.sim.now = at
		if who == nil || len(c.bad) > 0 {
			break
		}
		who.s.Tick(who.now())
		if next := who.s.Next(); !next.IsZero() && !next.After(who.now()) {
			c.complain("%s wakes at once again", who.name)
			break
		}
		who.obey()
	}
	if len(c.bad) > 0 {
		c.t.Fatalf("after %v: %s", c.sim.now.Sub(epoch), c.bad[0])
	}
}

func (n *sharer) obey() {
	for commands := n.s.Take(); len(commands) > 0; commands = n.s.Take() {
		for _, command := range commands {
			n.one(command)
		}
	}
}

func (n *sharer) one(command Command) {
	c := n.c
	switch m := command.(type) {
	case Launch:
		n.points[m.Point] = false
		if c.relay(m.Relay.Identity).broken {
			n.later(c.soon(), func() { n.s.PointFailed(m.Point, errSim, true, n.now()) })
			return
		}
		n.later(c.soon(), func() {
			body := n.s.Opened(m.Point, [20]byte{}, n.now())
			if body == nil {
				return
			}
			in, err := relaymsg.ParseEstablishIntro(body, [20]byte{})
			if err != nil {
				c.complain("%v", err)
				return
			}
			n.later(c.soon(), func() {
				if _, open := n.points[m.Point]; open && n.s.Established(m.Point, relaymsg.AppendIntroEstablished(nil), n.now()) {
					n.points[m.Point] = true
					c.owners[in.AuthKey], c.encs[in.AuthKey] = n, n.s.point(m.Point).ntor.EncKey()
				}
			})
		})
	case Close:
		delete(n.points, m.Point)
	case Keep:
		n.kept.Raise(m.Floor)
	case Upload:
		n.upload(m)
	case CancelUpload:
		delete(n.flying, m.ID)
	case Meet:
		n.met++
		n.later(time.Second, func() { n.s.Met(m.ID, n.now()) })
	case Told:
		switch e := m.Event.(type) {
		case Described:
			n.made = append(n.made, e)
		case Refused:
			n.refused = append(n.refused, e.Cause)
		case PointGone:
			n.down = append(n.down, e)
		}
	}
}

func (n *sharer) upload(m Upload) {
	c := n.c
	n.mayPublish("begins")
	n.flying[m.ID] = true
	n.later(c.soon(), func() {
		if !n.flying[m.ID] {
			return
		}
		delete(n.flying, m.ID)
		n.mayPublish("ends")
		d, blinded, in := c.directory(m.Directory), c.blind(m.Period), c.opened(m)
		if had := d.holding[blinded]; had.revision >= in.revision {
			c.refusals++
			n.s.Uploaded(m.ID, ErrRefused, n.now())
			return
		}
		c.stores++
		in.until = c.sim.now.Add(descriptor.DefaultLifetime)
		d.holding[blinded] = in
		n.s.Uploaded(m.ID, nil, n.now())
	})
}

func (n *sharer) mayPublish(what string) {
	if n.c.holder != n || !n.c.sim.now.Before(n.c.lease) {
		n.c.complain("%s %s an upload without the lease", n.name, what)
	}
}

// opened reads a text as a client does.
func (c *clump) opened(m Upload) stored {
	if in, ok := c.texts[string(m.Text)]; ok {
		return in
	}
	blinded := c.blind(m.Period)
	sealed, err := descriptor.Open(m.Text, blinded, c.sim.now)
	if err != nil {
		c.complain("descriptor: %v", err)
		return stored{}
	}
	d, err := sealed.Decrypt(c.identity.Address().Subcredential(blinded), c.client(), c.sim.now)
	if err != nil || d.Refused > 0 || len(d.Intros) == 0 || len(d.Intros) > descriptor.MaxIntroPoints {
		c.complain("descriptor: %v, %+v", err, d)
		return stored{}
	}
	in := stored{revision: sealed.Revision}
	for _, ip := range d.Intros {
		if c.owners[ip.AuthKey] == nil || c.encs[ip.AuthKey] != ip.EncKey {
			c.complain("a descriptor lists a point that nobody has")
		}
		in.intros = append(in.intros, ip.AuthKey)
	}
	slices.SortFunc(in.intros, compareKeys)
	c.texts[string(m.Text)] = in
	return in
}

// listed are the points that all directories of both periods list, which is the same.
func (c *clump) listed() [][32]byte {
	c.t.Helper()
	first, second := c.network.Store()
	var out [][32]byte
	for i, sl := range []onion.Slot{first, second} {
		for _, d := range c.responsible(sl, c.network.SpreadStore) {
			has := d.holding[c.blind(sl.Period)]
			if i == 0 && out == nil {
				out = has.intros
			}
			if !slices.Equal(out, has.intros) {
				c.t.Fatalf("after %v: one directory lists %d points, another %d", c.sim.now.Sub(epoch), len(out), len(has.intros))
			}
		}
	}
	return out
}

// by counts points by the node that has them.
func (c *clump) by(auths [][32]byte) map[string]int {
	out := map[string]int{}
	for _, a := range auths {
		out[c.owners[a].name]++
	}
	return out
}

// meets complains unless a client who read of a point is met by the node that has it, as
// of both periods' descriptors.
func (c *clump) meets(auth [32]byte) {
	c.t.Helper()
	n := c.owners[auth]
	first, second := c.network.Store()
	for _, sl := range []onion.Slot{first, second} {
		h, err := handshake.StartHSNtor(c.random, handshake.HSIntroduction{
			AuthKey: auth, EncKey: c.encs[auth], Subcredential: c.identity.Address().Subcredential(c.blind(sl.Period)),
		})
		if err != nil {
			c.t.Fatal(err)
		}
		body, err := relaymsg.Introduce1(h, auth, c.request())
		if err != nil {
			c.t.Fatal(err)
		}
		before := n.met
		i := slices.IndexFunc(n.s.points, func(p *point) bool { return p.authKey() == auth })
		if i < 0 || !n.s.Introduce2(n.s.points[i].id, body, n.now()) {
			c.t.Fatalf("%s does not have the point that is listed", n.name)
		}
		if n.obey(); n.met != before+1 {
			c.t.Fatalf("%s does not meet a client of period %d: %v", n.name, sl.Period.Number, n.refused)
		}
		// Each node knows what it has answered.
		if n.s.Introduce2(n.s.points[i].id, body, n.now()); n.met != before+1 {
			c.t.Fatal("a replay is answered")
		}
		n.obey()
	}
}
