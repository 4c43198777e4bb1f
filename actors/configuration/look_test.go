package configuration

import (
	"context"
	"errors"
	"slices"
	"testing"

	"chive/messages"
)

// folder is a part whose options name one.
type folder struct {
	holds    []messages.ConfigNote
	gone     error
	reread   []bool
	prepared int
}

func (*folder) Name() string { return "folder" }

func (f *folder) Look(_ context.Context, c Change) ([]messages.ConfigNote, error) {
	f.reread = append(f.reread, c.Reread)
	return f.holds, f.gone
}

func (f *folder) Prepare(context.Context, Change) (Step, error) {
	f.prepared++
	return Step{}, nil
}

// What options name is looked at before anything changes, also if nothing is to; what cannot
// be followed is refused then. A proposal that is wrong itself says so.
func TestLook(t *testing.T) {
	f := &folder{holds: []messages.ConfigNote{{Path: "/f", Text: "is new"}}}
	d := newDesk(t, settings(t, ""), &memory{}, f)
	if r := d.reload(); !r.Applied || !slices.Equal(r.Notes, f.holds) || f.prepared != 1 {
		t.Errorf("%+v, prepared %d times", r, f.prepared)
	}
	if r := d.propose(messages.ConfigProposal{Source: messages.ConfigFromReload, DryRun: true}); !r.Applied || !slices.Equal(r.Notes, f.holds) || f.prepared != 1 {
		t.Errorf("only looked: %+v, prepared %d times", r, f.prepared)
	}
	if r := d.set(line("LogLevel", "debug")); !r.Applied || f.prepared != 2 {
		t.Errorf("%+v", r)
	}
	if want := []bool{true, true, false}; !slices.Equal(f.reread, want) {
		t.Errorf("read again: %v, want %v", f.reread, want)
	}
	f.gone = errors.New("/f is gone")
	for _, dry := range []bool{false, true} {
		r := d.propose(messages.ConfigProposal{Source: messages.ConfigFromSignal, DryRun: dry})
		if r.Applied || r.Reason != "folder: /f is gone" || r.Wrong || f.prepared != 2 || d.state.Current().LogLevel != "debug" {
			t.Errorf("%+v, prepared %d times", r, f.prepared)
		}
	}
	for _, l := range []messages.ConfigLine{line("LogLevel", "loud"), line("NoSuchOption", "1"), line("LogLevel", "")} {
		if r := d.set(l); r.Applied || !r.Wrong {
			t.Errorf("%v: %+v", l, r)
		}
	}
}
