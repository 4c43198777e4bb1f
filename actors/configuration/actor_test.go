package configuration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/actors/kernel"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

func writeTorrc(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "torrc")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// memory is a store that forgets with the test.
type memory struct {
	fails error

	mu        sync.Mutex // protects the field below
	revisions []Revision
}

func (m *memory) Load() ([]Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.revisions), m.fails
}

func (m *memory) Append(r Revision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revisions = append(m.revisions, r)
	return m.fails
}

// desk is a configuration actor with what it told.
type desk struct {
	*Control
	t      *testing.T
	source *config.Source
	store  *memory

	mu     sync.Mutex
	events []*chivev1.Envelope
	stir   chan struct{}
}

func (d *desk) told() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		text := messages.Verb(e)
		switch {
		case e.GetConfigApplied() != nil:
			a := e.GetConfigApplied()
			text = fmt.Sprintf("applied %d %s %s", a.GetRevision(), a.GetMouth(), a.GetOptions())
			if a.GetWaiting() != "" {
				text += " waiting " + a.GetWaiting()
			}
		case e.GetConfigRejected() != nil:
			r := e.GetConfigRejected()
			text = fmt.Sprintf("rejected %s %s: %s", r.GetMouth(), r.GetStage(), r.GetReason())
		}
		out = append(out, text)
	}
	d.events = nil
	return out
}

// newDesk is one that reads its files when it is told to.
func newDesk(t *testing.T, source *config.Source, store *memory, parts ...Subscriber) *desk {
	t.Helper()
	return openDesk(t, source, store, false, parts)
}

// watchingDesk looks for files that change, too.
func watchingDesk(t *testing.T, source *config.Source) *desk {
	t.Helper()
	return openDesk(t, source, &memory{}, true, nil)
}

func openDesk(t *testing.T, source *config.Source, store *memory, watch bool, parts []Subscriber) *desk {
	t.Helper()
	state, err := Open(source, store, slog.New(slog.DiscardHandler), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	system := kernel.NewSystem(nil)
	d := &desk{Control: NewControl(state, system, nil), t: t, source: source, store: store, stir: make(chan struct{}, 1)}
	recorder := messages.NewRecorder("test", time.Now, 1<<14)
	t.Cleanup(recorder.Observe(func(e *chivev1.Envelope) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
		select {
		case d.stir <- struct{}{}:
		default:
		}
	}))
	pid := system.Root.Spawn(Props(Options{
		State: state, Parts: parts, Recorder: recorder, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Watch: watch, PollEvery: 50 * time.Millisecond, Settle: 10 * time.Millisecond,
	}))
	d.Attach(pid)
	t.Cleanup(func() {
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Error(err)
		}
		kernel.Shutdown(system)
	})
	return d
}

func (d *desk) propose(p messages.ConfigProposal) messages.ConfigResult {
	d.t.Helper()
	r, err := d.ProposeConfig(d.t.Context(), p)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *desk) set(lines ...messages.ConfigLine) messages.ConfigResult {
	d.t.Helper()
	return d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Lines: lines})
}

func line(name, value string) messages.ConfigLine {
	return messages.ConfigLine{Name: name, Value: value}
}

func (d *desk) reload() messages.ConfigResult {
	d.t.Helper()
	return d.propose(messages.ConfigProposal{Source: messages.ConfigFromSignal})
}

// rewrite replaces the torrc without the watch seeing it half done.
func (d *desk) rewrite(text string) {
	d.t.Helper()
	next := d.source.File + ".new"
	if err := os.WriteFile(next, []byte("DataDirectory "+filepath.Dir(d.source.File)+"\n"+text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(next, d.source.File); err != nil {
		d.t.Fatal(err)
	}
}

func TestLayersSurviveEachOther(t *testing.T) {
	d := newDesk(t, settings(t, "SocksTimeout 10 seconds\n"), &memory{})
	if r := d.set(line("sockstimeout", "20 seconds"), line("LogLevel", "debug")); !r.Applied || r.Revision != 2 || len(r.Changes) != 2 {
		t.Fatalf("%+v", r)
	}
	// A reload does not take away what was set while the node runs.
	d.rewrite("SocksTimeout 30 seconds\nMaxCircuitDirtiness 1 hour\n")
	d.reload()
	c := d.state.Current()
	if c.SocksTimeout != 20*time.Second || c.LogLevel != "debug" || c.MaxCircuitDirtiness != time.Hour {
		t.Fatalf("%v %v %v", c.SocksTimeout, c.LogLevel, c.MaxCircuitDirtiness)
	}
	// Taken back, the file counts again, as it is now.
	if r := d.set(messages.ConfigLine{Name: "SocksTimeout", Reset: true}); !r.Applied {
		t.Fatal(r.Reason)
	}
	// The fleet is below the operator.
	r := d.propose(messages.ConfigProposal{
		Source: messages.ConfigFromFleet, FleetRevision: 7, Author: "UA", Replace: true,
		Lines: []messages.ConfigLine{line("LogLevel", "err"), line("NewCircuitPeriod", "1 minute")},
	})
	if c = d.state.Current(); !r.Applied || c.LogLevel != "debug" || c.NewCircuitPeriod != time.Minute || c.SocksTimeout != 30*time.Second {
		t.Fatalf("%+v; %v %v %v", r, c.LogLevel, c.NewCircuitPeriod, c.SocksTimeout)
	}
	if r := d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Replace: true}); !r.Applied || d.state.Current().LogLevel != "err" {
		t.Fatalf("%+v", r)
	}
	if r := d.propose(messages.ConfigProposal{Source: messages.ConfigFromFleet, FleetRevision: 8, Replace: true}); !r.Applied {
		t.Fatalf("%+v", r)
	}
	if c = d.state.Current(); c.LogLevel != "" || c.NewCircuitPeriod != 30*time.Second {
		t.Fatalf("%v %v", c.LogLevel, c.NewCircuitPeriod)
	}
	view, err := d.ConfigView(t.Context())
	if err != nil || view.FleetRevision != 8 {
		t.Fatalf("%+v %v", view, err)
	}
	for _, s := range view.Settings {
		if s.Option == "SocksTimeout" && (s.Origin != "file" || s.Values[0] != "30 seconds") {
			t.Errorf("%+v", s)
		}
	}
}

func TestRefusals(t *testing.T) {
	d := newDesk(t, settings(t, "SocksTimeout 10 seconds\n"), &memory{})
	fleet := func(n uint64, lines ...messages.ConfigLine) messages.ConfigProposal {
		return messages.ConfigProposal{Source: messages.ConfigFromFleet, FleetRevision: n, Lines: lines}
	}
	control := func(lines ...messages.ConfigLine) messages.ConfigProposal {
		return messages.ConfigProposal{Source: messages.ConfigFromControl, Lines: lines}
	}
	if r := d.propose(fleet(5, line("LogLevel", "warn"))); !r.Applied {
		t.Fatal(r.Reason)
	}
	if r := d.propose(fleet(5, line("LogLevel", "warn"))); !r.Applied || len(r.Changes) != 0 {
		t.Fatalf("the revision in force again: %+v", r)
	}
	d.told()
	before := d.state.Current()
	tests := []struct {
		name string
		p    messages.ConfigProposal
		want string // in the reason
		told string // by the event, behind the mouth
	}{
		{"unknown mouth", messages.ConfigProposal{Source: "web"}, `unknown mouth "web"`, "check: see the node's log"},
		{"nothing", control(), "the proposal says nothing", ""},
		{"unknown option", control(line("SocksTimout", "1")), "unknown option (did you mean SocksTimeout?)", "check: unknown option"},
		{"C tor's option", control(line("Bridge", "x")), "not supported yet", ""},
		{"bad value", control(line("LogLevel", "loud"), line("SocksTimeout", "20 seconds")), `unknown severity "loud"`, "read: LogLevel: bad value"},
		{"contradiction", control(line("CircuitPoolMinSize", "9"), line("CircuitPoolMaxSize", "8")), "is less than", "read: CircuitPoolMaxSize: options contradict each other"},
		{"restart", control(line("NodeName", "x")), "set it in the torrc and start the node again", ""},
		{"two lines in one", control(line("LogLevel", "warn\nSafeLogging 0")), "control character", ""},
		{"reset with a value", control(messages.ConfigLine{Name: "LogLevel", Value: "x", Reset: true}), "a reset has no value", ""},
		{"reload with lines", messages.ConfigProposal{Source: messages.ConfigFromReload, Lines: []messages.ConfigLine{line("LogLevel", "warn")}}, "has no lines of its own", ""},
		{"signal with lines", messages.ConfigProposal{Source: messages.ConfigFromSignal, Lines: []messages.ConfigLine{line("LogLevel", "warn")}}, "has no lines of its own", ""},
		{"fleet: no revision", fleet(0, line("LogLevel", "err")), "needs its revision", ""},
		{"fleet: replay", fleet(4, line("LogLevel", "err")), "an older revision", ""},
		{"fleet: same revision, other content", fleet(5, line("LogLevel", "err")), "another content", ""},
		{"fleet: isolation", fleet(6, line("IsolateSOCKSAuth", "0")), "IsolateSOCKSAuth cannot be set remotely", "check: IsolateSOCKSAuth: not for remote publishers"},
		{"fleet: listener", fleet(6, line("LogLevel", "err"), line("SocksPort", "0.0.0.0:1")), "SocksPort cannot be set remotely", ""},
		{"fleet: authority", fleet(6, line("dirauthority", "x")), "DirAuthority cannot be set remotely", ""},
		{"fleet: reset of what it may not set", fleet(6, messages.ConfigLine{Name: "SafeLogging", Reset: true}), "SafeLogging cannot be set remotely", ""},
		{"too many", control(slices.Repeat([]messages.ConfigLine{line("Log", "notice stderr")}, maxLines+1)...), "at most 4096", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := d.propose(tt.p)
			if r.Applied || !strings.Contains(r.Reason, tt.want) || r.Revision != 2 {
				t.Errorf("%+v, want %q", r, tt.want)
			}
			told := d.told()
			want := "rejected " + string(tt.p.Source) + " " + tt.told
			if len(told) != 2 || told[0] != "proposed" || !strings.HasPrefix(told[1], want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
	if d.state.Current() != before {
		t.Error("something has changed")
	}
	history, err := d.ConfigHistory(t.Context())
	if err != nil || len(history) != 2+maxRejected {
		t.Fatalf("%d entries, %v", len(history), err)
	}
}

// A part that cannot follow leaves all as it was; the next change is made.
func TestPartsThatCannotFollow(t *testing.T) {
	for _, stage := range []string{"prepare", "commit", "prepare!", "commit!"} {
		var said []string
		good, bad := &part{"good", "", &said}, &part{"bad", stage, &said}
		d := newDesk(t, settings(t, ""), &memory{}, good, bad)
		before := d.state.Current()
		if r := d.set(line("LogLevel", "debug")); r.Applied || !strings.HasPrefix(r.Reason, "bad: ") || d.state.Current() != before {
			t.Fatalf("%s: %+v", stage, r)
		}
		view, _ := d.ConfigView(t.Context())
		if !strings.HasPrefix(view.Rejected, "bad: ") || view.Revision != 1 {
			t.Errorf("%s: %+v", stage, view)
		}
		if told, want := d.told(), "rejected control "+strings.TrimSuffix(stage, "!")+": bad"; len(told) != 2 || told[1] != want {
			t.Errorf("told %q", told)
		}
		bad.fails = ""
		if r := d.set(line("LogLevel", "debug")); !r.Applied || d.state.Current().LogLevel != "debug" {
			t.Fatalf("%s: afterwards %+v", stage, r)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	var said []string
	d := newDesk(t, settings(t, "SocksTimeout 10 seconds\n"), &memory{}, &part{"a", "", &said})
	p := messages.ConfigProposal{Source: messages.ConfigFromControl, DryRun: true, Lines: []messages.ConfigLine{line("LogLevel", "debug")}}
	if r := d.propose(p); !r.Applied || len(r.Changes) != 1 || r.Changes[0].Effect != "hot" || r.Revision != 1 {
		t.Errorf("%+v", r)
	}
	p.Lines[0].Value = "loud"
	if r := d.propose(p); r.Applied || r.Reason == "" {
		t.Errorf("%+v", r)
	}
	if len(said) > 0 || len(d.told()) > 0 || d.state.Current().LogLevel != "" {
		t.Errorf("parts did %q", said)
	}
}

func TestWhatNeedsARestartWaits(t *testing.T) {
	d := newDesk(t, settings(t, "NodeName a\n"), &memory{})
	d.rewrite("NodeName b\nLogLevel debug\n")
	r := d.reload()
	if !r.Applied || len(r.Changes) != 2 || r.Changes[1].Option != "NodeName" || r.Changes[1].Effect != "restart" {
		t.Fatalf("%+v", r)
	}
	if c := d.state.Current(); c.NodeName != "a" || c.LogLevel != "debug" {
		t.Fatalf("%s %s", c.NodeName, c.LogLevel)
	}
	view, _ := d.ConfigView(t.Context())
	if len(view.Waiting) != 1 || view.Waiting[0].Old != "a" || view.Waiting[0].New != "b" {
		t.Errorf("waiting %+v", view.Waiting)
	}
	d.rewrite("NodeName a\nLogLevel debug\n")
	d.reload()
	if view, _ = d.ConfigView(t.Context()); len(view.Waiting) != 0 {
		t.Errorf("waiting %+v", view.Waiting)
	}
}

func TestHistoryDiffAndRevert(t *testing.T) {
	store := &memory{}
	d := newDesk(t, settings(t, "SocksTimeout 10 seconds\n"), store)
	d.set(line("SocksTimeout", "20 seconds"))                                                              // 2
	d.set(line("LogLevel", "debug"), line("SocksPort", "9150 IsolateDestPort"), line("SocksPort", "9151")) // 3
	d.rewrite("SocksTimeout 10 seconds\nMaxCircuitDirtiness 1 hour\n")
	d.reload() // 4
	diff, err := d.ConfigDiff(t.Context(), 1, 3)
	if err != nil || len(diff) != 3 || diff[1].Option != "SocksPort" || diff[1].New != "127.0.0.1:9150 IsolateDestPort\n127.0.0.1:9151" {
		t.Fatalf("%+v %v", diff, err)
	}
	if diff, _ = d.ConfigDiff(t.Context(), 4, 0); len(diff) != 0 {
		t.Fatalf("the last revision and what is in force: %+v", diff)
	}
	if _, err := d.ConfigDiff(t.Context(), 1, 99); !errors.Is(err, ErrNoRevision) {
		t.Errorf("err %v", err)
	}
	r, err := d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 2})
	if err != nil || !r.Applied || r.Revision != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	c := d.state.Current()
	if c.SocksTimeout != 20*time.Second || c.LogLevel != "" || c.MaxCircuitDirtiness != 10*time.Minute || len(c.SocksPorts) != 1 {
		t.Fatalf("%v %v %v %v", c.SocksTimeout, c.LogLevel, c.MaxCircuitDirtiness, c.SocksPorts)
	}
	if diff, _ = d.ConfigDiff(t.Context(), 2, 5); len(diff) != 0 {
		t.Errorf("not as it was: %+v", diff)
	}
	if r, _ = d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 99}); r.Applied || !strings.Contains(r.Reason, "no such revision") {
		t.Errorf("%+v", r)
	}
	history, _ := d.ConfigHistory(t.Context())
	var got []string
	for _, h := range history {
		got = append(got, fmt.Sprintf("%d %s %d", h.Revision, h.Source, h.RevertOf))
	}
	if want := []string{"1 start 0", "2 control 0", "3 control 0", "4 signal 0", "5 control 2", "0 control 99"}; !slices.Equal(got, want) {
		t.Errorf("history %q", got)
	}
	if told := d.told(); !slices.Contains(told, "reverted") || !slices.Contains(told, "applied 5 control SocksPort,MaxCircuitDirtiness,LogLevel") {
		t.Errorf("told %q", told)
	}
}

// What the fleet set is in force after a restart; what the operator set is not.
// Numbers go on.
func TestRestart(t *testing.T) {
	store := &memory{}
	source := settings(t, "")
	d := newDesk(t, source, store)
	d.set(line("MaxCircuitDirtiness", "1 hour"))
	d.propose(messages.ConfigProposal{Source: messages.ConfigFromFleet, FleetRevision: 3, Lines: []messages.ConfigLine{line("CircuitPoolMinSize", "5")}})
	log := slog.New(slog.DiscardHandler)
	s, err := Open(source, store, log, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Current(); c.CircuitPoolMinSize != 5 || c.MaxCircuitDirtiness != 10*time.Minute || s.Revision() != 4 {
		t.Errorf("%d %v, revision %d", c.CircuitPoolMinSize, c.MaxCircuitDirtiness, s.Revision())
	}
	if s, err = Open(source, store, log, time.Now()); err != nil || s.Revision() != 4 || s.book.Load().fleet != 3 {
		t.Errorf("a restart without a change: revision %d, %v", s.Revision(), err)
	}
	// The file no longer goes with what the fleet set: the file counts.
	d.rewrite("CircuitPoolMaxSize 3\n")
	if s, err = Open(source, store, log, time.Now()); err != nil || s.Current().CircuitPoolMinSize != 2 {
		t.Errorf("%+v %v", s, err)
	}
	if n := s.book.Load().fleet; n != 2 {
		t.Errorf("the fleet's revision %d cannot be sent again", n)
	}
	store.fails = errors.New("disk full")
	if s, err = Open(source, store, log, time.Now()); err != nil || s.Current() == nil {
		t.Errorf("without a store: %v", err)
	}
}

// A history that cannot be written does not stand in the way.
func TestChangesWithoutStore(t *testing.T) {
	d := newDesk(t, settings(t, ""), &memory{fails: errors.New("disk full")})
	if r := d.set(line("LogLevel", "debug")); !r.Applied || r.Revision != 2 {
		t.Errorf("%+v", r)
	}
}

// 1,000 at once: each is answered, one after the other, and none is half done.
func TestConcurrentProposals(t *testing.T) {
	var mu sync.Mutex
	inside := 0
	d := newDesk(t, settings(t, ""), &memory{}, &lone{&mu, &inside, t})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var applied, reloaded int
	var count sync.Mutex
	for i := range 1000 {
		wg.Go(func() {
			p := messages.ConfigProposal{Source: messages.ConfigFromSignal}
			if i%4 == 0 {
				p = messages.ConfigProposal{Source: messages.ConfigFromControl, Lines: []messages.ConfigLine{
					line("CircuitPoolMinSize", fmt.Sprint(i%100)), line("CircuitPoolMaxSize", fmt.Sprint(i%100)),
				}}
			}
			r, err := d.ProposeConfig(ctx, p)
			if err != nil || !r.Applied {
				t.Errorf("%d: %+v %v", i, r, err)
			}
			count.Lock()
			defer count.Unlock()
			if i%4 == 0 {
				applied++
			} else {
				reloaded++
			}
		})
	}
	wg.Wait()
	if c := d.state.Current(); c.CircuitPoolMinSize != c.CircuitPoolMaxSize || applied != 250 || reloaded != 750 {
		t.Errorf("%d and %d; %d, %d", c.CircuitPoolMinSize, c.CircuitPoolMaxSize, applied, reloaded)
	}
}

// lone fails the test when two changes are made at once, or one sees half of
// another.
type lone struct {
	mu     *sync.Mutex
	inside *int
	t      *testing.T
}

func (*lone) Name() string { return "lone" }

func (l *lone) Prepare(_ context.Context, c Change) (Step, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *l.inside++; *l.inside != 1 {
		l.t.Error("two changes at once")
	}
	return Step{Settle: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*l.inside--
	}}, nil
}
