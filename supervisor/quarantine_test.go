package supervisor

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"

	"chive/actors/kernel"
)

// ward is a quarantine with a clock and what it told.
type ward struct {
	*Quarantine
	now  time.Time
	told []string
}

func newWard(c QuarantineConfig) *ward {
	w := &ward{now: time.Unix(1_800_000_000, 0)}
	c.Now = func() time.Time { return w.now }
	c.OnSetAside = func(s SetAside) {
		w.told = append(w.told, fmt.Sprintf("%s %s by %s: %d for %v", s.Kind, s.Key, s.By, s.Crashes, s.For))
	}
	w.Quarantine = NewQuarantine(c)
	return w
}

func TestThreeCrashesSetInputAside(t *testing.T) {
	w := newWard(QuarantineConfig{})
	w.Crashed("cell", "a", "c1")
	w.Crashed("cell", "a", "c2")
	w.Crashed("cell", "b", "c2")
	w.Crashed("document", "a", "c2")
	if err := w.Admit("cell", "a"); err != nil || len(w.told) > 0 {
		t.Fatalf("too early: %v, %q", err, w.told)
	}
	if !w.Crashed("cell", "a", "c3") || w.Crashed("cell", "a", "c4") {
		t.Fatal("set aside once")
	}
	if len(w.told) != 1 || w.told[0] != "cell a by c3: 3 for 1h0m0s" {
		t.Fatalf("told %q", w.told)
	}
	var poison *PoisonError
	if err := w.Admit("cell", "a"); !errors.As(err, &poison) || !errors.Is(err, ErrPoison) || poison.Crashes < 3 {
		t.Fatalf("%v", err)
	}
	for _, id := range [][2]string{{"cell", "b"}, {"document", "a"}, {"cell", "c"}} {
		if err := w.Admit(id[0], id[1]); err != nil {
			t.Errorf("%v is not what crashed: %v", id, err)
		}
	}
	w.now = w.now.Add(time.Hour)
	if err := w.Admit("cell", "a"); err != nil {
		t.Fatalf("for ever: %v", err)
	}
}

func TestCrashesFarApartDoNotAddUp(t *testing.T) {
	w := newWard(QuarantineConfig{Within: time.Minute})
	for range 20 {
		w.Crashed("cell", "a", "c")
		w.now = w.now.Add(61 * time.Second)
	}
	w.Crashed("cell", "b", "c")
	w.Crashed("cell", "b", "c")
	w.Worked("cell", "b")
	w.Crashed("cell", "b", "c")
	if len(w.told) > 0 {
		t.Fatalf("told %q", w.told)
	}
}

func TestClockSetBackFreesInput(t *testing.T) {
	w := newWard(QuarantineConfig{Crashes: 1})
	w.Crashed("cell", "a", "c")
	w.now = w.now.Add(-48 * time.Hour)
	if err := w.Admit("cell", "a"); err != nil {
		t.Fatalf("held for two days: %v", err)
	}
}

// Crashes that go on while the input is set aside (of what was under way) do
// not make it free; after its time it starts anew.
func TestSetAsideAgain(t *testing.T) {
	w := newWard(QuarantineConfig{Crashes: 2, For: time.Minute})
	for range 2 {
		w.Crashed("cell", "a", "c")
		w.Crashed("cell", "a", "c")
		w.now = w.now.Add(time.Minute)
	}
	if len(w.told) != 2 {
		t.Fatalf("told %q", w.told)
	}
}

func TestDoCountsPanicsAndLetsThemPass(t *testing.T) {
	w := newWard(QuarantineConfig{})
	crash := func() (v any) {
		defer func() { v = recover() }()
		_ = w.Do("document", "d", "directory", func() error { panic("boom") })
		return nil
	}
	for range 3 {
		if crash() != "boom" {
			t.Fatal("the panic was swallowed")
		}
	}
	if err := w.Do("document", "d", "directory", func() error { t.Error("handled"); return nil }); !errors.Is(err, ErrPoison) {
		t.Fatal(err)
	}
	bad := errors.New("does not parse")
	for range 5 {
		if err := w.Do("document", "e", "directory", func() error { return bad }); !errors.Is(err, bad) {
			t.Fatalf("an error is not a crash: %v", err)
		}
	}
}

// Whatever happens, it remembers no more than it may, and refuses only what
// crashed as often as it says.
func TestQuarantineProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := QuarantineConfig{Crashes: rapid.IntRange(1, 4).Draw(t, "crashes"), Keep: rapid.IntRange(1, 6).Draw(t, "keep")}
		w := newWard(c)
		crashed := map[string]int{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			key := rapid.StringMatching("[a-h]").Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				w.Crashed("cell", key, "c")
				crashed[key]++
			case 2:
				w.Worked("cell", key)
				crashed[key] = 0
			case 3:
				w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "wait")))
			}
			if len(w.inputs) > c.Keep {
				t.Fatalf("%d remembered, %d may be", len(w.inputs), c.Keep)
			}
			if err := w.Admit("cell", key); err != nil && crashed[key] < c.Crashes {
				t.Fatalf("%v after %d crashes", err, crashed[key])
			}
		}
	})
}

func TestQuarantineUnderManyGoroutines(t *testing.T) {
	var mu sync.Mutex
	told := 0
	q := NewQuarantine(QuarantineConfig{Keep: 16, OnSetAside: func(SetAside) { mu.Lock(); told++; mu.Unlock() }})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				key := fmt.Sprint((i + j) % 10)
				_ = q.Admit("cell", key)
				q.Crashed("cell", key, "c")
			}
		})
	}
	wg.Wait()
	if told != 10 {
		t.Fatalf("%d set aside, want each of ten once", told)
	}
}

// bullet is a message that knows what input it is.
type bullet string

func (b bullet) InputKey() (kind, key string) { return "bullet", string(b) }

// The same message kills each new child: after three, it is not passed on any
// more, and others are.
func TestPoisonIsNotPassedOn(t *testing.T) {
	w := newWard(QuarantineConfig{})
	onStage(t, Options{Quarantine: w.Quarantine}, func(s *stage) {
		type pass struct{ m any }
		var got []string
		var answers []error
		children, err := NewChildren(Options{
			Strategy:   Strategy{Backoff: Backoff{Min: time.Second, Max: time.Second, Factor: 1}, Retries: 1},
			Quarantine: w.Quarantine,
		})
		if err != nil {
			t.Fatal(err)
		}
		owner := s.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			if children.Receive(ctx) {
				return
			}
			switch m := ctx.Message().(type) {
			case *actor.Started:
				children.Supervise(ctx, Supervise{Name: "victim", Props: always(func(ctx actor.Context) {
					if b, ok := ctx.Message().(bullet); ok {
						got = append(got, string(b))
						if b == "silver" {
							panic(errRefused)
						}
					}
				})})
			case pass:
				answers = append(answers, children.Pass(ctx, "victim", m.m))
			}
		}))
		shoot := func(b any) error {
			s.tell(owner, pass{b})
			s.pass(2 * time.Second) // the next one is there
			return answers[len(answers)-1]
		}
		for range 3 {
			if err := shoot(bullet("silver")); err != nil {
				t.Fatal(err)
			}
			if err := shoot(bullet("lead")); err != nil {
				t.Fatal(err)
			}
		}
		if err := shoot(bullet("silver")); !errors.Is(err, ErrPoison) {
			t.Fatalf("passed on: %v", err)
		}
		if err := shoot(bullet("lead")); err != nil {
			t.Fatal(err)
		}
		if len(got) != 7 || len(w.told) != 1 || w.told[0] != "bullet silver by victim: 3 for 1h0m0s" {
			t.Fatalf("handled %q, told %q", got, w.told)
		}
		if err := kernel.StopAndWait(s.system, owner, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}
