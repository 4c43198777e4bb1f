package congestion

// Params are the network's numbers for one kind of circuit; cells where nothing else is
// said.
type Params struct {
	SendmeIncrement int // cells a circuit-level SENDME is for

	Initial, Min, Max int // of the window
	Increment         int // what the window moves by in the steady state
	UpdatesPerWindow  int // cc_cwnd_inc_rate: how often a window's worth of cells moves it
	SlowStartPercent  int // of a SENDME's cells that slow start adds for it
	SlowStartCap      int // where slow start begins to slow down (RFC 3742)
	SlowStartMax      int // where it ends in any case

	Alpha, Beta, Gamma, Delta int // queue sizes: grow below, shrink above, end slow start, drop

	FullGap       int // SENDMEs short of the window at which it counts as full
	FullPercent   int // below which it no longer does
	FullPerWindow bool

	AveragePercent, AverageMax, AverageSlowStart int // how many RTTs the average is over
	ResetPercent                                 int // weight of the larger RTT when the smallest is reset
}

// Path is the kind of circuit that a set of thresholds is for.
type Path string

// The kinds.
const (
	PathExit  Path = "exit"
	PathOnion Path = "onion"
)

// outbuf is what proposal 324 tunes in: the cells of two full TLS records.
const outbuf = 62

// thresholds are the defaults where the consensus has none (those of C tor 0.4.9, which
// are newer than the proposal's).
var thresholds = map[Path]struct{ alpha, beta, gamma, delta, sscap int }{
	PathExit:  {3 * outbuf, 4 * outbuf, 3 * outbuf, 5 * outbuf, 600},
	PathOnion: {3 * outbuf, 6 * outbuf, 4 * outbuf, 7 * outbuf, 475},
}

// huge is C tor's INT32_MAX for parameters that are not bounded from above.
const huge = 1<<31 - 1

// ParamsOf reads the parameters of a consensus: get gives a parameter by name, within
// bounds, or the default. increment is what the far end granted.
func ParamsOf(consensus func(name string, def, low, high int32) int32, path Path, increment int) Params {
	get := func(name string, def, low, high int) int {
		return int(consensus(name, int32(def), int32(low), int32(high)))
	}
	d := thresholds[path]
	suffix := "_" + string(path)
	min := get("cc_cwnd_min", 124, 31, 1000)
	return Params{
		SendmeIncrement:  increment,
		Initial:          get("cc_cwnd_init", 124, 31, 10000),
		Min:              min,
		Max:              get("cc_cwnd_max", huge, 500, huge),
		Increment:        get("cc_cwnd_inc", 1, 1, 1000),
		UpdatesPerWindow: get("cc_cwnd_inc_rate", 31, 1, 250),
		SlowStartPercent: get("cc_cwnd_inc_pct_ss", 100, 1, 500),
		SlowStartCap:     get("cc_sscap"+suffix, d.sscap, 100, huge),
		SlowStartMax:     get("cc_ss_max", 5000, 500, huge),
		Alpha:            get("cc_vegas_alpha"+suffix, d.alpha, 0, 1000),
		Beta:             get("cc_vegas_beta"+suffix, d.beta, 0, 1000),
		Gamma:            get("cc_vegas_gamma"+suffix, d.gamma, 0, 1000),
		Delta:            get("cc_vegas_delta"+suffix, d.delta, 0, huge),
		FullGap:          get("cc_cwnd_full_gap", 4, 0, 1<<15-1),
		FullPercent:      get("cc_cwnd_full_minpct", 25, 0, 100),
		FullPerWindow:    get("cc_cwnd_full_per_cwnd", 1, 0, 1) == 1,
		AveragePercent:   get("cc_ewma_cwnd_pct", 50, 1, 255),
		AverageMax:       get("cc_ewma_max", 10, 2, huge),
		AverageSlowStart: get("cc_ewma_ss", 2, 2, huge),
		ResetPercent:     get("cc_rtt_reset_pct", 100, 0, 100),
	}
}

// Increment is the consensus's number of cells a SENDME is for: what a relay grants must
// be near it.
func Increment(get func(name string, def, low, high int32) int32) int {
	return int(get("cc_sendme_inc", 31, 1, 254))
}
