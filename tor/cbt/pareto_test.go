package cbt

import (
	"math"
	"testing"
)

// What C tor 0.4.9's own circuit_build_times_get_xm, _update_alpha and
// _calculate_timeout give for the same times.
func TestCurveIsCTors(t *testing.T) {
	for k, want := range []struct {
		n, modes           int
		xm                 float64
		alpha, q80, q99    float64
		max                float64
		abandonEvery, span uint32
	}{
		{n: 100, modes: 10, xm: 1039, alpha: 4.799090830731, q80: 1452.987524349, q99: 2712.446307351, max: 2065, span: 2000},
		{n: 1000, modes: 10, xm: 868, alpha: 3.198968964197, q80: 1435.549761873, q99: 3662.023814718, max: 2145, span: 2000},
		{n: 37, modes: 10, xm: 775, alpha: 2.157501483361, q80: 1634.081344171, q99: 6550.883957709, max: 2175, span: 2000},
		{n: 500, modes: 3, xm: 1375, alpha: 8.371167944490, q80: 1666.479624666, q99: 2383.515530926, max: 2245, span: 2000},
		{n: 1000, modes: 10, xm: 1223, alpha: 5.242417541721, q80: 1662.478991341, q99: 2943.945967750, max: 2295, span: 2000, abandonEvery: 10},
		{n: 200, modes: 20, xm: 14734, alpha: 1.727568523330, q80: 37404.015014940, q99: 211844.477217903, max: 59615, span: 60000},
	} {
		x := uint64(12345 + k)
		var times []Time
		for range want.n {
			x = x*6364136223846793005 + 1442695040888963407
			r := uint32(x>>33) & 0xffff
			if want.abandonEvery > 0 && r%want.abandonEvery == 0 {
				times = append(times, Abandoned)
				continue
			}
			times = append(times, Time((100+50*uint32(k)+(r*r>>4)%want.span)/10*10+5))
		}
		got, ok := fit(times, want.modes)
		if !ok {
			t.Fatal("no curve")
		}
		for what, pair := range map[string][2]float64{
			"Xm": {got.xm, want.xm}, "alpha": {got.alpha, want.alpha}, "max": {got.max, want.max},
			"80 %": {got.quantile(0.8), want.q80}, "99 %": {got.quantile(0.99), want.q99},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9*pair[1] {
				t.Errorf("case %d: %s is %v, C tor's %v", k, what, pair[0], pair[1])
			}
		}
	}
}

func TestCurveOfEqualTimes(t *testing.T) {
	p, ok := fit([]Time{105, 105, 105}, 10)
	if !ok || p.quantile(0.8) != 105 || p.quantile(0.99) != 105 {
		t.Fatalf("%+v %v: %v", p, ok, p.quantile(0.8))
	}
	if _, ok := fit([]Time{Abandoned, Abandoned}, 10); ok {
		t.Fatal("a curve of nothing")
	}
}
