package circuits

import (
	"testing"
	"time"

	"chive/messages/chivev1"
)

// How many clean circuits there should be follows the demand at once, and goes back when
// it has gone; it is within the settings' bounds whatever the demand is.
func TestPoolFollowsTheDemand(t *testing.T) {
	const done = chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE
	const period = 30 * time.Second
	usual := Settings{Prebuild: true, PoolMin: 2, PoolMax: 32, Period: period}
	for _, c := range []struct {
		name        string
		settings    Settings
		used        []int // circuits in each period; the last is under way
		least, most int
	}{
		{"nothing used", usual, []int{0}, 2, 10},
		{"a few in the period under way", usual, []int{0, 5}, 5, 10},
		{"many in the period under way", usual, []int{0, 20}, 20, 20},
		{"many in the last one", usual, []int{20, 0}, 20, 20},
		{"any number", usual, []int{0, 10_000}, 32, 32},
		{"many, and then none", usual, []int{50, 0, 0}, 2, 10},
		{"a small maximum", Settings{Prebuild: true, PoolMin: 1, PoolMax: 3}, []int{0, 50}, 3, 3},
		{"a small maximum, quiet", Settings{Prebuild: true, PoolMin: 1, PoolMax: 3}, []int{0}, 1, 3},
		{"a large minimum", Settings{Prebuild: true, PoolMin: 20, PoolMax: 32}, []int{0}, 20, 20},
		{"no prebuilding", Settings{PoolMin: 2, PoolMax: 32}, []int{50, 50}, 0, 0},
	} {
		now := time.Unix(1_800_000_000, 0)
		x := &circuits{o: Options{Settings: c.settings}, progress: done, pool: pool{since: now}}
		for i, used := range c.used {
			if i > 0 {
				now = now.Add(period)
				x.pool.follow(now, period)
			}
			for range used {
				x.pool.demanded(&record{purpose: general})
			}
			x.pool.demanded(&record{purpose: chivev1.Purpose_PURPOSE_DIRECTORY})
		}
		if least, most := x.bounds(); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d, want %d to %d", c.name, least, most, c.least, c.most)
		}
	}
}
