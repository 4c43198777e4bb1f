package cbt

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"chive/tor/netdoc"
)

var start = time.Unix(1_000_000, 0)

func learning(t *testing.T, p netdoc.Params) *Estimator {
	t.Helper()
	e, events := New(History{}, ParamsOf(p), Settings{Learn: true})
	if len(events) != 0 {
		t.Fatal(events)
	}
	e.Heard(start)
	return e
}

func build(e *Estimator, n int, took time.Duration) (events []Event) {
	for range n {
		events = append(events, e.Built(took, false)...)
	}
	return events
}

func wantTimeouts(t *testing.T, e *Estimator, timeout, limit time.Duration, learned bool) {
	t.Helper()
	if e.Timeout() != timeout || e.Close() != limit || e.Learned() != learned {
		t.Fatalf("timeout %v, close %v, learned %v; want %v, %v, %v", e.Timeout(), e.Close(), e.Learned(), timeout, limit, learned)
	}
}

// path-spec §2.4.1: "from 60 seconds … until cbtmincircs circuits".
func TestInitialTimeoutUntilEnoughCircuits(t *testing.T) {
	e := learning(t, nil)
	wantTimeouts(t, e, time.Minute, time.Minute, false)
	build(e, 99, 300*time.Millisecond)
	wantTimeouts(t, e, time.Minute, time.Minute, false)
	build(e, 1, 300*time.Millisecond)
	wantTimeouts(t, e, 305*time.Millisecond, time.Minute, true)
}

func TestCircuitBuildTimeoutIsTheInitialValueOrTheOnlyOne(t *testing.T) {
	e, _ := New(History{}, ParamsOf(netdoc.Params{"cbtmincircs": 1}), Settings{Learn: true, Timeout: 5 * time.Second})
	wantTimeouts(t, e, 5*time.Second, 5*time.Second, false)
	build(e, 1, time.Second)
	wantTimeouts(t, e, 1005*time.Millisecond, time.Minute, true)
	e.Configure(ParamsOf(netdoc.Params{"cbtmincircs": 1}), Settings{Timeout: 5 * time.Second})
	wantTimeouts(t, e, 5*time.Second, 5*time.Second, false)
	if events := build(e, 1, time.Second); events != nil {
		t.Fatal("measured without being asked to", events)
	}
	e.Configure(ParamsOf(netdoc.Params{"cbtdisabled": 1}), Settings{Learn: true})
	wantTimeouts(t, e, time.Minute, time.Minute, false)
}

// cbtmintimeout: "the smallest value".
func TestMinimum(t *testing.T) {
	e := learning(t, netdoc.Params{"cbtmincircs": 1, "cbtmintimeout": 2000})
	build(e, 1, 50*time.Millisecond)
	wantTimeouts(t, e, 2*time.Second, time.Minute, true)
}

// path-spec §2.4.3: cbtmaxtimeouts of the last cbtrecentcount circuits late after
// their first hop: history and timeout are reset, and doubled if they were the
// initial ones already.
func TestChangeOfTheNetworkResetsThenDoubles(t *testing.T) {
	e := learning(t, nil)
	build(e, 100, 300*time.Millisecond)
	for range 50 {
		if e.TimedOut(false) != nil {
			t.Fatal("circuits that never reached their guard tell of the guard")
		}
	}
	change := func() (events []Event) {
		for i := range 18 {
			if events = e.TimedOut(true); (i == 17) != (events != nil) {
				t.Fatalf("timeout %d: %v", i+1, events)
			}
		}
		return events
	}
	change()
	wantTimeouts(t, e, time.Minute, time.Minute, false)
	events := change()
	wantTimeouts(t, e, 2*time.Minute, 2*time.Minute, false)
	change()
	wantTimeouts(t, e, 4*time.Minute, 4*time.Minute, false)
	if want := []Event{{Kind: Reset, TimeoutMs: 120_000, CloseMs: 120_000}}; !reflect.DeepEqual(events, want) {
		t.Fatal(events)
	}
	// A circuit that is in time takes a late one's place.
	for range 17 {
		e.TimedOut(true)
	}
	build(e, 20, time.Second)
	if e.TimedOut(true) != nil {
		t.Fatal("late circuits long ago are a change")
	}
	build(e, 80, time.Second)
	wantTimeouts(t, e, 1005*time.Millisecond, time.Minute, true)
	e.Forget()
	wantTimeouts(t, e, time.Minute, time.Minute, false)
}

func TestTimeoutsNeverOverflow(t *testing.T) {
	e := learning(t, netdoc.Params{"cbtmaxtimeouts": 3})
	for range 10_000 {
		e.TimedOut(true)
	}
	if e.Timeout() <= time.Hour || e.Close() < e.Timeout() || e.Close() > maxMs*time.Millisecond {
		t.Fatal(e.Timeout(), e.Close())
	}
}

// path-spec §2.4.3: while nothing at all arrives, nothing is counted.
func TestSilenceOfTheNetworkIsNotMeasured(t *testing.T) {
	e := learning(t, netdoc.Params{"cbtmincircs": 1})
	if events := e.Abandoned(start.Add(time.Second)); events != nil || e.Live() {
		t.Fatal("counted while nothing arrived", events)
	}
	if events := e.Built(time.Second, false); events != nil {
		t.Fatal("counted before anything arrived", events)
	}
	e.Heard(start.Add(-time.Second)) // older than what is known
	if e.Live() {
		t.Fatal("the past is not a sign of life")
	}
	e.Heard(start.Add(2 * time.Second))
	build(e, 1, time.Second)
	if events := e.Abandoned(start.Add(time.Second)); len(events) != 1 || events[0].Time != Abandoned {
		t.Fatal(events)
	}
	if n, abandoned := e.Count(); n != 2 || abandoned != 1 {
		t.Fatal(n, abandoned)
	}
}

// C tor issue 41420: a history full of abandoned circuits froze the timeout.
func TestAbandonedCircuitsNeverFreezeTheTimeout(t *testing.T) {
	e := learning(t, netdoc.Params{"cbtmincircs": 10})
	build(e, 10, 100*time.Millisecond)
	wantTimeouts(t, e, 105*time.Millisecond, time.Minute, true)
	for range Observed {
		e.Abandoned(start)
	}
	if e.Timeout() < time.Minute {
		t.Fatalf("the timeout stays at %v though no circuit was built for so long", e.Timeout())
	}
	var full History
	for range Observed {
		full.Times = append(full.Times, Abandoned)
	}
	e, events := New(full, ParamsOf(nil), Settings{Learn: true})
	if n, _ := e.Count(); n != 0 || len(events) != 1 || e.Learned() {
		t.Fatal("a history that tells nothing was kept", n, events)
	}
}

// After a suspend: "Strange value for circuit build time" in C tor.
func TestImpossibleTimesDoNotCount(t *testing.T) {
	e := learning(t, nil)
	for _, took := range []time.Duration{-1, 2*time.Minute + time.Second + 1, 1 << 62} {
		if e.Built(took, false) != nil {
			t.Error(took)
		}
	}
}

// path-spec §2.4.1: test circuits every cbttestfreq while fewer than cbtmincircs
// are known and no more than cbtmaxopencircs are open.
func TestTestCircuits(t *testing.T) {
	e := learning(t, netdoc.Params{"cbtmincircs": 2})
	e.Launched(start)
	for _, test := range []struct {
		after  time.Duration
		unused int
		want   bool
	}{{10 * time.Second, 0, false}, {11 * time.Second, 0, true}, {11 * time.Second, 9, true}, {11 * time.Second, 10, false}} {
		if got := e.WantsTest(start.Add(test.after), test.unused); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	build(e, 2, time.Second)
	if e.WantsTest(start.Add(time.Hour), 0) {
		t.Error("enough is known")
	}
}

func TestParameterRanges(t *testing.T) {
	wild := netdoc.Params{}
	for _, name := range []string{
		"cbtdisabled", "cbtnummodes", "cbtrecentcount", "cbtmaxtimeouts", "cbtmincircs", "cbtquantile",
		"cbtclosequantile", "cbttestfreq", "cbtmintimeout", "cbtinitialtimeout", "cbtmaxopencircs",
	} {
		wild[name] = -1 << 31
	}
	want := Params{false, 1, 3, 3, 1, .1, .1, time.Second, 10 * time.Millisecond, 10 * time.Millisecond, 0}
	if got := ParamsOf(wild); got != want {
		t.Error(got)
	}
	if got := ParamsOf(netdoc.Params{"cbtquantile": 90, "cbtclosequantile": 20, "cbtmintimeout": 90_000}); got.CloseQuantile != .9 || got.Initial != 90*time.Second {
		t.Error(got)
	}
}

// Whatever happens: the timeouts keep their order and bounds, and the history
// that its events lead to, through JSON, gives the same timeouts.
func TestHistoryReplays(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := ParamsOf(netdoc.Params{"cbtmincircs": int32(1 + rng.IntN(50)), "cbtmaxtimeouts": 3})
		s := Settings{Learn: true}
		e, _ := New(History{}, p, s)
		var h History
		now := start
		for range 3000 {
			now = now.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
			var events []Event
			switch rng.IntN(12) {
			case 0:
				events = e.TimedOut(rng.IntN(2) == 0)
			case 1:
				events = e.Abandoned(now.Add(-time.Duration(rng.IntN(int(time.Minute)))))
			case 2:
				e.Heard(now)
			case 3:
				if rng.IntN(200) == 0 {
					events = e.Forget()
				}
			default:
				events = e.Built(time.Duration(rng.ExpFloat64()*float64(time.Second)), rng.IntN(5) == 0)
			}
			for _, ev := range events {
				b, err := json.Marshal(ev)
				var back Event
				if err = errors.Join(err, json.Unmarshal(b, &back)); err != nil {
					t.Fatal(err)
				}
				if err := h.Apply(back); err != nil {
					t.Fatal(err)
				}
			}
			if e.Timeout() < p.MinTimeout || e.Close() < e.Timeout() || len(e.h.Times) > Observed {
				t.Fatal(e.Timeout(), e.Close())
			}
		}
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		again, events := New(h.Clone(), p, s)
		if len(events) != 0 || again.Timeout() != e.Timeout() || again.Close() != e.Close() || again.Learned() != e.Learned() {
			t.Fatalf("seed %d: %v %v %v after the replay, %v %v %v before", seed, again.Timeout(), again.Close(), again.Learned(), e.Timeout(), e.Close(), e.Learned())
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"times":[105,-1,205],"timeout_ms":60000,"close_ms":60000}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h History
		if json.Unmarshal(b, &h) != nil || h.Check() != nil {
			return
		}
		e, _ := New(h, ParamsOf(netdoc.Params{"cbtmincircs": 1}), Settings{Learn: true})
		if e.Timeout() <= 0 || e.Close() < e.Timeout() {
			t.Fatal(e.Timeout(), e.Close())
		}
	})
}

func BenchmarkBuilt(b *testing.B) {
	e, _ := New(History{}, ParamsOf(nil), Settings{Learn: true})
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		e.Built(time.Duration(200+rng.IntN(1000))*time.Millisecond, false)
	}
}
