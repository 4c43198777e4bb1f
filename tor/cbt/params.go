package cbt

import (
	"math"
	"time"

	"chive/tor/netdoc"
)

// Params are the consensus parameters of param-spec, "Circuit-build timeouts".
type Params struct {
	Disabled      bool          // cbtdisabled
	Modes         int           // cbtnummodes: bins in the average that is Xm
	Recent        int           // cbtrecentcount: circuits looked at for a change of the network
	MaxTimeouts   int           // cbtmaxtimeouts: of those, how many late ones are a change
	MinCircuits   int           // cbtmincircs: before a timeout is computed
	Quantile      float64       // cbtquantile: share of circuits that shall be built in time
	CloseQuantile float64       // cbtclosequantile: share that shall be measured
	TestEvery     time.Duration // cbttestfreq: between test circuits while too little is known
	MinTimeout    time.Duration // cbtmintimeout
	Initial       time.Duration // cbtinitialtimeout: until enough is known
	MaxOpen       int           // cbtmaxopencircs: unused circuits above which no test circuit is built
}

// ParamsOf reads them, with the defaults and ranges of C tor where a consensus
// says nothing; nil gives the defaults.
func ParamsOf(p netdoc.Params) Params {
	quantile := p.Get("cbtquantile", 80, 10, 99)
	least := p.Get("cbtmintimeout", binMs, binMs, math.MaxInt32)
	return Params{
		Disabled:      p.Get("cbtdisabled", 0, 0, 1) == 1,
		Modes:         int(p.Get("cbtnummodes", 10, 1, 20)),
		Recent:        int(p.Get("cbtrecentcount", 20, 3, 1000)),
		MaxTimeouts:   int(p.Get("cbtmaxtimeouts", 18, 3, 10000)),
		MinCircuits:   int(p.Get("cbtmincircs", 100, 1, 10000)),
		Quantile:      float64(quantile) / 100,
		CloseQuantile: float64(max(quantile, p.Get("cbtclosequantile", 99, 10, 99))) / 100,
		TestEvery:     time.Duration(p.Get("cbttestfreq", 10, 1, math.MaxInt32)) * time.Second,
		MinTimeout:    time.Duration(least) * time.Millisecond,
		Initial:       time.Duration(max(least, p.Get("cbtinitialtimeout", 60_000, binMs, math.MaxInt32))) * time.Millisecond,
		MaxOpen:       int(p.Get("cbtmaxopencircs", 10, 0, 14)),
	}
}
