package link

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/netdoc"
)

func dice(seed uint64) func(int) int { return rand.New(rand.NewPCG(seed, 7)).IntN }

const ms = time.Millisecond

func TestParams(t *testing.T) {
	for name, tt := range map[string]struct {
		of   netdoc.Params
		want Params
	}{
		"no consensus":      {nil, Params{1500 * ms, 9500 * ms, 9000 * ms, 14000 * ms, true}},
		"all set":           {netdoc.Params{"nf_ito_low": 1, "nf_ito_high": 2, "nf_ito_low_reduced": 3, "nf_ito_high_reduced": 4, "nf_pad_before_usage": 0}, Params{1 * ms, 2 * ms, 3 * ms, 4 * ms, false}},
		"switched off":      {netdoc.Params{"nf_ito_low": 0, "nf_ito_high": 0}, Params{0, 0, 9000 * ms, 14000 * ms, true}},
		"high is below low": {netdoc.Params{"nf_ito_low": 5000, "nf_ito_high": 100}, Params{5000 * ms, 5000 * ms, 9000 * ms, 14000 * ms, true}},
		"out of range":      {netdoc.Params{"nf_ito_low": -1, "nf_ito_high": 100_000}, Params{0, 60_000 * ms, 9000 * ms, 14000 * ms, true}},
	} {
		if got := ParamsOf(tt.of); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// What the relay is told, and whether we pad, as C tor does it for each pair of
// options and link protocol.
func TestWhoPads(t *testing.T) {
	std := ParamsOf(nil)
	none := ParamsOf(netdoc.Params{"nf_ito_low": 0, "nf_ito_high": 0})
	for name, tt := range map[string]struct {
		version uint16
		policy  Policy
		told    Command
		least   time.Duration // 0: we don't pad
		most    time.Duration
	}{
		"auto":                           {5, Policy{Auto, false, std}, None, 1500 * ms, 9500 * ms},
		"on":                             {5, Policy{On, false, std}, None, 1500 * ms, 9500 * ms},
		"off":                            {5, Policy{Off, false, std}, Stop, 0, 0},
		"off, reduced":                   {5, Policy{Off, true, std}, Stop, 0, 0},
		"reduced":                        {5, Policy{Auto, true, std}, Stop, 9000 * ms, 14000 * ms},
		"on, reduced":                    {5, Policy{On, true, std}, Stop, 9000 * ms, 14000 * ms},
		"auto, the relay cannot":         {4, Policy{Auto, false, std}, None, 0, 0},
		"on, the relay cannot":           {4, Policy{On, false, std}, None, 1500 * ms, 9500 * ms},
		"off, the relay cannot":          {4, Policy{Off, false, std}, None, 0, 0},
		"on, reduced, the relay cannot":  {4, Policy{On, true, std}, None, 9000 * ms, 14000 * ms},
		"the consensus says no":          {5, Policy{Auto, false, none}, None, 0, 0},
		"reduced, the consensus says no": {5, Policy{Auto, true, none}, Stop, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(tt.version, dice(1))
			if got := m.Configure(tt.policy); got.Command != tt.told {
				t.Errorf("the relay is told %d, want %d", got.Command, tt.told)
			}
			if got := m.Configure(tt.policy); got != (Negotiation{}) {
				t.Errorf("and %v again", got)
			}
			for range 200 {
				got, pads := idle(m, Circuits)
				switch {
				case pads != (tt.most > 0):
					t.Fatalf("pads: %v", pads)
				case pads && (got < tt.least || got >= tt.most):
					t.Fatalf("padded after %v", got)
				}
			}
		})
	}
}

// idle is how long the link is without activity until it is padded.
func idle(m *Machine, used Usage) (time.Duration, bool) {
	for now := time.Duration(0); ; {
		pad, wait := m.Next(now, 0, used, false)
		if pad {
			return now, true
		}
		if wait == 0 || now > 10*time.Minute {
			return 0, false
		}
		now += wait
	}
}

// padding-spec 2.4: the pause is max(X,X) of two uniform draws between the bounds.
func TestPauseIsTheLargerOfTwoUniformDraws(t *testing.T) {
	const n, low, spread = 40_000, 1500, 8000
	m := New(5, dice(2))
	m.Configure(Policy{Params: ParamsOf(nil)})
	var below [8]int // by eighths of the spread
	var sum float64
	for range n {
		got, _ := idle(m, Circuits)
		x := int(got/ms) - low
		sum += float64(x)
		for i := x * 8 / spread; i < 8; i++ {
			below[i]++
		}
	}
	if mean := sum / n; math.Abs(mean-spread*2/3.) > 30 {
		t.Errorf("the mean pause is %v ms above the lower bound", mean)
	}
	for i, got := range below {
		x := float64(i+1) / 8
		if want := x * x; math.Abs(float64(got)/n-want) > 0.01 {
			t.Errorf("%v of the pauses are within %v of the spread, want %v", float64(got)/n, x, want)
		}
	}
}

// padding-spec 2.4: if both ends pad, the mean pause is low + 8/15 of the spread.
func TestBothEnds(t *testing.T) {
	a, b := New(5, dice(3)), New(5, dice(4))
	a.Configure(Policy{Params: ParamsOf(nil)})
	b.Configure(Policy{Params: ParamsOf(nil)})
	var now, last, atA, atB, sum time.Duration
	const n = 20_000
	for sent := 0; sent < n; {
		pad, wait := false, time.Duration(0)
		if now = min(atA, atB); now == atA {
			pad, wait = a.Next(now, last, Traffic, false)
			atA = now + wait
		} else {
			pad, wait = b.Next(now, last, Traffic, false)
			atB = now + wait
		}
		if pad {
			sent++
			sum += now - last
			last = now
		}
	}
	if mean, want := float64(sum/ms)/n, 1500+8000*8/15.; math.Abs(mean-want) > 60 {
		t.Errorf("the mean pause is %v ms, want %v", mean, want)
	}
}

// Whatever passes on the link and whenever: no padding cell less than the lower bound
// after the last activity, none more than the upper bound after it.
func TestNeverEarlyNeverLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := ParamsOf(netdoc.Params{
			"nf_ito_low":  rapid.Int32Range(1000, 20_000).Draw(t, "low"),
			"nf_ito_high": rapid.Int32Range(0, 60_000).Draw(t, "high"),
		})
		m := New(5, dice(rapid.Uint64().Draw(t, "seed")))
		m.Configure(Policy{Params: p})
		var now, last time.Duration
		_, wait := m.Next(0, 0, Circuits, false)
		ask := wait
		for range 200 {
			next := now + time.Duration(rapid.IntRange(1, 15_000).Draw(t, "pause"))*ms
			for ask <= next {
				now = ask
				pad, wait := m.Next(now, last, Circuits, false)
				if since := now - last; pad && (since < p.Low || since > p.High) || !pad && since > p.High {
					t.Fatalf("padding %v, %v after the last activity; bounds %v, %v", pad, since, p.Low, p.High)
				}
				if pad {
					last = now
				}
				ask = now + wait
			}
			now, last = next, next
		}
	})
}

func TestNoPaddingBeforeUseOrBehindCells(t *testing.T) {
	m := New(5, dice(5))
	late := ParamsOf(netdoc.Params{"nf_pad_before_usage": 0})
	m.Configure(Policy{Params: ParamsOf(nil)})
	if _, ok := idle(m, Unused); ok {
		t.Error("a connection without a circuit of several hops is padded")
	}
	m.Configure(Policy{Params: late})
	if _, ok := idle(m, Circuits); ok {
		t.Error("padded before its use, against the consensus")
	}
	if _, ok := idle(m, Traffic); !ok {
		t.Error("a connection in use is not padded")
	}
	for now := time.Duration(0); now < time.Minute; now += time.Second {
		if pad, _ := m.Next(now, 0, Traffic, true); pad {
			t.Fatal("padded behind cells that wait")
		}
	}
}

func TestChangesOfPolicy(t *testing.T) {
	m := New(5, dice(6))
	std := Policy{Params: ParamsOf(nil)}
	off, reduced := std, std
	off.Mode, reduced.Reduced = Off, true
	for i, step := range []struct {
		policy Policy
		want   Negotiation
	}{
		{off, Negotiation{Command: Stop}},
		{reduced, Negotiation{}},
		{std, Negotiation{Start, 1500 * ms, 9500 * ms}},
		{std, Negotiation{}},
		{reduced, Negotiation{Command: Stop}},
	} {
		if got := m.Configure(step.policy); got != step.want {
			t.Errorf("step %d: the relay is told %v, want %v", i, got, step.want)
		}
	}
	if got, ok := idle(m, Circuits); !ok || got < 9000*ms {
		t.Errorf("reduced padding after %v, %v", got, ok)
	}
}

func TestNegotiateCell(t *testing.T) {
	got := Negotiation{Start, 1500 * ms, 9500 * ms}.Append(nil)
	id, command, body, n, err := cell.Next(got)
	if err != nil || n != cell.FixedLen || id != 0 || command != cell.PaddingNegotiate {
		t.Fatal(id, command, n, err)
	}
	if body[0] != 0 || body[1] != 2 || binary.BigEndian.Uint16(body[2:]) != 1500 || binary.BigEndian.Uint16(body[4:]) != 9500 {
		t.Errorf("%x", body[:8])
	}
}
