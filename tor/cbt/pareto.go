package cbt

import (
	"cmp"
	"math"
	"slices"
)

// pareto is the curve that build times are taken to follow (path-spec §2.4.2).
type pareto struct {
	xm    float64 // ms; where the tail begins
	alpha float64
	max   float64 // ms; the longest time measured
}

// bin is how many build times fall into the 10 ms around t.
type bin struct {
	t Time
	n int
}

// histogram lists the bins that have any, the fullest first; of those that are
// equally full, the quicker one.
func histogram(times []Time) []bin {
	counts := map[Time]int{}
	for _, t := range times {
		if t != Abandoned {
			counts[t/binMs*binMs+binMs/2]++
		}
	}
	all := make([]bin, 0, len(counts))
	for t, n := range counts {
		all = append(all, bin{t, n})
	}
	slices.SortFunc(all, func(a, b bin) int { return cmp.Or(b.n-a.n, int(a.t-b.t)) })
	return all
}

// fit finds the curve; ok is false if no circuit was built.
func fit(times []Time, modes int) (p pareto, ok bool) {
	bins := histogram(times)
	if len(bins) == 0 {
		return p, false
	}
	p.xm = mode(bins[:min(modes, len(bins))])
	// The maximum-likelihood estimator of alpha; times below Xm count as Xm, so
	// they add nothing, and abandoned ones not at all.
	n, sum := 0, 0.0
	for _, b := range bins {
		t := float64(b.t)
		p.max = max(p.max, t)
		n += b.n
		if t > p.xm {
			sum += float64(b.n) * (math.Log(t) - math.Log(p.xm))
		}
	}
	p.alpha = float64(n) / sum // +Inf if nothing is above Xm
	return p, true
}

// mode is Xm: the average of the fullest bins, weighted by what is in them,
// rounded down.
func mode(bins []bin) float64 {
	n, total := int64(0), int64(0)
	for _, b := range bins {
		n += int64(b.n)
		total += int64(b.t) * int64(b.n)
	}
	return float64(total / n)
}

// quantile is the time in ms within which the share q of circuits is built:
// Xm / (1-q)^(1/alpha).
func (p pareto) quantile(q float64) float64 {
	const most = math.MaxInt32
	if share := math.Pow(1-q, 1/p.alpha); share > 0 {
		return min(p.xm/share, most)
	}
	return most
}
