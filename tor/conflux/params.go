package conflux

import "chive/tor/netdoc"

// Limits of our own on what the consensus may ask for.
const (
	maxLegs    = 8
	maxRetries = 8
	// maxWaiting bounds the messages that wait for their turn, in bytes a set. A fast
	// leg of 100 Mbit/s fills half of it while one message takes a second more over
	// the slow one.
	maxWaiting = 32 << 20
)

// Params is what the consensus says of conflux (param-spec).
type Params struct {
	Enabled    bool
	MaxSets    int     // linked sets a client may have
	Prebuilt   int     // sets to keep ready, while enough exits take part
	LowExits   float64 // the share of exits below which one set is kept ready
	Legs       int     // of a set
	Retries    int     // legs more that may be launched until a set is linked
	MaxWaiting int     // bytes
}

// ParamsOf reads the parameters of a consensus; nil gives the defaults. cfx_send_pct and
// cfx_drain_pct are not among them: they are of a rule that no client follows, as C tor
// may always switch.
func ParamsOf(p netdoc.Params) Params {
	return Params{
		Enabled:    p.Get("cfx_enabled", 1, 0, 1) == 1,
		MaxSets:    int(p.Get("cfx_max_linked_set", 10, 0, 255)),
		Prebuilt:   int(p.Get("cfx_max_prebuilt_set", 3, 0, 255)),
		LowExits:   float64(p.Get("cfx_low_exit_threshold", 6000, 0, 10_000)) / 10_000,
		Legs:       int(min(p.Get("cfx_num_legs_set", 2, 0, 255), p.Get("cfx_max_legs_set", 8, 3, 255), maxLegs)),
		Retries:    int(min(p.Get("cfx_max_unlinked_leg_retry", 3, 0, 255), maxRetries)),
		MaxWaiting: int(min(p.Get("cfx_max_oooq_bytes", maxWaiting, 0, 1<<31-1), maxWaiting)),
	}
}

// Ready is how many sets to keep ready, if able exits of all have conflux. Below two
// legs a set is no use.
func (p Params) Ready(able, all int) int {
	switch {
	case !p.Enabled || p.Legs < 2 || able == 0:
		return 0
	case float64(able)/float64(all) < p.LowExits:
		return min(1, p.Prebuilt, p.MaxSets)
	}
	return min(p.Prebuilt, p.MaxSets)
}
