package config

import "strings"

// nearest gives the name that differs from word by the fewest typing mistakes,
// or "" when none is near. Case does not count.
func nearest(word string, names []string) string {
	const longest = 64
	if len(word) < 2 || len(word) > longest {
		return ""
	}
	lower := strings.ToLower(word)
	best, bestAt := "", 2+len(word)/5
	for _, name := range names {
		if d := distance(lower, strings.ToLower(name), bestAt); d < bestAt {
			best, bestAt = name, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours
// (optimal string alignment); a result of at least limit means "far".
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
