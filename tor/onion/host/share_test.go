package host

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
)

// Three nodes of one service: every directory lists the points of all, each point's node
// meets who comes to it, and nobody but the holder of the lease publishes. So it stays
// through days of periods, worn out points, and nodes that die and come back.
func TestShared(t *testing.T) {
	c := newClump(t, 40, 40, 3, Config{Points: 2})
	c.pass(2 * time.Minute)
	all := c.listed()
	if got := fmt.Sprint(c.by(all)); got != "map[n00:2 n01:2 n02:2]" {
		t.Fatalf("listed: %s", got)
	}
	for _, a := range all {
		c.meets(a)
	}
	for hour := range 30 {
		n := c.nodes[hour%3]
		switch hour % 10 {
		case 3:
			n.kill()
		case 6:
			if n = c.nodes[(hour-3)%3]; n.dead {
				n.start(nil)
			}
		case 8: // in order, with its points
			state, err := n.s.State()
			if err != nil {
				t.Fatal(err)
			}
			n.kill()
			c.pass(20 * time.Second)
			n.start(state)
		}
		c.pass(time.Hour)
		want := 0
		for _, n := range c.nodes {
			if !n.dead {
				want += 2
			}
		}
		now := c.listed()
		if len(now) != want {
			t.Fatalf("hour %d: %d points are listed (%v), want %d", hour, len(now), c.by(now), want)
		}
		for _, a := range now {
			if c.owners[a].dead {
				t.Fatalf("hour %d: a point of %s, which is dead, is listed", hour, c.owners[a].name)
			}
		}
		c.meets(now[hour%len(now)])
	}
	if c.refusals > 0 {
		t.Errorf("directories refused %d descriptors as old, took %d", c.refusals, c.stores)
	}
}

// A node that dies is out of the descriptors as soon as the others know, be it the
// publisher, whose successor goes on from its revisions.
func TestSharedTakeover(t *testing.T) {
	for name, skew := range map[string]time.Duration{"clocks agree": 0, "the next is behind": -10 * time.Minute, "the next is ahead": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			c := newClump(t, 41, 40, 3, Config{Points: 2})
			for i, n := range c.nodes {
				n.set(time.Duration(i) * skew)
			}
			c.pass(2 * time.Minute)
			first := c.holder
			if len(c.listed()) != 6 {
				t.Fatalf("%v", c.by(c.listed()))
			}
			first.kill()
			c.pass(leaseTime + leaseBeat + 20*time.Second)
			if c.holder == first || c.holder == nil {
				t.Fatal("nobody took over")
			}
			if by := c.by(c.listed()); by[first.name] != 0 || len(by) != 2 {
				t.Errorf("listed: %v", by)
			}
			if s := c.holder.s; s.Stored() != s.Published() || s.Stored() <= first.s.Published() {
				t.Errorf("the directories have that of %d, made was that of %d, by the last publisher %d", s.Stored(), s.Published(), first.s.Published())
			}
			// One that does not publish dies: at once, within no minute's gap.
			other := c.nodes[2]
			other.kill()
			c.pass(leaseBeat + 15*time.Second)
			if by := c.by(c.listed()); len(by) != 1 {
				t.Errorf("listed: %v", by)
			}
			first.start(nil)
			c.pass(time.Minute)
			if by := c.by(c.listed()); len(by) != 2 {
				t.Errorf("listed: %v", by)
			}
			if c.refusals > 0 {
				t.Errorf("%d descriptors were refused as old", c.refusals)
			}
		})
	}
}

// What the last publisher published is not known: directories say so, and are given
// something newer.
func TestSharedOvertaken(t *testing.T) {
	c := newClump(t, 42, 40, 2, Config{Points: 2})
	c.told = false
	c.nodes[0].set(3 * time.Minute)
	c.pass(2 * time.Minute)
	c.nodes[0].kill()
	c.pass(5 * time.Minute)
	if by := c.by(c.listed()); len(by) != 1 || by["n01"] != 2 || c.refusals == 0 {
		t.Errorf("listed: %v, %d refused", by, c.refusals)
	}
}

// A publisher that nobody reaches stops when its time is over, and what it was sending
// is broken off; its points go on working.
func TestSharedTimeIsOver(t *testing.T) {
	c := newClump(t, 43, 40, 2, Config{Points: 2})
	c.pass(2 * time.Minute)
	n := c.holder
	n.deaf = true
	for range 40 { // uploads are under way all the time; mayPublish watches
		c.pass(700 * time.Millisecond)
		n.s.dirty(Access)
		n.s.settle(n.now())
		n.obey()
	}
	if until, ok := n.s.Until(); ok {
		t.Errorf("it publishes until %v", until)
	}
	if len(n.flying) > 0 || n.s.Status().Periods[0].Stored != 0 {
		t.Errorf("%d uploads", len(n.flying))
	}
	for auth, owner := range c.owners {
		if owner == n {
			c.meets(auth)
		}
	}
	n.deaf = false
	c.pass(time.Minute)
	if by := c.by(c.listed()); len(by) != 2 {
		t.Errorf("listed: %v", by)
	}
}

// The wall clock ends a publisher's time too: it goes on while a machine sleeps.
func TestSharedSleep(t *testing.T) {
	c := newClump(t, 44, 30, 1, Config{Points: 1})
	s := c.nodes[0].s
	now := time.Now() // has both clocks
	s.shared.publish, s.shared.until = true, now.Add(time.Minute)
	if !s.publishing(now) {
		t.Fatal("it is over before its time")
	}
	if s.publishing(now.Add(2 * time.Minute).Round(0)) {
		t.Error("it goes on")
	}
}

// rend-spec-v3 2.5.4: a descriptor lists twenty points at most. Of more, each node has
// its turn, and one in each while there are so few.
func TestSharedByMany(t *testing.T) {
	for _, tt := range []struct{ nodes, points int }{{25, 1}, {25, 3}, {9, 3}, {20, 2}, {7, 3}, {41, 2}} {
		t.Run(fmt.Sprint(tt.nodes, " nodes of ", tt.points), func(t *testing.T) {
			groups := make([][]candidate, tt.nodes)
			for i := range groups {
				for j := range tt.points {
					groups[i] = append(groups[i], candidate{id: PointID(i*100 + j)})
				}
			}
			want := min(tt.nodes*tt.points, descriptor.MaxIntroPoints)
			seen := map[PointID]int{}
			const turns = 1000
			for turn := range turns {
				ids := choose(groups, descriptor.MaxIntroPoints, turn)
				slices.Sort(ids)
				if len(ids) != want || len(slices.Compact(slices.Clone(ids))) != want {
					t.Fatalf("turn %d: %d", turn, ids)
				}
				nodes := map[PointID]bool{}
				for _, id := range ids {
					seen[id]++
					nodes[id/100] = true
				}
				if len(nodes) != min(tt.nodes, want) {
					t.Fatalf("turn %d: points of %d nodes", turn, len(nodes))
				}
			}
			fair := turns * want / (tt.nodes * tt.points)
			if len(seen) != tt.nodes*tt.points {
				t.Errorf("%d points have ever been listed", len(seen))
			}
			for id, n := range seen {
				if n < fair/2 || n > 2*fair {
					t.Errorf("point %d is listed %d times, %d would be fair", id, n, fair)
				}
			}
		})
	}
	c := newClump(t, 45, 60, 25, Config{Points: 1})
	c.pass(6 * time.Minute)
	c.every = time.Minute
	was := map[string]bool{}
	for range 3 {
		by := c.by(c.listed())
		if len(by) != descriptor.MaxIntroPoints {
			t.Fatalf("points of %d nodes are listed", len(by))
		}
		for name := range by {
			was[name] = true
		}
		c.pass(rotateEvery)
	}
	if len(was) != 25 || c.refusals > 0 {
		t.Errorf("%d nodes had their turn, %d descriptors refused", len(was), c.refusals)
	}
}

// A point that is listed no more works as long as a descriptor, for another node may have
// published it.
func TestSharedRetired(t *testing.T) {
	c := newClump(t, 46, 40, 2, Config{Points: 2})
	c.pass(2 * time.Minute)
	n := c.nodes[1]
	if n == c.holder {
		t.Fatal("it publishes")
	}
	auth := n.s.Offers(n.now())[0].AuthKey
	p := n.s.points[slices.IndexFunc(n.s.points, func(p *point) bool { return p.authKey() == auth })]
	n.s.retire(p, Aged, n.now())
	n.s.settle(n.now())
	n.obey()
	c.pass(2 * time.Minute)
	if now := c.listed(); slices.Contains(now, auth) || len(now) != 4 {
		t.Errorf("listed: %v", c.by(now))
	}
	c.pass(maxRetired - 4*time.Minute)
	c.meets(auth)
	c.pass(5 * time.Minute)
	if slices.Contains(n.s.points, p) {
		t.Error("it stays for ever")
	}
}

// So many are kept that way and no more, be it that points are given up again and again.
func TestSharedManyRetired(t *testing.T) {
	c := newClump(t, 53, 60, 1, Config{Points: 2})
	c.pass(time.Minute)
	n := c.nodes[0]
	for range 12 {
		n.s.RotatePoint(0, n.now())
		n.obey()
		c.pass(6 * time.Minute)
	}
	if len(c.listed()) != 2 {
		t.Errorf("listed: %v", c.by(c.listed()))
	}
	if open := len(n.points); open > 3*2+2*2 { // those of the last ten minutes stay
		t.Errorf("%d circuits", open)
	}
}

// Where many clients leave little room, fewer points are listed, and take turns.
func TestSharedWithManyClients(t *testing.T) {
	config := Config{Points: 3, Restricted: true}
	for i := range 250 {
		config.Clients = append(config.Clients, clientPublic(byte(i)))
	}
	c := newClump(t, 54, 60, 8, config)
	c.pass(6 * time.Minute)
	n := len(c.listed())
	if n < fewest || n >= descriptor.MaxIntroPoints || c.holder.s.Status().Periods[0].Problem != nil {
		t.Errorf("%d points are listed: %v", n, c.holder.s.Status().Periods[0].Problem)
	}
	config.Clients = config.Clients[:1]
	c.config.Clients = config.Clients
	config.Shared = true
	for _, o := range c.nodes {
		if err := o.s.Configure(config, o.now()); err != nil {
			t.Fatal(err)
		}
		o.obey()
	}
	c.pass(6 * time.Minute)
	if n := len(c.listed()); n != descriptor.MaxIntroPoints {
		t.Errorf("%d points are listed when one client is left", n)
	}
}

// A point whose circuit is gone for a while is listed by nobody until it is back.
func TestSharedPointIsDown(t *testing.T) {
	c := newClump(t, 47, 40, 2, Config{Points: 1})
	c.pass(2 * time.Minute)
	n := c.nodes[1]
	p := n.s.points[0]
	relay := c.relay(p.relay.Identity)
	relay.broken = true
	n.s.PointFailed(p.id, errSim, true, n.now())
	n.obey()
	c.pass(downLimit - 5*time.Second)
	if by := c.by(c.listed()); len(by) != 2 {
		t.Errorf("listed: %v", by)
	}
	c.pass(25 * time.Second)
	if by := c.by(c.listed()); by[n.name] != 0 || len(by) != 1 {
		t.Errorf("listed: %v", by)
	}
	relay.broken = false
	c.pass(longestRetry + time.Minute)
	if by := c.by(c.listed()); len(by) != 2 || n.s.point(p.id) != p {
		t.Errorf("listed: %v", by)
	}
}

// Folders that were copied with their introduction points: each node has others then.
func TestSharedFolderWasCopied(t *testing.T) {
	c := newClump(t, 48, 40, 1, Config{Points: 2})
	c.pass(2 * time.Minute)
	state, err := c.nodes[0].s.State()
	if err != nil {
		t.Fatal(err)
	}
	one := c.nodes[0]
	twin := &sharer{c: c, name: "twin", points: map[PointID]bool{}, flying: map[UploadID]bool{}}
	c.nodes = append(c.nodes, twin)
	one.deaf, twin.deaf = true, true
	twin.start(state)
	c.pass(time.Minute)
	if !slices.Equal(one.s.Offers(one.now()), twin.s.Offers(twin.now())) {
		t.Fatal("they are not the same")
	}
	one.deaf, twin.deaf = false, false
	c.pass(2 * time.Minute)
	if by := c.by(c.listed()); by["n00"] != 2 || by["twin"] != 2 {
		t.Errorf("listed: %v", by)
	}
	for _, p := range one.s.Offers(one.now()) {
		if slices.Contains(twin.s.Offers(twin.now()), p) {
			t.Error("two nodes have one point")
		}
	}
	for _, n := range c.nodes {
		if len(n.down) != 2 || n.down[0].Reason != Copied {
			t.Errorf("%s: %+v", n.name, n.down)
		}
	}
}

// What is no introduction point of another node is left out, and the rest is listed.
func TestSharedRefusesWhatIsNone(t *testing.T) {
	c := newClump(t, 49, 40, 2, Config{Points: 2})
	c.pass(2 * time.Minute)
	s, now := c.nodes[0].s, c.nodes[0].now()
	good := c.nodes[1].s.Offers(now)
	bad := good[0]
	bad.EncKey = [32]byte{}
	private := good[1]
	private.AuthKey = c.nodes[0].s.points[0].authKey()
	twice := Foreign{"c", good[0]}
	if n := s.Share(true, 0, now.Add(time.Minute), []Foreign{{"b", good[0]}, {"b", good[1]}, twice, {"b", bad}}, now); n != 2 {
		t.Errorf("%d are refused, want 2", n)
	}
	if ids := s.union(now); len(ids) != 4 {
		t.Errorf("%d are listed", len(ids))
	}
	// Those at private addresses are for networks that have them.
	at := good[1]
	at.Relay.IPv4 = addrPort("127.0.0.1:9001")
	if n := s.Share(true, 0, now.Add(time.Minute), []Foreign{{"b", at}}, now); n != 0 || len(s.union(now)) != 2 {
		t.Errorf("%d are refused, %d listed", n, len(s.union(now)))
	}
	s.view.AllowPrivate = true
	if len(s.union(now)) != 3 {
		t.Error("and not listed in such a network")
	}
	if many := make([]Foreign, 10); s.Share(true, 0, now.Add(time.Minute), many, now) != 10 {
		t.Error("zeros are taken")
	}
}

// Revisions stand for times, which the nodes tell each other.
func TestSharedRevisions(t *testing.T) {
	c := newClump(t, 50, 40, 1, Config{Points: 1})
	n := c.nodes[0]
	c.pass(time.Minute)
	if at := n.s.Published(); at < uint64(epoch.Unix()) || at > uint64(n.now().Unix())+2 {
		t.Errorf("%d", at)
	}
	// An earlier run had a clock that was an hour ahead: what it published stands for a time,
	// too, so that another node can go on from there.
	sl := n.s.slots[0]
	keys, err := n.s.keys.Period(n.s.rand, sl.Period, n.now())
	if err != nil {
		t.Fatal(err)
	}
	later := n.now().Add(time.Hour)
	n.s.floors.Raise(Floor{sl.Period, keys.Revision.Counter(sl.Slot, later)})
	if r := n.s.revision(keys.Revision, sl, n.now()); r <= n.s.floors.of(sl.Period) || n.s.Published() != uint64(later.Unix())+1 {
		t.Errorf("revision %d, of %d, want %d", r, n.s.Published(), later.Unix()+1)
	}
	// What is far ahead is nobody's: it would keep all others from publishing for ever.
	far := uint64(n.now().Add(maxAhead + time.Hour).Unix())
	for _, floor := range []uint64{far, 1<<64 - 1} {
		n.s.Share(true, floor, n.now().Add(time.Minute), nil, n.now())
		if p := n.s.Status().Periods[0].Problem; !errors.Is(p, ErrAhead) {
			t.Errorf("floor %d: %v", floor, p)
		}
	}
	c.pass(time.Minute)
	if p := n.s.Status().Periods[0].Problem; p != nil {
		t.Error(p)
	}
}

// Sharing comes and goes while the service runs. Who shares waits to be told.
func TestSharedIsHot(t *testing.T) {
	c := newClump(t, 51, 40, 1, Config{Points: 2})
	n := c.nodes[0]
	n.kill()
	n.deaf = true
	n.start(nil)
	c.pass(2 * time.Minute)
	if c.stores > 0 || len(n.s.Offers(n.now())) != 2 {
		t.Errorf("%d descriptors stored, %d points offered", c.stores, len(n.s.Offers(n.now())))
	}
	alone := c.config
	alone.Shared = false
	c.holder, c.lease = n, c.sim.now.Add(time.Hour)
	if err := n.s.Configure(alone, n.now()); err != nil {
		t.Fatal(err)
	}
	n.obey()
	c.pass(time.Minute)
	if len(c.listed()) != 2 || n.s.Offers(n.now()) != nil || n.s.Published() != 0 {
		t.Errorf("alone: %v", c.by(c.listed()))
	}
	before := c.stores
	if err := n.s.Configure(c.config, n.now()); err != nil {
		t.Fatal(err)
	}
	n.obey()
	c.pass(3 * time.Hour)
	if c.stores != before {
		t.Error("it publishes and was not told to")
	}
	if n := n.s.Share(true, 0, time.Time{}, nil, n.now()); n != 0 {
		t.Error(n)
	}
	n.obey()
	if c.stores != before {
		t.Error("it publishes after its time")
	}
}

// Proof of work: all nodes offer one seed, whoever publishes.
func TestSharedProofOfWork(t *testing.T) {
	config := Config{Points: 1, PoW: &PoW{Rate: 10, Burst: 10}}
	if err := (&Config{Points: 1, PoW: config.PoW, Shared: true}).check(); !errors.Is(err, ErrConfig) {
		t.Errorf("seeds that nobody agrees on: %v", err)
	}
	config.Seeds = pow.SeedKey{7}
	c := newClump(t, 52, 40, 3, config)
	for range 6 {
		c.pass(time.Hour)
		for _, n := range c.nodes {
			if n.s.gate.Params(0) != c.nodes[0].s.gate.Params(0) {
				t.Error("they offer other seeds")
			}
		}
	}
	for _, a := range c.listed() {
		c.meets(a)
	}
}
