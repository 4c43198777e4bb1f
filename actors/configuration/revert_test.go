package configuration

import (
	"strings"
	"testing"

	"chive/config"
	"chive/messages"
)

func (d *desk) back(to messages.ConfigRevert) messages.ConfigResult {
	d.t.Helper()
	r, err := d.RevertConfig(d.t.Context(), to)
	if err != nil || !r.Applied {
		d.t.Fatalf("back to %d: %+v %v", to.Revision, r, err)
	}
	return r
}

// noted holds the notes of a result against the words that they are to have, in their order.
func (d *desk) noted(r messages.ConfigResult, want ...string) {
	d.t.Helper()
	if len(r.Notes) != len(want) {
		d.t.Fatalf("notes %+v, want %q", r.Notes, want)
	}
	for i, w := range want {
		if !strings.Contains(r.Notes[i].Text, w) {
			d.t.Errorf("noted %q, want %q", r.Notes[i].Text, w)
		}
	}
}

// What chive onion add added and chive onion rm took out is no matter of an option's that
// goes back, unless it is said to be.
func TestRevertAndServicesThatWereAdded(t *testing.T) {
	d := newDesk(t, settings(t, torrcService), &memory{})
	d.set(line("LogLevel", "debug")) // 2
	d.add(true, "/a")                // 3
	d.add(false, "/b")               // 4
	all := "/t file, /b chive config set, /a chive onion add"
	dry := d.back(messages.ConfigRevert{Revision: 1, DryRun: true})
	d.noted(dry, "added after revision 1: 2, which stay; with --services they are taken out")
	r := d.back(messages.ConfigRevert{Revision: 1}) // 5
	d.noted(r, "added after revision 1: 2, which stay")
	if len(r.Changes) != 1 || r.Changes[0].Option != "LogLevel" || len(dry.Changes) != 1 || d.state.Current().LogLevel != "" {
		t.Errorf("%+v", r)
	}
	d.hosts(all)
	if got := services(d.reopened()); got != "/t file, /a chive onion add" {
		t.Errorf("after a restart: %q", got)
	}

	d.set(line("LogLevel", "info")) // 6
	d.remove("/a")                  // 7
	d.remove("/b")                  // 8
	d.propose(messages.ConfigProposal{Source: messages.ConfigFromControl, Keep: true, Lines: []messages.ConfigLine{
		{Name: serviceDir, Value: "/b; HiddenServicePort 90", Append: true}, // 9
	}})
	d.noted(d.back(messages.ConfigRevert{Revision: 4}), "taken out after revision 4: 1, which stay out", "other options after revision 4: 1, which stay as they are")
	d.hosts("/t file, /b chive onion add")
	if d.state.Current().LogLevel != "debug" {
		t.Errorf("LogLevel %q", d.state.Current().LogLevel)
	}

	d.noted(d.back(messages.ConfigRevert{Revision: 4, Services: true}))
	d.hosts(all)
	d.noted(d.back(messages.ConfigRevert{Revision: 1, Services: true}))
	d.hosts("/t file")
	if got := services(d.reopened()); got != "/t file" {
		t.Errorf("after a restart: %q", got)
	}
}

// A service that was added for this run stays, too, when the services that were set go.
func TestRevertAndServicesThatWereSet(t *testing.T) {
	d := newDesk(t, settings(t, torrcService), &memory{})
	d.set(line(serviceDir, "/o; HiddenServicePort 80")) // 2
	d.add(false, "/b")                                  // 3
	d.hosts("/o chive config set, /b chive config set")
	d.back(messages.ConfigRevert{Revision: 1})
	d.hosts("/t file, /b chive config set")
	d.back(messages.ConfigRevert{Revision: 2})
	d.hosts("/o chive config set, /b chive config set")
	if r := d.remove("/b"); !r.Applied {
		t.Errorf("%+v", r)
	}
	d.hosts("/o chive config set")
}

// Services that are set aside are as much there as others.
func TestRevertAndServicesThatAreSetAside(t *testing.T) {
	d := newDesk(t, settings(t, ""), &memory{})
	d.add(true, "/a")
	full := strings.Builder{}
	for i := range config.MaxOnionServices {
		full.WriteString("HiddenServiceDir /t" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "\nHiddenServicePort 80\n")
	}
	d.rewrite(full.String())
	aside := newDesk(t, d.source, d.store)
	aside.set(line("LogLevel", "debug"))
	n := aside.state.Revision()
	if r := aside.back(messages.ConfigRevert{Revision: n - 1}); len(r.Notes) != 0 {
		t.Errorf("%+v", r.Notes)
	}
	d.rewrite("")
	if got := services(d.reopened()); got != "/a chive onion add" {
		t.Errorf("when it goes again: %q", got)
	}
}

// Going back to what is in force makes no revision, tells nobody, and says so.
func TestRevertToWhatIsInForce(t *testing.T) {
	d := newDesk(t, settings(t, "LogLevel info\n"), &memory{})
	d.set(line("SocksTimeout", "20 seconds"), line("LogLevel", "info")) // 2
	if r := d.back(messages.ConfigRevert{Revision: 1}); r.Already || r.Revision != 3 {
		t.Fatalf("%+v", r)
	}
	d.told()
	for _, to := range []messages.ConfigRevert{{Revision: 1}, {Revision: 1}, {Revision: 3, Services: true}, {Revision: 1, DryRun: true}} {
		if r := d.back(to); !r.Already || r.Revision != 3 || len(r.Changes) != 0 {
			t.Errorf("%+v: %+v", to, r)
		}
	}
	if told := d.told(); len(told) != 0 || len(d.store.revisions) != 3 {
		t.Errorf("told %q, %d revisions", told, len(d.store.revisions))
	}
	d.add(true, "/a") // 4
	r := d.back(messages.ConfigRevert{Revision: 1})
	if !r.Already || r.Revision != 4 {
		t.Errorf("%+v", r)
	}
	d.noted(r, "added after revision 1: 1, which stay")
	if r = d.back(messages.ConfigRevert{Revision: 1, Services: true}); r.Already || r.Revision != 5 {
		t.Errorf("%+v", r)
	}
	// The files say something else by now, and nobody has read them: it is not in force for long.
	d.rewrite("LogLevel debug\n")
	if r = d.back(messages.ConfigRevert{Revision: 1}); r.Already || r.Revision != 6 {
		t.Errorf("%+v", r)
	}
	d.reload()
	if d.state.Current().LogLevel != "info" {
		t.Errorf("LogLevel %q", d.state.Current().LogLevel)
	}
}
