package pathbias

import (
	"math"

	"chive/tor/netdoc"
)

// Params are the thresholds. Rates are from 0 to 1; a rate of 0 is never fallen below.
type Params struct {
	Circuits              int     // below so many circuits no rate says anything (pb_mincircs)
	Notice, Warn, Extreme float64 // of circuits that stayed whole (pb_noticepct, pb_warnpct, pb_extremepct)
	ScaleCircuits         int     // beyond, old circuits count less (pb_scalecircs)
	Uses                  int     // likewise of circuits that were used (pb_minuse)
	NoticeUse, ExtremeUse float64 // pb_noticeusepct, pb_extremeusepct
	ScaleUses             int     // pb_scaleuse
	Ratio                 float64 // by which old ones are scaled (pb_multfactor / pb_scalefactor)
}

// Settings are the user's, each instead of a parameter of the consensus; a negative one
// leaves it to that (C tor's options PathBias*).
type Settings struct {
	Circuits              int
	Notice, Warn, Extreme float64
	ScaleCircuits         int
	Uses                  int
	NoticeUse, ExtremeUse float64
	ScaleUses             int
}

// ParamsOf reads a consensus's parameters, nil being the defaults, under the user's
// settings.
func ParamsOf(p netdoc.Params, s Settings) Params {
	count := func(set int, least int32, name string, def int32) int {
		if set >= int(least) {
			return set
		}
		return int(p.Get(name, def, least, math.MaxInt32))
	}
	rate := func(set float64, name string, def int32) float64 {
		if set >= 0 {
			return set
		}
		return float64(p.Get(name, def, 0, 100)) / 100
	}
	scale := p.Get("pb_scalefactor", 2, 2, math.MaxInt32)
	return Params{
		Circuits: count(s.Circuits, 5, "pb_mincircs", 150),
		Notice:   rate(s.Notice, "pb_noticepct", 70),
		Warn:     rate(s.Warn, "pb_warnpct", 50),
		Extreme:  rate(s.Extreme, "pb_extremepct", 30),

		ScaleCircuits: count(s.ScaleCircuits, 10, "pb_scalecircs", 300),

		Uses:       count(s.Uses, 3, "pb_minuse", 20),
		NoticeUse:  rate(s.NoticeUse, "pb_noticeusepct", 80),
		ExtremeUse: rate(s.ExtremeUse, "pb_extremeusepct", 60),
		ScaleUses:  count(s.ScaleUses, 10, "pb_scaleuse", 100),

		Ratio: float64(p.Get("pb_multfactor", 1, 1, scale)) / float64(scale),
	}
}
