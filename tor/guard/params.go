package guard

import (
	"math"
	"time"

	"chive/tor/netdoc"
)

const day = 24 * time.Hour

// Params are those of guard-spec appendix A.1, by the names they have in the
// consensus. They count from the moment a consensus names them.
type Params struct {
	Primary             int           // guard-n-primary-guards
	Use                 int           // guard-n-primary-guards-to-use
	UseDirectory        int           // guard-n-primary-dir-guards-to-use
	SampledLife         time.Duration // guard-lifetime-days
	ConfirmedLife       time.Duration // guard-confirmed-min-lifetime-days
	UnlistedLife        time.Duration // guard-remove-unlisted-guards-after-days
	MinFiltered         int           // guard-min-filtered-sample-size
	MaxSample           int           // guard-max-sample-size
	MaxThreshold        int           // guard-max-sample-threshold-percent
	LikelyDown          time.Duration // guard-internet-likely-down-interval
	ConnectTimeout      time.Duration // guard-nonprimary-guard-connect-timeout
	IdleTimeout         time.Duration // guard-nonprimary-guard-idle-timeout
	ExtremePercent      int           // guard-extreme-restriction-percent
	MeaningfulPercent   int           // guard-meaningful-restriction-percent
	sampleBlur, notBlur time.Duration // how far dates on disk are moved to the past
}

// Settings are the user's, each instead of a parameter of the consensus; 0 leaves it to
// that (C tor's options NumPrimaryGuards, NumEntryGuards, NumDirectoryGuards and
// GuardLifetime).
type Settings struct {
	Primary, Use, UseDirectory int
	Life                       time.Duration // of sampled and of confirmed guards; at least a day
}

// under takes the user's settings.
func (p Params) under(s Settings) Params {
	set := func(v *int, own int) {
		if own > 0 {
			*v = min(own, maxPrimary)
		}
	}
	set(&p.Primary, s.Primary)
	set(&p.Use, s.Use)
	set(&p.UseDirectory, s.UseDirectory)
	if s.Life >= day {
		p.SampledLife, p.ConfirmedLife = s.Life, s.Life
		p.sampleBlur = s.Life / 10
	}
	return p
}

// Bounds of our own: a consensus that names more is not followed, so that no
// state grows without limit.
const (
	maxPrimary    = 10
	maxSampleSize = 200
	maxSeconds    = 24 * 3600
	maxDays       = 3650
)

// ParamsOf reads a consensus's parameters; nil gives the defaults. Two primary
// guards are in use as the network has it, where C tor's default without a
// consensus is one, and three for directories.
func ParamsOf(p netdoc.Params) Params {
	get := func(name string, def, low, high int32) int { return int(p.Get(name, def, low, high)) }
	days := func(name string, def int32) time.Duration { return time.Duration(get(name, def, 1, maxDays)) * day }
	seconds := func(name string, def int32) time.Duration {
		return time.Duration(get(name, def, 1, maxSeconds)) * time.Second
	}
	out := Params{
		Primary:           get("guard-n-primary-guards", 3, 1, maxPrimary),
		Use:               get("guard-n-primary-guards-to-use", 2, 1, math.MaxInt32),
		UseDirectory:      get("guard-n-primary-dir-guards-to-use", 2, 1, math.MaxInt32),
		SampledLife:       days("guard-lifetime-days", 120),
		ConfirmedLife:     days("guard-confirmed-min-lifetime-days", 60),
		UnlistedLife:      days("guard-remove-unlisted-guards-after-days", 20),
		MinFiltered:       get("guard-min-filtered-sample-size", 20, 1, maxSampleSize),
		MaxSample:         get("guard-max-sample-size", 60, 1, maxSampleSize),
		MaxThreshold:      get("guard-max-sample-threshold-percent", 20, 1, 100),
		LikelyDown:        seconds("guard-internet-likely-down-interval", 600),
		ConnectTimeout:    seconds("guard-nonprimary-guard-connect-timeout", 15),
		IdleTimeout:       seconds("guard-nonprimary-guard-idle-timeout", 600),
		ExtremePercent:    get("guard-extreme-restriction-percent", 1, 1, 100),
		MeaningfulPercent: get("guard-meaningful-restriction-percent", 20, 1, 100),
	}
	// Dates on disk are moved to the past at random, so that they do not tell when
	// this client did what (§4.1, §4.3): a confirmed guard lives 48 to 60 days.
	out.sampleBlur = out.SampledLife / 10
	out.notBlur = out.UnlistedLife / 5
	return out
}

// confirmBlur is how far a confirmation is moved: a tenth of the lifetime of a
// sampled guard, but never so that the guard had no life left.
func (p Params) confirmBlur() time.Duration { return min(p.sampleBlur, p.ConfirmedLife/5) }

// maxSample is how large a sample may be when the consensus has so many guards.
func (p Params) maxSample(guards int) int {
	return max(min(guards*p.MaxThreshold/100, p.MaxSample), p.MinFiltered)
}

// retryAfter is guard-spec §4.5 and A.1: how long after a try the next may come,
// by how long the guard has been failing.
func retryAfter(failing time.Duration, primary bool) time.Duration {
	for _, x := range retrySchedule {
		if failing < x.until {
			if primary {
				return x.primary
			}
			return x.other
		}
	}
	panic("unreachable: the last row is for ever")
}

var retrySchedule = []struct{ until, primary, other time.Duration }{
	{6 * time.Hour, 10 * time.Minute, time.Hour},
	{4 * day, 90 * time.Minute, 4 * time.Hour},
	{7 * day, 4 * time.Hour, 18 * time.Hour},
	{math.MaxInt64, 9 * time.Hour, 36 * time.Hour},
}
