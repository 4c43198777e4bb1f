package story

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
)

var update = flag.Bool("update", false, "write the golden files anew; read them before they are committed")

// golden are logs of hosted services, an event a line and an empty line between two runs of
// a node, with what is told of them.
func goldens(t *testing.T) []string {
	t.Helper()
	logs, err := filepath.Glob("testdata/*.events")
	if err != nil || len(logs) == 0 {
		t.Fatal("no logs", err)
	}
	return logs
}

// read gives the runs of a log, and the names that the service had in it.
func readRuns(t *testing.T, file string) (runs []Run, names []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	runs = []Run{nil}
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			runs = append(runs, nil)
			continue
		}
		e := &chivev1.Envelope{}
		if err := protojson.Unmarshal(in.Bytes(), e); err != nil {
			t.Fatal(err)
		}
		if redacted := messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE); len(redacted.String()) != len(e.String()) {
			t.Errorf("%s has what no history has: %v", file, e)
		}
		if e.GetHostingStarted() != nil {
			names = append(names, e.GetActorId())
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], e)
	}
	return runs, names
}

// Of a shared service the story knows whose it is, and who publishes at the last word.
func TestSharedService(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	event := func(e *chivev1.Envelope) *chivev1.Envelope {
		at = at.Add(time.Second)
		e.Node, e.Time, e.Sequence = "n1", timestamppb.New(at), uint64(at.Unix())
		return e
	}
	const kind = chivev1.Kind_KIND_HOSTING
	log := Run{event(messages.Event(kind, "s", &chivev1.HostingStarted{}))}
	for _, step := range []struct {
		event     *chivev1.Envelope
		shared    bool
		publisher string
	}{
		{messages.Event(kind, "s", &chivev1.HostingPublished{}), false, ""},
		{messages.Event(kind, "s", &chivev1.HostingMembersChanged{Nodes: 1}), true, ""},
		{messages.Event(kind, "s", &chivev1.HostingPublisherChanged{Publisher: "n2"}), true, "n2"},
		{messages.Event(kind, "s", &chivev1.HostingLeaseTaken{From: "n2"}), true, "n1"},
		{messages.Event(kind, "s", &chivev1.HostingLeaseLost{}), true, ""},
		{messages.Event(kind, "other", &chivev1.HostingPublisherChanged{Publisher: "n3"}), true, ""},
	} {
		log = append(log, event(step.event))
		st := Hosted([]Run{log}, []string{"s"}, nil, time.Time{}, time.Time{}, true)
		if st.Node != "n1" || st.Shared != step.shared || st.Publisher != step.publisher {
			t.Errorf("after %v: node %s, shared %v, publisher %q", step.event, st.Node, st.Shared, st.Publisher)
		}
	}
}

func TestHosted(t *testing.T) {
	for _, file := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".events"), func(t *testing.T) {
			runs, names := readRuns(t, file)
			relays := map[string]map[uint64]string{names[len(names)-1]: {2: "RELAY-OF-2"}}
			st := Hosted(runs, names, relays, time.Time{}, time.Time{}, true)
			consistent(t, st)
			got, err := json.MarshalIndent(st, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			want := strings.TrimSuffix(file, ".events") + ".golden"
			if *update {
				if err := os.WriteFile(want, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			told, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(told, got) {
				t.Errorf("another story than %s (go test -update writes it):\n%s", want, got)
			}
			// What there is of a log tells a story, whatever is missing of it.
			for run := range runs {
				for i := range runs[run] {
					cut := append([]Run{}, runs...)
					cut[run] = runs[run][i:]
					consistent(t, Hosted(cut, names, nil, time.Time{}, time.Time{}, true))
				}
			}
			if st := Hosted(runs, names, nil, st.Until.Add(1), time.Time{}, true); len(st.Spells) != 1 {
				t.Errorf("%d spells since the end", len(st.Spells))
			}
			// When no node runs it is down, since the last that was heard of it, or was taken out before.
			later := st.Until.Add(time.Hour)
			if st := Hosted(runs, names, nil, time.Time{}, later, false); !isDown(st.State) && st.State != stateRemoved || st.Began.After(later.Add(-time.Hour)) || !st.Until.Equal(later) {
				t.Errorf("without a node: %+v", st)
			} else {
				consistent(t, st)
			}
			if Hosted(runs, []string{"another"}, nil, time.Time{}, time.Time{}, true) != nil {
				t.Error("a story of a service that is not there")
			}
		})
	}
}

// consistent: one spell follows the other, and sums are those of the spells.
func consistent(t *testing.T, st *Service) {
	t.Helper()
	if st == nil {
		return
	}
	var down, impaired, unverified time.Duration
	for i, s := range st.Spells {
		if last := i == len(st.Spells)-1; last != s.Ended.IsZero() || !last && !s.Ended.Equal(st.Spells[i+1].Began) || s.Lasted < 0 {
			t.Errorf("spell %d is from %v to %v, for %v", i, s.Began, s.Ended, s.Lasted)
		}
		switch s.State {
		case stateBroken, stateNotHosted, stateNotRunning:
			down += s.Lasted
		case stateImpaired:
			impaired += s.Lasted
		case stateUnverified:
			unverified += s.Lasted
		}
	}
	if down != st.Down || impaired != st.Impaired || unverified != st.Unverified {
		t.Errorf("%v %v %v, and the spells say %v %v %v", st.Down, st.Impaired, st.Unverified, down, impaired, unverified)
	}
}

// TestMakeLogs writes the logs that scripts make, if asked for. Those of real runs stand
// beside them.
func TestMakeLogs(t *testing.T) {
	for name, script := range scripts {
		var b strings.Builder
		for i, run := range script() {
			if i > 0 {
				b.WriteByte('\n')
			}
			for _, e := range run {
				line, err := protojson.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				var plain bytes.Buffer // protojson varies its blanks
				if err := json.Compact(&plain, line); err != nil {
					t.Fatal(err)
				}
				b.Write(append(plain.Bytes(), '\n'))
			}
		}
		file := filepath.Join("testdata", name+".events")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		runs, _ := readRuns(t, file)
		if made := script(); len(runs) != len(made) {
			t.Errorf("%s: %d runs, %d are made", file, len(runs), len(made))
		}
	}
}

const hostingKind = chivev1.Kind_KIND_HOSTING

// life is a script of a service.
type life struct {
	*script
	name string
}

func lived(name string, at time.Time) *life {
	s := &script{at: at}
	s.r = messages.NewRecorder("n", func() time.Time { return s.at }, 1)
	l := &life{s, name}
	l.add(messages.Event(node, "n", &chivev1.NodeStarted{Version: "1"}))
	told(l, &chivev1.HostingStarted{})
	for point := range uint64(3) {
		told(l, &chivev1.HostingPointUp{Point: point + 1, CircuitId: "c" + string(rune('a'+point))})
	}
	return l
}

func told[B messages.Body](l *life, m B) { l.add(messages.Event(hostingKind, l.name, m)) }

// fixed gives ids that are the same each time; a recorder's are random.
func fixed(runs ...*life) (out []Run) {
	for _, l := range runs {
		ids := map[string]string{"": ""}
		for i, e := range l.log {
			ids[e.GetId()] = fmt.Sprintf("%s-%03d", l.name, i)
			e.Id, e.CauseId = ids[e.GetId()], ids[e.GetCauseId()]
		}
		out = append(out, l.log)
	}
	return out
}

func (l *life) after(d time.Duration) *life {
	l.at = l.at.Add(d - time.Second)
	return l
}

func (l *life) up() {
	told(l, &chivev1.HostingPublished{Period: 20_000, Directories: 6})
	told(l, &chivev1.HostingProbed{Outcome: chivev1.Outcome_OUTCOME_OK, Stage: chivev1.ProbeStage_PROBE_STAGE_MEETING, Reason: "published", Point: 1})
	told(l, &chivev1.HostingVerified{By: "probe"})
	told(l, &chivev1.HostingMet{CircuitId: "met"})
}

func (l *life) probe(out chivev1.Outcome, stage chivev1.ProbeStage, reason string, point uint64) {
	told(l, &chivev1.HostingProbed{Outcome: out, Stage: stage, Reason: reason, Point: point, Took: durationpb.New(2 * time.Second)})
}

func (l *life) stop() {
	l.add(messages.Event(node, "n", &chivev1.NodeStopping{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN}))
	told(l, &chivev1.HostingStopped{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// scripts make logs by hand: of what a short run of a real network does not show.
var scripts = map[string]func() []Run{
	"relay-gone": func() []Run {
		const gone, ok, timeout = chivev1.HealthCause_HEALTH_CAUSE_RELAY_GONE, chivev1.Outcome_OUTCOME_OK, chivev1.Outcome_OUTCOME_TIMEOUT
		l := lived("svc", noon)
		l.up()
		told(l.after(time.Minute), &chivev1.HostingPointDown{Point: 2, Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
		told(l, &chivev1.HostingPointDown{Point: 2, Outcome: timeout})
		l.probe(timeout, chivev1.ProbeStage_PROBE_STAGE_POINT, "changed", 2)
		l.probe(timeout, chivev1.ProbeStage_PROBE_STAGE_POINT, "confirm", 2)
		told(l, &chivev1.HostingBroken{Cause: gone, Stage: chivev1.ProbeStage_PROBE_STAGE_POINT, Outcome: timeout, Point: 2, Partly: true})
		told(l, &chivev1.HostingHealing{Step: chivev1.HealStep_HEAL_STEP_NEW_CIRCUITS, Cause: gone, Attempt: 1, Point: 2})
		l.after(4*time.Second).probe(timeout, chivev1.ProbeStage_PROBE_STAGE_POINT, "step", 2)
		told(l, &chivev1.HostingHealing{Step: chivev1.HealStep_HEAL_STEP_ROTATE, Cause: gone, Attempt: 2, Point: 2})
		told(l, &chivev1.HostingPointGone{Point: 2, Reason: "repair"})
		told(l, &chivev1.HostingPointUp{Point: 4, CircuitId: "cd"})
		told(l, &chivev1.HostingPublished{Period: 20_000, Directories: 6})
		l.after(3*time.Second).probe(ok, chivev1.ProbeStage_PROBE_STAGE_MEETING, "step", 4)
		told(l, &chivev1.HostingVerified{By: "probe"})
		told(l, &chivev1.HostingHealed{Cause: gone, Step: chivev1.HealStep_HEAL_STEP_ROTATE, Steps: 2, After: durationpb.New(15 * time.Second)})
		told(l.after(time.Hour), &chivev1.HostingMet{CircuitId: "met2"})
		return fixed(l)
	},
	"network-away": func() []Run {
		const away = chivev1.HealthCause_HEALTH_CAUSE_CONNECTIONS
		l := lived("svc", noon)
		l.up()
		l.after(time.Minute).connectionFailed("x", "guard", chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE)
		l.connectionFailed("y", "guard", chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE)
		told(l, &chivev1.HostingUnverified{Cause: away})
		told(l.after(30*time.Second), &chivev1.HostingUnverified{Cause: chivev1.HealthCause_HEALTH_CAUSE_OFFLINE})
		told(l.after(time.Minute), &chivev1.HostingVerified{By: "client"})
		return fixed(l)
	},
	"three-runs": func() []Run {
		const stored, status = chivev1.HealthCause_HEALTH_CAUSE_NOT_STORED, chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
		a := lived("one", noon)
		a.up()
		told(a.after(time.Minute), &chivev1.HostingStored{Period: 20_000, Outcome: status})
		a.probe(status, chivev1.ProbeStage_PROBE_STAGE_DIRECTORY, "period", 0)
		a.probe(status, chivev1.ProbeStage_PROBE_STAGE_DIRECTORY, "confirm", 0)
		told(a, &chivev1.HostingBroken{Cause: stored, Stage: chivev1.ProbeStage_PROBE_STAGE_DIRECTORY, Outcome: status})
		told(a, &chivev1.HostingHealing{Step: chivev1.HealStep_HEAL_STEP_REPUBLISH, Cause: stored, Attempt: 1}) // killed here
		b := lived("two", noon.Add(10*time.Minute))
		b.up()
		b.after(time.Minute).stop()
		c := lived("three", noon.Add(20*time.Minute))
		c.up()
		told(c.after(time.Minute), &chivev1.HostingStopped{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN}) // taken out
		d := lived("other", noon.Add(30*time.Minute))                                                  // it is not this service
		d.log = d.log[:1]
		return fixed(a, b, c, d)
	},
}

// How many others share a service is said in words that agree.
func TestSharedWords(t *testing.T) {
	for want, m := range map[string]*chivev1.HostingMembersChanged{
		"is shared with 0 other nodes that have 0 introduction points": {},
		"is shared with 1 other node that has 3 introduction points":   {Nodes: 1, Points: 3},
		"is shared with 2 other nodes that have 1 introduction point":  {Nodes: 2, Points: 1},
	} {
		if got := sayShared(messages.Event(hostingKind, "s", m)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A shared service that nobody has met through this node is published by it or not, as the nodes
// agree, and what is said first is what the last events say.
func TestSharedStates(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	tell := func(log Run, m *chivev1.Envelope) Run {
		at = at.Add(time.Second)
		m.Node, m.Time, m.Sequence = "n1", timestamppb.New(at), uint64(at.Unix())
		return append(log, m)
	}
	var log Run
	for i, step := range []struct {
		event          *chivev1.Envelope
		state, summary string
	}{
		{messages.Event(hostingKind, "s", &chivev1.HostingStarted{}), stateStarting, "is being published, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingMembersChanged{Nodes: 1}), stateStarting, "is being published, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublisherChanged{Publisher: "n2"}), stateStandby, "is on standby here, and published by node n2, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublisherChanged{Publisher: "n3"}), stateStandby, "is on standby here, and published by node n3, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublisherChanged{}), stateStandby, "is on standby here, and no node is known to publish it, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingLeaseTaken{From: "n3"}), stateStarting, "is being published, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublished{}), statePublished, "is published, and nobody has met it yet, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingLeaseLost{Reason: "given-back"}), stateStandby, "is on standby here, and no node is known to publish it, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublisherChanged{Publisher: "n2"}), stateStandby, "is on standby here, and published by node n2, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingVerified{By: "probe"}), stateUp, "is up, "},
		{messages.Event(hostingKind, "s", &chivev1.HostingPublisherChanged{Publisher: "n3"}), stateUp, "is up, "},
	} {
		log = tell(log, step.event)
		st := Hosted([]Run{log}, []string{"s"}, nil, time.Time{}, time.Time{}, true)
		consistent(t, st)
		if st.State != step.state || !strings.Contains(st.Summary, step.summary) {
			t.Errorf("step %d: %s: %s", i, st.State, st.Summary)
		}
		st.Leave()
		if left := strings.Contains(st.Summary, "is left to other nodes, for this one is drained or about to end, "); left != (st.State != stateUp) || !st.Away {
			t.Errorf("step %d, at a node that takes no part: %s", i, st.Summary)
		}
	}
	// The beginning may have been forgotten.
	st := Hosted([]Run{log[2:]}, []string{"s"}, nil, time.Time{}, time.Time{}, true)
	consistent(t, st)
	if first := st.Spells[0]; first.State != stateStandby || first.Text != "what was before is not in the history" {
		t.Errorf("%+v", first)
	}
	// What the node knows now is newer.
	st = Hosted([]Run{log[:3]}, []string{"s"}, nil, time.Time{}, time.Time{}, true)
	if st.Know("n4"); st.Publisher != "n4" || !strings.Contains(st.Summary, "published by node n4") {
		t.Errorf("%+v", st)
	}
}

func TestTimes(t *testing.T) {
	for n, want := range map[int]string{1: "once", 2: "in 2 times"} {
		if got := times(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestOften(t *testing.T) {
	for n, want := range map[uint64]string{0: "never", 1: "once", 2: "2 times"} {
		if got := often(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
