package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// reachableWithin is how long a service may take to be reached again.
const reachableWithin = 3 * time.Minute

// machineClock is the clock of a machine that is set, or that sleeps, while nodes run; nil: the
// machine's.
type machineClock struct{ by, slept atomic.Int64 } // nanoseconds

func (k *machineClock) now() func() time.Time {
	if k == nil {
		return nil
	}
	return func() time.Time { return setForward(time.Now(), time.Duration(k.by.Load())) }
}

// boot is the clock that goes on while it sleeps.
func (k *machineClock) boot() func() time.Duration {
	if k == nil {
		return nil
	}
	up := time.Now().Add(-time.Hour)
	return func() time.Duration { return time.Since(up) + time.Duration(k.slept.Load()) }
}

func (k *machineClock) set(by time.Duration) { k.by.Store(int64(by)) }

func (k *machineClock) sleep(d time.Duration) {
	k.slept.Add(int64(d))
	k.by.Add(int64(d))
}

// setForward is t on a machine whose clock was set forward by whole seconds. The reading of the
// clock that nobody can set, by which Go compares, stays: package time has no function for it.
func setForward(t time.Time, by time.Duration) time.Time {
	const second = 1 << 30 // of the first word, behind which are nanoseconds
	parts := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	parts.wall += uint64(by/time.Second) * second
	return t
}

// What the tests below take for a clock that was set is one.
func TestClockThatIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 10 * time.Minute} {
		set := setForward(now, by)
		if set.Sub(now) != 0 || set.Round(0).Sub(now.Round(0)) != by || !set.Round(0).Equal(now.Round(0).Add(by)) {
			t.Errorf("%v: %v after %v", by, set, now)
		}
	}
}

// reloadAfter is when a user who sees nothing asks again. C tor's client waits for a service that
// does not come, as its introduction was lost, for a minute and more.
const reloadAfter = 25 * time.Second

// visit fetches a page as somebody who was not there before, and says how long that took.
func (c *client) visit(t *testing.T, who, user, address string) {
	t.Helper()
	began := time.Now()
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(t.Context(), reloadAfter)
		_, _, err := c.get(ctx, fmt.Sprint(user, tries), bytesOf(address, 10_000))
		cancel()
		took := time.Since(began).Round(10 * time.Millisecond)
		if err == nil {
			t.Logf("%s: reached after %v, request %d", who, took, tries)
			return
		}
		if took > reachableWithin {
			t.Fatalf("%s: not reached within %v, by %d requests: %v", who, took, tries, err)
		}
	}
}

// noticed waits until host and client saw that their clock was set so often.
func (l *clockLab) noticed(t *testing.T, times int) {
	t.Helper()
	saw := func(c *client) func() bool {
		return func() bool {
			return c.count(func(e *chivev1.Envelope) bool { return e.GetGuardsRetried().GetReason() == "woken" }) >= times
		}
	}
	l.host.until(t, patience, "the host notices that its clock was set", saw(l.host.client))
	l.own.eventually(t, "the client notices that its clock was set", patience, saw(l.own))
}

// clockLab is a service of chive, for authorised clients of which more come, and one of C tor,
// with a client of each program.
type clockLab struct {
	*testnet.Network
	host    *reloadable
	dir     string
	own     *client
	address string
	keys    int
	clock   machineClock // of host and own client
	proxy   *proxy       // between them and the network
}

func startClockLab(t *testing.T) *clockLab {
	t.Helper()
	l := &clockLab{Network: testnet.ForTest(t, testnet.Options{}), dir: filepath.Join(t.TempDir(), "service"), proxy: startProxy(t)}
	l.newKey(t)
	by := "Socks4Proxy " + l.proxy.l.Addr().String()
	l.host = startReloadableBy(t, l.Network, &l.clock, []string{"SocksPort 127.0.0.1:auto", by},
		"HiddenServiceDir "+l.dir, fmt.Sprintf("HiddenServicePort 80 %v:%d", l.Target().IP, l.Target().HTTPPort), "HiddenServicePoWDefensesEnabled 1")
	l.host.until(t, patience, "the service is published", func() bool { return l.host.publications() >= 2 })
	l.address = addressOf(t, l.dir)
	c, err := launchBy(t, t.TempDir(), nil, &l.clock, append(l.ClientTorrc(), by)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	l.own = c
	return l
}

// newKey lets one more client in, and gives his key.
func (l *clockLab) newKey(t *testing.T) string {
	t.Helper()
	key, public := clientKey(t)
	l.keys++
	letIn(t, l.dir, fmt.Sprint("c", l.keys), public)
	return key
}

// visitor is a C tor client who is let in from now on: the descriptor is made anew for him.
func (l *clockLab) visitor(t *testing.T) *client {
	t.Helper()
	dir := keyDir(t, auth(l.address, l.newKey(t)))
	before := l.host.publications()
	if _, err := l.host.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.host.until(t, reachableWithin, "it is published anew", func() bool { return l.host.publications() >= before+2 })
	return ctor(t, l.Network, fmt.Sprint("visitor", l.keys), "ClientOnionAuthDir "+dir)
}

// revisionsGrow: those of each period do, and no directory refuses one.
func (l *clockLab) revisionsGrow(t *testing.T) {
	t.Helper()
	last, described := map[uint64]uint64{}, 0
	log, _ := l.host.events(0)
	for _, e := range log {
		if d := e.GetHostingDescribed(); d != nil {
			described++
			if d.GetRevision() <= last[d.GetPeriod()] {
				t.Errorf("revision %d of period %d comes after %d", d.GetRevision(), d.GetPeriod(), last[d.GetPeriod()])
			}
			last[d.GetPeriod()] = d.GetRevision()
		}
		if s := e.GetHostingStored(); s.GetOutcome() == chivev1.Outcome_OUTCOME_DIRECTORY_STATUS {
			t.Error("a directory refuses a descriptor")
		}
		if e.GetHostingRefused() != nil {
			t.Errorf("introductions are refused: %s", e.GetHostingRefused().GetReason())
		}
	}
	t.Logf("%d descriptors, each with a greater revision", described)
}

// TestOnionClockIsSet: the clock of a machine that hosts a service, and visits another, goes an
// hour forward, an hour back, and another. The service is reached by who knew it before and by who
// comes then, and so is the other.
func TestOnionClockIsSet(t *testing.T) {
	t.Parallel()
	l := startClockLab(t)
	old := l.visitor(t)
	old.visit(t, "C tor, before", "before", l.address)
	l.own.visit(t, "chive, before", "before", l.Onion())
	for i, step := range []struct {
		what string
		by   time.Duration
	}{{"an hour forward", time.Hour}, {"back again", 0}, {"an hour back", -time.Hour}} {
		l.clock.set(step.by)
		old.visit(t, "C tor that was here before, "+step.what, step.what, l.address)
		l.own.visit(t, "chive, "+step.what, step.what, l.Onion())
		l.visitor(t).visit(t, "C tor that comes now, "+step.what, step.what, l.address)
		l.noticed(t, i+1)
	}
	l.revisionsGrow(t)
}

// TestOnionAfterSleep: a machine sleeps for ten minutes, and what it had open is known to nobody
// when it wakes. The service is reached again, and so is another from there.
func TestOnionAfterSleep(t *testing.T) {
	t.Parallel()
	l := startClockLab(t)
	old := l.visitor(t)
	old.visit(t, "C tor, before", "before", l.address)
	l.own.visit(t, "chive, before", "before", l.Onion())
	l.proxy.forget()
	l.clock.sleep(10 * time.Minute)
	old.visit(t, "C tor that was here before", "after", l.address)
	l.own.visit(t, "chive", "after", l.Onion())
	l.visitor(t).visit(t, "C tor that comes now", "after", l.address)
	l.noticed(t, 1)
	l.revisionsGrow(t)
}
