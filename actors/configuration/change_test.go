package configuration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chive/internal/leak"
	"pgregory.net/rapid"

	"chive/config"
)

func TestMain(m *testing.M) { leak.Main(m) }

// part is a subscriber that writes down what is asked of it and fails as told.
type part struct {
	name  string
	fails string // prepare, commit, settle, or with "!": panics there
	said  *[]string
}

func (p *part) Name() string { return p.name }

func (p *part) does(what string) error {
	*p.said = append(*p.said, p.name+" "+what)
	switch p.fails {
	case what:
		return errors.New("cannot " + what)
	case what + "!":
		panic("secret of " + p.name)
	}
	return nil
}

func (p *part) Prepare(context.Context, Change) (Step, error) {
	if err := p.does("prepare"); err != nil {
		return Step{}, err
	}
	return Step{
		Commit: func() error { return p.does("commit") },
		Undo:   func() { _ = p.does("undo") },
		Settle: func() { _ = p.does("settle") },
		Abort:  func() { _ = p.does("abort") },
	}, nil
}

func TestCarryOut(t *testing.T) {
	tests := []struct {
		name  string
		fails [3]string
		want  string // steps
		stage string // "" when the change stands
		part  string
	}{
		{"all goes well", [3]string{}, "a prepare, b prepare, c prepare, a commit, b commit, c commit, a settle, b settle, c settle", "", ""},
		{"the last cannot prepare", [3]string{"", "", "prepare"}, "a prepare, b prepare, c prepare, b abort, a abort", stagePrepare, "c"},
		{"the first cannot prepare", [3]string{"prepare"}, "a prepare", stagePrepare, "a"},
		{"one panics while it prepares", [3]string{"", "prepare!", ""}, "a prepare, b prepare, a abort", stagePrepare, "b"},
		{"the last cannot commit", [3]string{"", "", "commit"}, "a prepare, b prepare, c prepare, a commit, b commit, c commit, c undo, b undo, a undo", stageCommit, "c"},
		{"one panics while it commits", [3]string{"", "commit!", ""}, "a prepare, b prepare, c prepare, a commit, b commit, b undo, a undo, c abort", stageCommit, "b"},
		{"one panics while it settles", [3]string{"", "settle!", ""}, "a prepare, b prepare, c prepare, a commit, b commit, c commit, a settle, b settle, c settle", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said []string
			var parts []Subscriber
			for i, name := range []string{"a", "b", "c"} {
				parts = append(parts, &part{name, tt.fails[i], &said})
			}
			err := carryOut(t.Context(), parts, Change{})
			if got := strings.Join(said, ", "); got != tt.want {
				t.Errorf("did  %s\nwant %s", got, tt.want)
			}
			var stage *StageError
			switch {
			case tt.stage == "":
				var left *settleError
				if err != nil && !errors.As(err, &left) {
					t.Errorf("err %v", err)
				}
			case !errors.As(err, &stage) || stage.Stage != tt.stage || stage.Part != tt.part:
				t.Errorf("err %v, want at %s of %s", err, tt.stage, tt.part)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the value of a panic is told: %v", err)
			}
		})
	}
}

// Whatever fails wherever: each part that prepared is either settled, with all
// others, or back where it was, in reverse order.
func TestCarryOutIsAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var said []string
		var parts []Subscriber
		for i := range rapid.IntRange(0, 6).Draw(t, "parts") {
			fails := rapid.SampledFrom([]string{"", "", "", "prepare", "commit", "prepare!", "commit!", "undo!", "abort!", "settle!"}).Draw(t, "fails")
			parts = append(parts, &part{fmt.Sprint(i), fails, &said})
		}
		err := carryOut(context.Background(), parts, Change{})
		var stage *StageError
		failed := errors.As(err, &stage)
		where := map[string]string{}
		var back []string
		for _, s := range said {
			name, what, _ := strings.Cut(s, " ")
			switch was := where[name]; {
			case what == "prepare" && was == "", what == "commit" && was == "prepare",
				what == "settle" && was == "commit", what == "undo" && was == "commit", what == "abort" && was == "prepare":
			default:
				t.Fatalf("%s was at %q and did %s: %q", name, was, what, said)
			}
			where[name] = what
			if what == "undo" || what == "abort" {
				back = append(back, what+" "+name)
			}
		}
		for name, at := range where {
			switch {
			case !failed && at == "settle", failed && (at == "undo" || at == "abort"):
			case failed && at == "prepare" && stage.Part == name && stage.Stage == stagePrepare: // it prepared nothing
			default:
				t.Fatalf("%s ends at %s, the change failed: %v", name, at, failed)
			}
		}
		if failed && stage.Stage == stagePrepare && !slices.IsSortedFunc(back, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Fatalf("taken back in the order %q", back)
		}
	})
}

func TestCarryOutEndsWithItsTime(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var said []string
	slow := &part{"slow", "", &said}
	gone := errors.New("time is up")
	cancel(gone)
	if err := carryOut(ctx, []Subscriber{slow}, Change{}); !errors.Is(err, gone) {
		t.Errorf("err %v", err)
	}
	if got := strings.Join(said, ", "); got != "slow prepare, slow abort" {
		t.Errorf("did %s", got)
	}
}

// settings gives a source that is always the same.
func settings(t *testing.T, lines string) *config.Source {
	t.Helper()
	dir := t.TempDir()
	return &config.Source{File: writeTorrc(t, dir, "DataDirectory "+dir+"\n"+lines)}
}
