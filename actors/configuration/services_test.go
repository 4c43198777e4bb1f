package configuration

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/config"
	"chive/messages"
)

func (d *desk) add(keep bool, folders ...string) messages.ConfigResult {
	d.t.Helper()
	p := messages.ConfigProposal{Source: messages.ConfigFromControl, Keep: keep}
	for _, f := range folders {
		p.Lines = append(p.Lines, messages.ConfigLine{Name: serviceDir, Value: f + "; HiddenServicePort 80", Append: true})
	}
	return d.propose(p)
}

func (d *desk) remove(folder string) messages.ConfigResult {
	d.t.Helper()
	return d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Lines: []messages.ConfigLine{
		{Name: serviceDir, Value: folder, Remove: true},
	}})
}

// services are the folders of a state with who says that they are hosted.
func services(s *State) string {
	var out []string
	for _, o := range s.Current().OnionServices {
		out = append(out, o.Dir+" "+o.From.String())
	}
	return strings.Join(out, ", ")
}

func (d *desk) hosts(want string) {
	d.t.Helper()
	if got := services(d.state); got != want {
		d.t.Errorf("hosted are %q, want %q", got, want)
	}
}

func (d *desk) reopened() *State {
	d.t.Helper()
	s, err := Open(d.source, d.store, slog.New(slog.DiscardHandler), time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

const torrcService = "HiddenServiceDir /t\nHiddenServicePort 80\n"

// What was added to stay is there after a restart, beside what the files say then.
func TestServicesAreAddedToStay(t *testing.T) {
	d := newDesk(t, settings(t, torrcService), &memory{})
	if r := d.add(true, "/a"); !r.Applied || len(r.Changes) != 1 || r.Unkept != "" {
		t.Fatalf("%+v", r)
	}
	d.add(false, "/b")
	d.add(true, "/c")
	d.hosts("/t file, /b chive config set, /a chive onion add, /c chive onion add")
	if got := services(d.reopened()); got != "/t file, /a chive onion add, /c chive onion add" {
		t.Errorf("after a restart: %q", got)
	}
	d.rewrite("HiddenServiceDir /u\nHiddenServicePort 80\n") // a reload has them, too
	d.reload()
	d.hosts("/u file, /b chive config set, /a chive onion add, /c chive onion add")
	d.set(line(serviceDir, "/o; HiddenServicePort 80"))
	d.hosts("/o chive config set, /a chive onion add, /c chive onion add")
	d.set(messages.ConfigLine{Name: serviceDir, Reset: true})
	if r := d.remove("/a"); !r.Applied {
		t.Fatalf("%+v", r)
	}
	d.hosts("/u file, /c chive onion add")
	if got := services(d.reopened()); got != "/u file, /c chive onion add" {
		t.Errorf("after a restart: %q", got)
	}
	d.remove("/c")
	d.hosts("/u file")
	if last := d.store.revisions[len(d.store.revisions)-1]; last.Added != nil {
		t.Errorf("kept is %+v", last.Added)
	}
}

func TestServicesThatAreRefused(t *testing.T) {
	d := newDesk(t, settings(t, torrcService), &memory{})
	d.add(true, "/a")
	control := func(keep bool, lines ...messages.ConfigLine) messages.ConfigResult {
		return d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Keep: keep, Lines: lines})
	}
	for want, r := range map[string]messages.ConfigResult{
		"/t is there already": d.add(true, "/t"),
		"/a is there already": d.add(false, "/a"),
		"/x is there already": d.add(true, "/x", "/y", "/x"),
		"/t was not added by chive onion add, but by the torrc: take it out there, then chive reload": d.remove("/t"),
		"/z: the node hosts no such service":          d.remove("/z"),
		"the service has no HiddenServicePort":        control(true, messages.ConfigLine{Name: serviceDir, Value: "/x", Append: true}),
		"LogLevel: only HiddenServiceDir is added to": control(false, messages.ConfigLine{Name: "LogLevel", Value: "debug", Append: true}),
		"only what is added outlives the run":         control(true, line("LogLevel", "debug")),
		"a reset has no value":                        control(false, messages.ConfigLine{Name: serviceDir, Value: "/x", Reset: true}),
		"HiddenServiceDir: only HiddenServiceDir is added to": d.propose(messages.ConfigProposal{
			Source: messages.ConfigFromFleet, FleetRevision: 1, Lines: []messages.ConfigLine{{Name: serviceDir, Value: "/x; HiddenServicePort 80", Append: true}},
		}),
	} {
		if r.Applied || !strings.Contains(r.Reason, want) {
			t.Errorf("%q: %+v", want, r)
		}
	}
	d.hosts("/t file, /a chive onion add")
}

// What the files say as well, later, is hosted once; a dry run writes nothing; going back
// brings what was.
func TestServicesAndTheRest(t *testing.T) {
	d := newDesk(t, settings(t, ""), &memory{})
	d.add(true, "/a") // revision 2
	r := d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Keep: true, DryRun: true, Lines: []messages.ConfigLine{
		{Name: serviceDir, Value: "/dry; HiddenServicePort 80", Append: true},
	}})
	if !r.Applied || len(r.Changes) != 1 || len(d.store.revisions) != 2 {
		t.Errorf("%+v", r)
	}
	d.rewrite("HiddenServiceDir /a\nHiddenServicePort 8080\n")
	d.reload() // 3
	d.hosts("/a file")
	d.rewrite("")
	d.reload() // 4
	d.hosts("/a chive onion add")
	d.add(true, "/b") // 5
	d.remove("/a")    // 6
	d.hosts("/b chive onion add")
	for revision, want := range map[uint64]string{2: "/a chive onion add", 5: "/a chive onion add, /b chive onion add", 1: ""} {
		if r, err := d.RevertConfig(t.Context(), messages.ConfigRevert{Revision: revision, Services: true}); err != nil || !r.Applied {
			t.Fatalf("back to %d: %+v %v", revision, r, err)
		}
		d.hosts(want)
		if got := services(d.reopened()); got != want {
			t.Errorf("back at %d and after a restart: %q, want %q", revision, got, want)
		}
	}
}

// Services that do not go with the files do not keep the node from starting, and are not
// forgotten.
func TestServicesThatDoNotGoWithTheFiles(t *testing.T) {
	d := newDesk(t, settings(t, ""), &memory{})
	d.add(true, "/a")
	full := strings.Builder{}
	for i := range config.MaxOnionServices {
		full.WriteString("HiddenServiceDir /t" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "\nHiddenServicePort 80\n")
	}
	d.rewrite(full.String())
	if r := d.reload(); r.Applied || !strings.Contains(r.Reason, "chive onion add: HiddenServiceDir: more than") {
		t.Errorf("%+v", r)
	}
	s := d.reopened()
	if n := len(s.Current().OnionServices); n != config.MaxOnionServices || len(s.book.Load().aside) != 1 {
		t.Fatalf("%d are hosted", n)
	}
	d.rewrite("")
	if got := services(d.reopened()); got != "/a chive onion add" {
		t.Errorf("when it goes again: %q", got)
	}
	// Or it is taken out while it is set aside.
	d.rewrite(full.String())
	aside := newDesk(t, d.source, d.store)
	if r := aside.remove("/a"); !r.Applied {
		t.Fatalf("%+v", r)
	}
	d.rewrite("")
	if got := services(d.reopened()); got != "" {
		t.Errorf("it was taken out: %q", got)
	}
}

// A change that could not be written down is in force, and said to be lost with the run.
func TestServicesThatCannotBeKept(t *testing.T) {
	d := newDesk(t, settings(t, ""), &memory{fails: errors.New("disk full")})
	if r := d.add(true, "/a"); !r.Applied || r.Unkept != "disk full" {
		t.Errorf("%+v", r)
	}
	if r := d.add(false, "/b"); !r.Applied || r.Unkept != "" {
		t.Errorf("%+v", r)
	}
	if r := d.remove("/a"); !r.Applied || r.Unkept != "disk full" {
		t.Errorf("%+v", r)
	}
	// What a file of another hand says is taken as far as it is of services.
	all := toAdd([]config.Live{{Name: "SocksPort", Values: []string{"1"}}, {Name: serviceDir}, {Name: serviceDir, Values: []string{"/a"}, Origin: config.FromFleet}})
	if len(all) != 1 || all[0].Origin != config.FromAdded || !all[0].Append || !slices.Equal(all[0].Values, []string{"/a"}) {
		t.Errorf("%+v", all)
	}
}
