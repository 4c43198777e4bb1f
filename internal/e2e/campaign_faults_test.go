package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/messages/fold/story"

	"chive/messages/chivev1"
)

// fault is something that befalls a service.
type fault struct {
	name  string
	least time.Duration // it is watched for so long at least
	// begin lets it happen, and gives what ends it.
	begin func(*campaignLab, *testing.T) (undo func())
	// causes are what the node may say when the service suffers, the first of them for sure
	// when it does not.
	causes string
}

// away are the causes of relays that are away: one is an introduction point, a directory and a
// guard at once.
const away = " relay-gone point-unreachable not-stored connections rendezvous"

var faults = []fault{
	{"introduction relay killed", 40 * time.Second, (*campaignLab).killPoint, away},
	{"directories killed", 40 * time.Second, (*campaignLab).killDirectories, away},
	{"guard killed", 40 * time.Second, (*campaignLab).killGuard, away},
	{"process killed", 30 * time.Second, (*campaignLab).killProcess, "not-running restarted"},
	{"disk full", 40 * time.Second, (*campaignLab).fillDisk, "disk"},
	{"NATS cut", 30 * time.Second, (*campaignLab).cutNATS, "journal"},
	{"clock an hour ahead", 40 * time.Second, moveClock(time.Hour), "clock consensus"},
	{"clock an hour back", 40 * time.Second, moveClock(-time.Hour), "clock consensus"},
	{"asleep", 40 * time.Second, (*campaignLab).sleep, "slept clock"},
	{"introduction relay silent", 40 * time.Second, (*campaignLab).silencePoint, away},
	{"directories alone killed", 40 * time.Second, (*campaignLab).killIdleDirectories, away},
	{"directories forget", 40 * time.Second, (*campaignLab).forget, away},
}

// why asks the program why the service was down, and holds the answer against what it was.
func (l *campaignLab) why(t *testing.T, f fault, r trial, began time.Time) error {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args := []string{"onion", "why", filepath.Join(l.dir, "service"), "--data-dir", filepath.Join(l.dir, "data"), "-o", "json"}
	if l.host.ahead == 0 { // else the node's times are none of the program's
		args = append(args, "--since", began.Add(-time.Second).UTC().Format(time.RFC3339Nano))
	}
	out, err := exec.CommandContext(ctx, l.chive, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chive onion why: %w: %s", err, out)
	}
	var st story.Service
	if err := json.Unmarshal(out, &st); err != nil {
		return fmt.Errorf("chive onion why: %w: %s", err, out)
	}
	named := map[string]bool{}
	for _, s := range st.Spells {
		named[s.State], named[s.Cause] = true, true
		for _, h := range s.Healing {
			named[h.Cause] = true
		}
		for _, h := range s.Happened {
			named["clock"] = named["clock"] || strings.Contains(h.Text, "the clock was set")
			named["slept"] = named["slept"] || strings.Contains(h.Text, "the machine was asleep")
			// A directory that is away while others work is no state, but it is told.
			named["not-stored"] = named["not-stored"] || strings.Contains(h.Text, "failed after") && strings.Contains(h.Text, "when asking a directory")
		}
	}
	t.Logf("%s: %s", f.name, st.Summary)
	for _, cause := range strings.Fields(f.causes) {
		if named[cause] {
			return nil
		}
	}
	shaken := strings.Contains(f.causes, "clock") // it is told in any case
	if !shaken && r.failed == 0 && !named["broken"] && !named["impaired"] && !named["unverified"] {
		return nil // it took no harm, and there is nothing to explain
	}
	return fmt.Errorf("none of%s is named: %s", " "+f.causes, out)
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

func (l *campaignLab) killDirectories(t *testing.T) func() { return l.fellThree(t, l.directories()) }

// killIdleDirectories: those that clients choose from now and that are of no other use to the
// service, so that nothing but being asked tells that they are gone.
func (l *campaignLab) killIdleDirectories(t *testing.T) func() {
	used := append(l.points(), l.guard())
	idle := slices.DeleteFunc(l.asked(time.Now().Add(-2*time.Minute)), func(name string) bool { return slices.Contains(used, name) })
	if len(idle) == 0 {
		t.Log("each directory that gave the descriptor of late is of other use, too")
		return l.killDirectories(t)
	}
	return l.fellThree(t, idle)
}

// asked are the directories that gave the node's visits the descriptor since then, by name, but
// for authorities.
func (l *campaignLab) asked(since time.Time) (out []string) {
	l.host.count(func(e *chivev1.Envelope) bool {
		p := e.GetHostingProbed()
		if p == nil || p.GetOutcome() != chivev1.Outcome_OUTCOME_OK || e.GetTime().AsTime().Add(-l.host.ahead).Before(since) {
			return false
		}
		key := base64.RawStdEncoding.EncodeToString(p.GetDirectory())
		for _, x := range l.Nodes() {
			if x.Ed25519 == key && x.V3Ident == "" && !slices.Contains(out, x.Name) {
				out = append(out, x.Name)
			}
		}
		return false
	})
	return out
}

func (l *campaignLab) fellThree(t *testing.T, all []string) func() {
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
