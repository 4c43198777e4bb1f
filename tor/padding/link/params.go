package link

import (
	"time"

	"chive/tor/netdoc"
)

// Params is what the consensus says of padding (padding-spec 2.6).
type Params struct {
	Low, High               time.Duration // bounds of a pause; both 0: nobody pads
	ReducedLow, ReducedHigh time.Duration // likewise, with reduced padding; either 0: as Low, High
	BeforeUse               bool          // a connection is padded before its circuits carry anything
}

const maxPause = 60_000 // milliseconds

// ParamsOf reads the parameters of a consensus; nil gives the defaults.
func ParamsOf(p netdoc.Params) Params {
	pause := func(name string, def, least int32) time.Duration {
		return time.Duration(p.Get(name, def, least, maxPause)) * time.Millisecond
	}
	bounds := func(suffix string, low, high int32) (from, to time.Duration) {
		from = pause("nf_ito_low"+suffix, low, 0)
		return from, pause("nf_ito_high"+suffix, high, int32(from/time.Millisecond))
	}
	q := Params{BeforeUse: p.Get("nf_pad_before_usage", 1, 0, 1) == 1}
	q.Low, q.High = bounds("", 1500, 9500)
	q.ReducedLow, q.ReducedHigh = bounds("_reduced", 9000, 14_000)
	return q
}
