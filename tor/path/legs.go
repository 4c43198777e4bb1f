package path

import (
	"math/rand/v2"
	"slices"

	"chive/tor/netdoc"
)

// Legs of a conflux set are circuits to one exit (proposal 329). No relay is in two of
// them but the exit, and the rules of a path hold within each. C tor keeps guards apart
// and middles; a relay that is guard of one leg and middle of another would see as much.

// Conflux reports whether the relay, as an exit, offers conflux and what it needs.
func (r *Relay) Conflux() bool {
	return r.Protocols.Supports(netdoc.ProtoConflux, 1) && r.CongestionControl()
}

// ConfluxExits counts the exits of the consensus, and those of them that offer conflux.
func (x *Index) ConfluxExits() (able, all int) {
	for i := range x.relays {
		r := &x.relays[i]
		if !r.Flags.Has(netdoc.FlagExit) || r.Flags.Has(netdoc.FlagBadExit) {
			continue
		}
		all++
		if r.Protocols.Supports(netdoc.ProtoConflux, 1) {
			able++
		}
	}
	return able, all
}

// LegsRequest asks for the paths of a set.
type LegsRequest struct {
	// Guards to use, best first, as package guard says: each leg has one of the first
	// ones. No exit and no middle makes a later one be used.
	Guards []netdoc.Digest
	Want
	Legs int
}

// Legs chooses the paths of a set: guard, middle and the one exit each. The error is a
// *NoPathError.
func (x *Index) Legs(rng *rand.Rand, req LegsRequest) ([][]*Relay, error) {
	guards, err := x.firstGuards(req.Guards, nil, req.Legs)
	if err != nil {
		return nil, err
	}
	c := choice{stable: x.stable(req.Want), port: req.Port, ipv6: req.IPv6, exclude: func(exit *Relay) bool {
		return !exit.Conflux() || slices.ContainsFunc(guards, func(g *Relay) bool { return x.Conflict(g, exit) })
	}}
	var noMiddle error
	for range maxExits {
		exit, err := x.pick(rng, Exit, &c)
		if err != nil {
			return nil, err
		}
		legs, err := x.joined(rng, guards, exit, c.stable)
		if err == nil {
			return legs, nil
		}
		noMiddle = err
	}
	return nil, noMiddle
}

// joined joins guards with an exit.
func (x *Index) joined(rng *rand.Rand, guards []*Relay, exit *Relay, stable bool) ([][]*Relay, error) {
	var legs [][]*Relay
	taken := make([]netdoc.Digest, 0, 2*len(guards))
	for _, g := range guards {
		taken = append(taken, g.Identity)
	}
	for _, g := range guards {
		middle, err := x.pick(rng, Middle, &choice{stable: stable, exclude: in(taken), chosen: [2]*Relay{g, exit}})
		if err != nil {
			return nil, err
		}
		taken = append(taken, middle.Identity)
		legs = append(legs, []*Relay{g, middle, exit})
	}
	return legs, nil
}

// LegRequest asks for the path of one more leg of a set.
type LegRequest struct {
	Guards []netdoc.Digest // as in LegsRequest; those that are in Others are passed over
	Exit   netdoc.Digest
	Others []netdoc.Digest // the guards and middles of the other legs
	Want
}

// Leg chooses a leg. If its guard cannot be joined with the exit there is none: an exit
// must not choose among our guards.
func (x *Index) Leg(rng *rand.Rand, req LegRequest) ([]*Relay, error) {
	guards, err := x.firstGuards(req.Guards, req.Others, 1)
	if err != nil {
		return nil, err
	}
	exit, ok := x.ByIdentity(req.Exit)
	if !ok || !exit.CanExit() || !exit.Conflux() || !exit.carries(req.Port, req.IPv6) {
		return nil, &NoPathError{Exit, RulePosition}
	}
	if rule := x.conflict(guards[0], exit); rule != ruleNone {
		return nil, &NoPathError{Guard, rule}
	}
	c := choice{stable: x.stable(req.Want), exclude: in(req.Others), chosen: [2]*Relay{guards[0], exit}}
	middle, err := x.pick(rng, Middle, &c)
	if err != nil {
		return nil, err
	}
	return []*Relay{guards[0], middle, exit}, nil
}

// firstGuards are the first n guards of a list that are in this consensus; all must be
// usable, as in Path.
func (x *Index) firstGuards(list, without []netdoc.Digest, n int) ([]*Relay, error) {
	var out []*Relay
	for _, id := range list {
		g, ok := x.ByIdentity(id)
		if !ok || !g.CanGuard() || slices.Contains(without, id) || slices.Contains(out, g) {
			continue
		}
		if !g.Usable() {
			return nil, &NoPathError{Guard, RuleMicrodescriptor}
		}
		if out = append(out, g); len(out) == n {
			return out, nil
		}
	}
	return nil, &NoPathError{Guard, RuleGuards}
}

func in(list []netdoc.Digest) func(*Relay) bool {
	return func(r *Relay) bool { return slices.Contains(list, r.Identity) }
}
