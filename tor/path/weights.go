package path

import "chive/tor/netdoc"

// class is a relay's pair of flags that bandwidth weights depend on. A BadExit
// is no exit.
type class uint8

const (
	classGuard class = 1 << iota
	classExit
	classes = 4
)

func classOf(f netdoc.Flags) class {
	var c class
	if f.Has(netdoc.FlagGuard) {
		c |= classGuard
	}
	if f.Has(netdoc.FlagExit) && !f.Has(netdoc.FlagBadExit) {
		c |= classExit
	}
	return c
}

// weightNames gives, for each position, the weights of unflagged, Guard, Exit
// and Guard+Exit relays (path-spec §2.2). "" weighs 0: nothing without the
// Guard flag is in the guard position.
var weightNames = [positions][classes]string{
	Guard:     {"Wgm", "Wgg", "", "Wgd"},
	Middle:    {"Wmm", "Wmg", "Wme", "Wmd"},
	Exit:      {"Wem", "Weg", "Wee", "Wed"},
	Directory: {"Wbm", "Wbg", "Wbe", "Wbd"},
}

// dirNames are the further factors for relays that are directories, in
// positions of ordinary circuits.
var dirNames = [classes]string{"Wmb", "Wgb", "Web", "Wdb"}

// unit is what a weight of 1 is here, whatever the consensus's scale. With
// 32-bit bandwidths and at most 65,536 relays, sums stay below 2^62.
const unit = 10000

// weights are factors in 1/unit by position, "has V2Dir" and class.
type weights [positions][2][classes]uint64

func newWeights(c *netdoc.Consensus) *weights {
	scale := int64(c.Params.Get("bwweightscale", netdoc.DefaultWeightScale, 1, 1<<31-1))
	w := new(weights)
	for pos := range positions {
		plain, ok := named(c.BandwidthWeights, weightNames[pos], scale)
		dir, okDir := named(c.BandwidthWeights, dirNames, scale)
		if !ok || (pos != Directory && !okDir) {
			w[pos] = unweighted
			continue
		}
		for k := range plain {
			w[pos][0][k] = plain[k]
			w[pos][1][k] = plain[k]
			if pos != Directory {
				w[pos][1][k] = plain[k] * dir[k] / unit
			}
		}
	}
	return w
}

// unweighted is used for a position when one of its weights is missing or
// malformed: plain bandwidths (path-spec §2.2).
var unweighted = [2][classes]uint64{{unit, unit, unit, unit}, {unit, unit, unit, unit}}

// named reads four weights in 1/unit, clamped to 1. It is false when one is
// missing or negative.
func named(all netdoc.Weights, names [classes]string, scale int64) (out [classes]uint64, ok bool) {
	for k, name := range names {
		if name == "" {
			continue
		}
		v, found := all[name]
		if !found || v < 0 {
			return out, false
		}
		out[k] = uint64(min(int64(v), scale) * unit / scale)
	}
	return out, true
}

// of is a relay's weight in a position.
func (w *weights) of(pos Position, r *netdoc.RouterStatus) uint64 {
	dir := 0
	if r.Flags.Has(netdoc.FlagV2Dir) {
		dir = 1
	}
	return uint64(r.Bandwidth) * w[pos][dir][classOf(r.Flags)]
}
