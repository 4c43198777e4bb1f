package pathbias

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chive/tor/netdoc"
)

var (
	g1     = netdoc.Digest{1}
	g2     = netdoc.Digest{2}
	unset  = Settings{-1, -1, -1, -1, -1, -1, -1, -1, -1}
	params = ParamsOf(nil, unset)
)

// C tor's defaults, the consensus's values, and the user's above both.
func TestParams(t *testing.T) {
	want := Params{
		Circuits: 150, Notice: 0.7, Warn: 0.5, Extreme: 0.3, ScaleCircuits: 300,
		Uses: 20, NoticeUse: 0.8, ExtremeUse: 0.6, ScaleUses: 100, Ratio: 0.5,
	}
	if diff := cmp.Diff(want, params); diff != "" {
		t.Error(diff)
	}
	consensus := netdoc.Params{
		"pb_mincircs": 5, "pb_noticepct": 71, "pb_warnpct": 51, "pb_extremepct": 0, "pb_scalecircs": 10,
		"pb_minuse": 3, "pb_noticeusepct": 81, "pb_extremeusepct": 61, "pb_scaleuse": 11, "pb_multfactor": 9, "pb_scalefactor": 4,
	}
	want = Params{
		Circuits: 5, Notice: 0.71, Warn: 0.51, ScaleCircuits: 10,
		Uses: 3, NoticeUse: 0.81, ExtremeUse: 0.61, ScaleUses: 11, Ratio: 1,
	}
	if diff := cmp.Diff(want, ParamsOf(consensus, unset)); diff != "" {
		t.Error(diff)
	}
	set := Settings{7, 0.9, 0.8, 0, 20, 4, 0.5, 0.25, 30}
	want = Params{
		Circuits: 7, Notice: 0.9, Warn: 0.8, ScaleCircuits: 20,
		Uses: 4, NoticeUse: 0.5, ExtremeUse: 0.25, ScaleUses: 30, Ratio: 1,
	}
	if diff := cmp.Diff(want, ParamsOf(consensus, set)); diff != "" {
		t.Error(diff)
	}
}

// run has so many circuits built and ended.
type run struct {
	*Book
	n      int
	alarms []Alarm
}

func (r *run) took(a *Alarm) {
	if a != nil {
		r.alarms = append(r.alarms, *a)
	}
}

func (r *run) built(guard netdoc.Digest, use bool, how End) {
	r.n++
	id := fmt.Sprint(r.n)
	r.took(r.Built(id, guard))
	if use {
		r.took(r.Used(id))
	}
	r.Ended(id, how)
}

func (r *run) levels() (out []Level) {
	for _, a := range r.alarms {
		out = append(out, a.Level)
	}
	return out
}

func TestCountsOfOneCircuit(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  bool
		how  End
		want Counts
	}{
		{"unused, closed by us", false, ByUs, Counts{Attempts: 1, Built: 1, Whole: 1}},
		{"unused, destroyed", false, Lost, Counts{Attempts: 1, Built: 1, Collapsed: 1}},
		{"used, closed by us", true, ByUs, Counts{Attempts: 1, Built: 1, Whole: 1, Uses: 1, Used: 1}},
		{"used, then destroyed: it had carried something", true, Lost, Counts{Attempts: 1, Built: 1, Whole: 1, Uses: 1, Used: 1}},
		{"used, and nothing answered", true, Unusable, Counts{Attempts: 1, Built: 1, Unusable: 1, Uses: 1}},
		{"used when the node stopped", true, Unknown, Counts{Attempts: 1, Built: 1, Whole: 1, Uses: 1, Used: 1}},
	} {
		r := &run{Book: New(nil, params)}
		r.built(g1, tt.use, tt.how)
		if diff := cmp.Diff(map[netdoc.Digest]Counts{g1: tt.want}, r.Counts()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// Levels are told once each, as the rate falls through them, and not before there are
// enough circuits.
func TestAlarmsOfCircuits(t *testing.T) {
	r := &run{Book: New(nil, params)}
	for range 150 {
		r.took(r.Unbuilt(g1))
	}
	if len(r.alarms) != 0 {
		t.Fatalf("after %d circuits: %v", 150, r.levels())
	}
	r = &run{Book: New(nil, params)}
	for range 120 {
		r.built(g1, false, ByUs)
	}
	for range 40 { // 120 of 160
		r.took(r.Unbuilt(g1))
	}
	if len(r.alarms) != 0 {
		t.Fatalf("at a rate of 75 %%: %v", r.levels())
	}
	for range 400 {
		r.took(r.Unbuilt(g1))
	}
	if diff := cmp.Diff([]Level{Notice, Warn, Extreme}, r.levels()); diff != "" {
		t.Error(diff)
	}
	a := r.alarms[0]
	if a.Use || a.Guard != g1 || a.Successes != 120 || a.Attempts != 172 || a.Counts.Built != 120 {
		t.Errorf("%+v", a)
	}
	if n := len(r.alarms); n != 3 {
		t.Errorf("%d alarms", n)
	}
	r.alarms = nil
	for range 200 {
		r.built(g2, false, ByUs)
	}
	if len(r.alarms) != 0 {
		t.Errorf("another guard: %v", r.alarms)
	}
}

func TestCollapsedCircuitsAreFailures(t *testing.T) {
	r := &run{Book: New(nil, params)}
	for range 152 {
		r.built(g1, false, Lost)
	}
	if diff := cmp.Diff([]Level{Extreme}, r.levels()); diff != "" {
		t.Error(diff)
	}
}

func TestAlarmsOfUses(t *testing.T) {
	r := &run{Book: New(nil, params)}
	for range 20 {
		r.built(g1, true, ByUs)
	}
	for range 25 {
		r.built(g1, true, Unusable)
	}
	if diff := cmp.Diff([]Level{Notice, Extreme}, r.levels()); diff != "" {
		t.Error(diff)
	}
	if !r.alarms[0].Use || r.alarms[0].Guard != g1 {
		t.Errorf("%+v", r.alarms[0])
	}
}

// A rate of 0 switches a level off.
func TestRateOfZero(t *testing.T) {
	set := unset
	set.Notice, set.Warn, set.Extreme = 0, 0, 0
	r := &run{Book: New(nil, ParamsOf(nil, set))}
	for range 1000 {
		r.took(r.Unbuilt(g1))
	}
	if len(r.alarms) != 0 {
		t.Error(r.alarms)
	}
}

// Open circuits have the benefit of the doubt.
func TestOpenCircuitsAreSuccesses(t *testing.T) {
	r := &run{Book: New(nil, params)}
	for i := range 200 {
		r.took(r.Built(fmt.Sprint(i), g1))
		r.took(r.Used(fmt.Sprint(i)))
	}
	if len(r.alarms) != 0 {
		t.Fatal(r.alarms)
	}
	kept := r.Counts()[g1]
	if kept.Whole != 200 || kept.Used != kept.Uses {
		t.Errorf("kept %+v", kept)
	}
	for i := range 200 {
		r.Ended(fmt.Sprint(i), Unusable)
	}
	r.built(g1, true, ByUs)
	if diff := cmp.Diff([]Level{Extreme, Extreme}, r.levels()); diff != "" {
		t.Error(diff)
	}
}

// Old failures are outweighed by new successes, and the other way round.
func TestScaling(t *testing.T) {
	r := &run{Book: New(nil, params)}
	for range 301 {
		r.built(g1, true, ByUs)
	}
	if c := r.Counts()[g1]; c.Attempts != 301 || c.Uses > 101 || c.Uses < 51 {
		t.Fatalf("%+v", c)
	}
	r.built(g1, false, ByUs)
	want := Counts{Attempts: 151.5, Built: 151.5, Whole: 151.5}
	got := r.Counts()[g1]
	got.Uses, got.Used = 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeptAndForgotten(t *testing.T) {
	r := &run{Book: New(map[netdoc.Digest]Counts{g1: {Attempts: 200, Built: 200, Whole: 20}}, params)}
	r.built(g1, false, ByUs)
	if diff := cmp.Diff([]Level{Extreme}, r.levels()); diff != "" {
		t.Error(diff)
	}
	r.took(r.Built("open", g1))
	r.Forget(g1)
	r.took(r.Used("open"))
	r.Ended("open", Unusable)
	if n := len(r.Counts()); n != 0 {
		t.Errorf("%d guards after one was forgotten", n)
	}
	for i := range 3000 {
		r.built(netdoc.Digest{byte(i), byte(i >> 8), 3}, false, ByUs)
	}
	if n := len(r.Counts()); n != maxGuards {
		t.Errorf("%d guards are counted", n)
	}
}

// No order of circuits makes counts impossible.
func TestCountsStayPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := unset
		set.Circuits, set.ScaleCircuits, set.Uses, set.ScaleUses = 5, 10, 3, 10
		b := New(nil, ParamsOf(netdoc.Params{"pb_multfactor": 3, "pb_scalefactor": 7}, set))
		var open []string
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			pick := func() int { return rapid.IntRange(0, len(open)-1).Draw(t, "which") }
			switch what := rapid.IntRange(0, 4).Draw(t, "what"); {
			case what <= 1 || len(open) == 0:
				b.Built(fmt.Sprint(i), g1)
				open = append(open, fmt.Sprint(i))
			case what == 2:
				b.Unbuilt(g1)
			case what == 3:
				b.Used(open[pick()])
			default:
				at := pick()
				b.Ended(open[at], End(rapid.IntRange(0, 3).Draw(t, "how")))
				open = append(open[:at], open[at+1:]...)
			}
			c := b.Counts()[g1]
			const near = 1e-6
			if !c.Valid() || c.Built > c.Attempts+near || c.Used > c.Uses+near || c.Whole+c.Collapsed > c.Built+near ||
				math.Abs(c.Whole+c.Collapsed+c.Unusable-c.Built) > near {
				t.Fatalf("%+v", c)
			}
		}
	})
}
