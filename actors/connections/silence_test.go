package connections

import (
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/internal/relaydouble"
	"chive/messages"
	"chive/messages/chivev1"
)

// silence has a connection of a relay made and fall silent, and says whether there was a dial.
func (d *desk) silence(n byte, heard bool) bool {
	e := d.relay(n)
	permit, _, err := d.admit(e, chivev1.Purpose_PURPOSE_GENERAL)
	if err != nil {
		return false
	}
	e.id = messages.RandomID()
	x := &conn{id: e.id, entry: e, permit: permit}
	e.conn, d.conns[x.id] = x, x
	d.healthy(e, permit)
	d.connections.silent(nil, &connection.Silent{ID: x.id, Heard: heard})
	if e.conn != nil {
		d.t.Error("it takes new circuits")
	}
	delete(d.conns, x.id)
	return true
}

// A connection that carried something and falls silent is no reason to wait, or to blame: the
// next dial will show, in less time than others have.
func TestSilentConnectionBlamesNobody(t *testing.T) {
	d := newDesk(t)
	d.o.Unreachable = func([20]byte, chivev1.Outcome) { t.Error("the relay is blamed") }
	if d.relay(1).limit() != 0 {
		t.Error("a first dial has less time")
	}
	for range 20 {
		if !d.silence(1, true) {
			t.Fatal("not dialled at once")
		}
	}
	e := d.relay(1)
	if got := e.limit(); got != suspectLimit {
		t.Errorf("the next dial may take %v", got)
	}
	if e.took = 9 * time.Second; e.limit() != 18*time.Second {
		t.Errorf("to a relay that is slow: %v", e.limit())
	}
	if names := d.names(); len(names) > 0 {
		t.Errorf("told %q", names)
	}
}

// A relay that lets itself be connected to and then says nothing at all is one that cannot be
// reached from the second time on, and is dialled ever more rarely.
func TestMuteRelay(t *testing.T) {
	d := newDesk(t)
	blamed := 0
	d.o.Unreachable = func(relay [20]byte, out chivev1.Outcome) {
		if relay != [20]byte{1} || out != chivev1.Outcome_OUTCOME_TIMEOUT {
			t.Errorf("%x is blamed: %v", relay, out)
		}
		blamed++
	}
	if !d.silence(1, false) || blamed != 0 || !d.silence(1, false) || blamed != 1 {
		t.Fatalf("blamed %d times", blamed)
	}
	began, dials := d.now, 0
	for d.now.Sub(began) < time.Hour {
		if d.silence(1, false) {
			dials++
		}
		d.now = d.now.Add(5 * time.Second)
	}
	if dials < 6 || dials > 30 {
		t.Errorf("%d dials in an hour", dials)
	}
	if d.relay(1).forgettable(d.now) {
		t.Error("it is forgotten")
	}
	d.forgive(nil, &Forgive{})
	if e := d.relay(1); e.mute != 0 || e.limit() != 0 {
		t.Errorf("forgiven: %+v", e)
	}
	for !d.silence(1, true) {
		d.now = d.now.Add(5 * time.Second)
	}
	if blamed = 0; !d.silence(1, false) || blamed != 0 {
		t.Error("blamed at once, after a connection that carried something")
	}
}

// One that was left with the network of before blames nobody, and is no reason to doubt others.
func TestSilenceOfTheNetworkOfBefore(t *testing.T) {
	d := newDesk(t)
	d.o.Unreachable = func([20]byte, chivev1.Outcome) { t.Error("the relay is blamed") }
	e := d.relay(1)
	d.conns["other"] = &conn{id: "other", entry: d.relay(2), link: &connection.Link{}}
	for _, id := range []string{"a", "b", "c"} {
		d.conns[id] = &conn{id: id, entry: e, link: &connection.Link{}}
	}
	e.conn = d.conns["a"]
	d.forgive(nil, &Forgive{Renew: true})
	for _, id := range []string{"a", "b", "c"} {
		d.connections.silent(nil, &connection.Silent{ID: id}) // without a context, nobody can be told
	}
	if e.conn != nil || e.suspect || e.mute != 0 || !e.until.IsZero() || len(d.names()) > 0 {
		t.Errorf("%+v", e)
	}
}

// While the relay answers on one connection it is not mute, whatever becomes of others; that it
// did on one that was left, or is silent, too, says nothing.
func TestRelayThatAnswersElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		other  conn
		relay  byte
		blamed bool
	}{
		"it answers":       {conn{}, 1, false},
		"it was left":      {conn{left: true}, 1, true},
		"it is silent now": {conn{silent: true}, 1, true},
		"another relay":    {conn{}, 2, true},
	} {
		d := newDesk(t)
		blamed := false
		d.o.Unreachable = func([20]byte, chivev1.Outcome) { blamed = true }
		other := tt.other
		other.entry, other.answered = d.relay(tt.relay), func() bool { return true }
		d.conns["other"] = &other
		for range 2 {
			d.silence(1, false)
		}
		if blamed != tt.blamed {
			t.Errorf("%s: blamed: %v", name, blamed)
		}
	}
}

// down: does the event that a silence names tell of it?
func (r *rig) down(m *connection.Silent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.told {
		if s := e.GetSupervisorStateChanged(); e.GetId() == m.Cause && s.GetState() == "down" && s.GetChild() == "connection/"+m.ID {
			return e.GetActorId() != ""
		}
	}
	return false
}

// Through the whole actor: the relay stops to answer, the next who wants it gets another
// connection, and those on the first hear of it.
func TestSilentRelayIsDialledAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	relay := relaydouble.Start(t, relaydouble.Options{Hops: 1, Script: []relaydouble.Fault{
		// The first took so long that the second may take as long as any.
		{At: relaydouble.AtTLS, Nth: 1, Do: func(*relaydouble.Moment) bool {
			r.ahead.Store(int64(15 * time.Second))
			return true
		}},
		{At: relaydouble.AtLinked, Nth: 1, Do: relaydouble.Stall},
	}})
	r.want(targetOf(relay), 1)
	first := r.ready(t)
	told := make(chan *connection.Silent, 1)
	circuit := r.spawn(t, func(ctx actor.Context) {
		if m, ok := ctx.Message().(*connection.Silent); ok {
			told <- m
		}
	})
	if _, err := first.Link.Open(circuit, nil); err != nil {
		t.Fatal(err)
	}
	if m := <-told; m.ID != first.Link.ID || m.Heard || !r.down(m) {
		t.Errorf("%+v", m)
	}
	r.want(targetOf(relay), 2)
	if second := r.ready(t); second.Link == first.Link {
		t.Error("the same connection")
	}
	r.spent(t, 2)
}

// When one connection went silent the others that are open hear of it.
func TestOthersAreInDoubt(t *testing.T) {
	d, told := newDesk(t), make(chan string, 8)
	system := kernel.NewSystem(nil)
	for n, id := range []string{"silent", "open", "being made"} {
		pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *connection.Doubt:
				told <- id
			case *actor.Stopping:
				told <- "end"
			}
		}))
		d.conns[id] = &conn{id: id, entry: d.relay(byte(n)), pid: pid, link: &connection.Link{}}
	}
	d.conns["being made"].link = nil
	done := make(chan struct{})
	desk := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			d.connections.silent(ctx, &connection.Silent{ID: "silent", Heard: true})
			close(done)
		}
	}))
	<-done
	for _, x := range d.conns {
		system.Root.Poison(x.pid) // behind what it was told
	}
	got := []string{<-told, <-told, <-told, <-told}
	slices.Sort(got)
	if !slices.Equal(got, []string{"end", "end", "end", "open"}) {
		t.Errorf("%q", got)
	}
	if err := kernel.StopAndWait(system, desk, time.Minute); err != nil {
		t.Error(err)
	}
	kernel.Shutdown(system)
}
