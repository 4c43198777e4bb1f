package path

import "chive/tor/netdoc"

// share counts, by weight and by number, the relays of one position and those
// whose microdescriptor is here.
type share struct {
	weight, weightHere uint64
	count, countHere   int
}

func (s *share) add(weight uint64, here bool) {
	s.count++
	s.weight += weight
	if here {
		s.countHere++
		s.weightHere += weight
	}
}

// fraction is by number where all weights are zero (path-spec §2.1.0).
func (s *share) fraction() float64 {
	switch {
	case s.weight > 0:
		return float64(s.weightHere) / float64(s.weight)
	case s.count > 0:
		return float64(s.countHere) / float64(s.count)
	default:
		return 0
	}
}

// coverage is the product of the fractions of Guard relays, all relays and Exit
// relays whose microdescriptors are here, each weighted for guard, middle and
// exit; without any Exit relay, that of all relays counts twice (path-spec
// §2.1.0). An exit whose policy turns out to carry nothing is not counted.
func coverage(relays []Relay, w *weights) float64 {
	var guards, all, exits share
	for i := range relays {
		r := &relays[i]
		if !r.Flags.Has(netdoc.FlagRunning) {
			continue
		}
		all.add(w.of(Middle, r.RouterStatus), r.here)
		class := classOf(r.Flags)
		if class&classGuard != 0 {
			guards.add(w.of(Guard, r.RouterStatus), r.here)
		}
		if class&classExit != 0 && (!r.here || r.policy4.AllowsSome() || r.policy6.AllowsSome()) {
			exits.add(w.of(Exit, r.RouterStatus), r.here)
		}
	}
	if exits.count == 0 {
		exits = all
	}
	return guards.fraction() * all.fraction() * exits.fraction()
}
