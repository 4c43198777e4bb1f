package connection

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

// listener is an open connection, its owner, and a circuit on it, on a clock of the test's.
type listener struct {
	*Link
	began time.Time
	pause func(time.Duration)
	pid   *actor.PID // of the circuits

	mu  sync.Mutex
	all seen
}

// seen is what its owner and its circuits were told.
type seen struct {
	silent []*Silent
	at     time.Duration // of the last
	down   *Down
	lostAt time.Duration
	told   int // circuits, of a silence
}

func (l *listener) seen() seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *listener) since() time.Duration { return time.Since(l.began) }

func (l *listener) open(t *testing.T) cell.CircID {
	t.Helper()
	id, err := l.Open(l.pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// listening runs f with a connection that took a time to make. What was sent has arrived
// whenever f goes on after a sleep, which takes no real time.
func listening(t *testing.T, took time.Duration, f func(*listener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		system := kernel.NewSystem(nil)
		l := &listener{began: time.Now()}
		l.Link = newLink("c1", dialled{records: newRecordConn(ours)}, system.Root, l.began)
		owner := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				o := Options{ID: "c1", Recorder: messages.NewRecorder("n", time.Now, 1), Now: time.Now}
				l.owner = ctx.Spawn(kernel.Props(func() actor.Actor {
					return &pausable{connection{o: o, link: l.Link, started: l.began.Add(-took), opened: l.began}}
				}))
			case *Silent:
				l.mu.Lock()
				defer l.mu.Unlock()
				l.all.silent, l.all.at = append(l.all.silent, m), l.since()
			case *Down:
				l.mu.Lock()
				defer l.mu.Unlock()
				l.all.down, l.all.lostAt = m, l.since()
			}
		}))
		l.pid = system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*Silent); ok {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.all.told++
			}
		}))
		l.pause = func(d time.Duration) { system.Root.Send(l.owner, d) }
		synctest.Wait()
		f(l)
		for _, pid := range []*actor.PID{owner, l.pid} {
			if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		kernel.Shutdown(system)
	})
}

// pausable is a connection that is open, and whose process can be stopped.
type pausable struct{ connection }

func (p *pausable) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
	case time.Duration:
		time.Sleep(m)
	default:
		p.connection.Receive(ctx)
	}
}

// sleep lets time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// When a relay that was asked for a circuit counts as silent.
func TestSilence(t *testing.T) {
	const never = -1
	type step struct {
		after time.Duration
		do    func(*testing.T, *listener)
	}
	var id cell.CircID
	var (
		asks   = func(t *testing.T, l *listener) { id = l.open(t) }
		hears  = func(_ *testing.T, l *listener) { l.activity.hear() }
		leaves = func(_ *testing.T, l *listener) { l.Release(id, time.Now()) }
		hangs  = func(_ *testing.T, l *listener) { l.pause(10 * time.Second) }
		doubts = func(_ *testing.T, l *listener) { l.root.Send(l.owner, &Doubt{}) }
		waits  = func(_ *testing.T, l *listener) { l.records.waits.Store(true) }
		reads  = func(_ *testing.T, l *listener) { l.records.waits.Store(false) }
	)
	for name, c := range map[string]struct {
		took  time.Duration
		steps []step
		want  time.Duration // at most a second before it
		heard bool
	}{
		"nobody asks":                         {0, []step{{time.Minute, hears}}, never, false},
		"nothing at all":                      {0, []step{{0, asks}}, 10 * time.Second, false},
		"an answer":                           {0, []step{{0, asks}, {4 * time.Second, hears}}, never, false},
		"no answer to the next":               {0, []step{{0, asks}, {time.Second, hears}, {time.Minute, asks}}, 66 * time.Second, true},
		"no answer":                           {0, []step{{time.Second, hears}, {time.Minute, asks}}, 66 * time.Second, true},
		"it took long to connect":             {8 * time.Second, []step{{time.Second, hears}, {time.Minute, asks}}, 69 * time.Second, true},
		"it took longer":                      {12 * time.Second, []step{{0, asks}}, 12 * time.Second, false},
		"none to one, but to the other":       {0, []step{{0, asks}, {time.Second, asks}, {2 * time.Second, hears}}, never, false},
		"asked again and again":               {0, []step{{time.Second, hears}, {time.Second, asks}, {2 * time.Second, asks}, {2 * time.Second, asks}}, 7 * time.Second, true},
		"the circuit was not wanted":          {0, []step{{time.Second, hears}, {time.Second, asks}, {2500 * time.Millisecond, leaves}}, never, false},
		"the circuit had time for the answer": {0, []step{{time.Second, hears}, {time.Second, asks}, {3500 * time.Millisecond, leaves}}, 7 * time.Second, true},
		"this process did not run":            {0, []step{{time.Second, hears}, {time.Second, asks}, {4500 * time.Millisecond, hangs}}, 22 * time.Second, true},
		"another went silent":                 {0, []step{{time.Second, hears}, {10 * time.Second, doubts}, {time.Second, asks}}, 14 * time.Second, true},
		"another, when something came lately": {0, []step{{time.Second, hears}, {time.Second, doubts}, {time.Second, asks}}, 7 * time.Second, true},
		"another, but nothing came ever":      {0, []step{{time.Second, doubts}, {10 * time.Second, asks}}, 21 * time.Second, false},
		"another, long ago":                   {0, []step{{time.Second, hears}, {time.Second, doubts}, {time.Minute, asks}}, 67 * time.Second, true},
		"and then heard of it":                {0, []step{{time.Second, hears}, {time.Second, asks}, {4500 * time.Millisecond, hangs}, {11 * time.Second, hears}}, never, false},
		"a limit of this node's":              {0, []step{{time.Second, hears}, {time.Second, asks}, {500 * time.Millisecond, waits}, {time.Minute, reads}}, 68 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			listening(t, c.took, func(l *listener) {
				for _, s := range c.steps {
					sleep(s.after)
					s.do(t, l)
				}
				sleep(2 * time.Minute)
				switch got := l.seen(); {
				case c.want == never && len(got.silent) > 0:
					t.Errorf("silent after %v", got.at)
				case c.want == never:
				case len(got.silent) != 1 || got.at > c.want || got.at < c.want-time.Second:
					t.Errorf("told %d times, silent after %v, want %v", len(got.silent), got.at, c.want)
				case got.silent[0].Heard != c.heard:
					t.Errorf("heard before: %v", got.silent[0].Heard)
				}
				if l.listening {
					t.Error("it listens on")
				}
			})
		})
	}
}

// A silent connection takes no new circuits; those on it hear of it, once. It ends with them if
// nothing comes, and goes on if something does.
func TestSilentConnectionIsKeptAWhile(t *testing.T) {
	for _, comes := range []bool{false, true} {
		listening(t, 0, func(l *listener) {
			l.open(t)
			l.open(t)
			sleep(firstWithin)
			if got := l.seen(); len(got.silent) != 1 || got.told != 2 {
				t.Errorf("told %d times, circuits %d times", len(got.silent), got.told)
			}
			if _, err := l.Open(l.pid, nil); err != ErrClosed {
				t.Errorf("a new circuit: %v", err)
			}
			sleep(2 * time.Minute)
			if got := l.seen(); got.down != nil {
				t.Errorf("ended after %v", got.lostAt)
			}
			if comes {
				l.activity.hear()
			}
			sleep(time.Hour)
			got := l.seen()
			switch {
			case comes && got.down != nil:
				t.Errorf("ended after %v, though heard again", got.lostAt)
			case !comes && (got.down == nil || !got.down.WasUp || got.down.Outcome != chivev1.Outcome_OUTCOME_CONNECTION_LOST || got.lostAt > firstWithin+lostAfter):
				t.Errorf("%+v after %v", got.down, got.lostAt)
			}
			if len(got.silent) != 1 || got.told != 2 {
				t.Errorf("told %d times, circuits %d times", len(got.silent), got.told)
			}
		})
	}
}
