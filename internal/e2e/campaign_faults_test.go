package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// fault is something that befalls a service.
type fault struct {
	name  string
	least time.Duration // it is watched for so long at least
	// begin lets it happen, and gives what ends it.
	begin func(*campaignLab, *testing.T) (undo func())
	// told holds what the node says of it against what it was.
	told func(*testing.T, *campaignLab) error
}

var faults = []fault{
	{"introduction relay killed", 40 * time.Second, (*campaignLab).killPoint, nil},
	{"directories killed", 40 * time.Second, (*campaignLab).killDirectories, nil},
	{"guard killed", 40 * time.Second, (*campaignLab).killGuard, nil},
	{"process killed", 30 * time.Second, (*campaignLab).killProcess, nil},
	{"disk full", 40 * time.Second, (*campaignLab).fillDisk, nil},
	{"NATS cut", 30 * time.Second, (*campaignLab).cutNATS, nil},
	{"clock an hour ahead", 40 * time.Second, moveClock(time.Hour), nil},
	{"clock an hour back", 40 * time.Second, moveClock(-time.Hour), nil},
	{"asleep", 40 * time.Second, (*campaignLab).sleep, nil},
	{"introduction relay silent", 40 * time.Second, (*campaignLab).silencePoint, nil},
	{"directories forget", 40 * time.Second, (*campaignLab).forget, nil},
}

// points are the relays that introduce to the service now, by name.
func (l *campaignLab) points() []string {
	up := map[uint64]string{}
	l.host.count(func(e *chivev1.Envelope) bool {
		if p := e.GetHostingPointUp(); p != nil {
			up[p.GetPoint()] = l.byFingerprint(p.GetRelay())
		}
		if p := e.GetHostingPointGone(); p != nil {
			delete(up, p.GetPoint())
		}
		return false
	})
	var out []string
	for _, name := range up {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (l *campaignLab) byFingerprint(id []byte) string {
	for _, x := range l.Nodes() {
		if x.Fingerprint != "" && strings.EqualFold(x.Fingerprint, hex.EncodeToString(id)) {
			return x.Name
		}
	}
	return ""
}

// directories are those that took the service's last descriptors, by name; authorities, which
// others need, are left out.
func (l *campaignLab) directories() (out []string) {
	l.host.count(func(e *chivev1.Envelope) bool {
		s := e.GetHostingStored()
		if s == nil || s.GetOutcome() != chivev1.Outcome_OUTCOME_OK {
			return false
		}
		key := base64.RawStdEncoding.EncodeToString(s.GetDirectory())
		for _, x := range l.Nodes() {
			if x.Ed25519 == key && x.V3Ident == "" && !slices.Contains(out, x.Name) {
				out = append(out, x.Name)
			}
		}
		return false
	})
	return out
}

// guard is the relay that circuits of the service begin with now.
func (l *campaignLab) guard() (name string) {
	l.host.count(func(e *chivev1.Envelope) bool {
		if c := e.GetCircuitLaunched(); c != nil && len(c.GetPath()) > 1 {
			if x := l.byFingerprint(c.GetPath()[0]); x != "" {
				name = x
			}
		}
		return false
	})
	return name
}

// fell kills relays, and gives what starts them again.
func (l *campaignLab) fell(t *testing.T, names ...string) func() {
	for _, name := range names {
		if err := l.Kill(name); err != nil {
			t.Error(err)
		}
	}
	return func() {
		for _, name := range names {
			if err := l.Restart(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// one is any of them.
func (l *campaignLab) one(t *testing.T, of []string) string {
	if len(of) == 0 {
		t.Fatal("the node has told of none")
	}
	return of[l.rng.IntN(len(of))]
}

func (l *campaignLab) killPoint(t *testing.T) func() { return l.fell(t, l.one(t, l.points())) }

func (l *campaignLab) killGuard(t *testing.T) func() { return l.fell(t, l.guard()) }

func (l *campaignLab) killDirectories(t *testing.T) func() {
	all := l.directories()
	l.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return l.fell(t, all[:min(3, len(all))]...)
}

// forget has the directories start anew: they keep descriptors in memory alone.
func (l *campaignLab) forget(t *testing.T) func() {
	l.fell(t, l.directories()...)()
	return func() {}
}

// silencePoint: its connections stay open, and nothing comes of them.
func (l *campaignLab) silencePoint(t *testing.T) func() {
	name := l.one(t, l.points())
	if err := l.Stop(name); err != nil {
		t.Error(err)
	}
	return func() {
		if err := l.Cont(name); err != nil {
			t.Error(err)
		}
	}
}

// killProcess: the node is killed, and started again at once, as a supervisor of processes does.
func (l *campaignLab) killProcess(t *testing.T) func() {
	l.host.kill()
	l.host = runChild(l.t, l.dir)
	return func() {}
}

func (l *campaignLab) fillDisk(t *testing.T) func() {
	fill(t, l.dir)
	return func() {
		if err := os.Remove(filepath.Join(l.dir, "filler")); err != nil {
			t.Error(err)
		}
	}
}

func (l *campaignLab) cutNATS(*testing.T) func() {
	l.wire.set(silent)
	l.wire.cut()
	return func() { l.wire.set(passing) }
}

func moveClock(by time.Duration) func(*campaignLab, *testing.T) func() {
	return func(l *campaignLab, _ *testing.T) func() {
		l.host.move(by)
		return func() { l.host.move(-by) }
	}
}

func (l *campaignLab) sleep(t *testing.T) func() {
	l.host.asleep(t, 15*time.Second, 10*time.Minute)
	return func() { l.host.move(-10 * time.Minute) }
}
