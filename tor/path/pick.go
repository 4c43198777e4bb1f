package path

import (
	"math/rand/v2"
	"slices"

	"chive/tor/netdoc"
)

// Want is what a circuit is for.
type Want struct {
	// Port that the exit must carry; 0: any exit that carries some port, as for
	// name lookups and circuits built ahead.
	Port uint16
	// IPv6: the target is an IPv6 address, so the exit's IPv6 policy counts. For
	// host names leave it false.
	IPv6 bool
	// Stable asks for Stable relays; long-lived ports always do.
	Stable bool
}

// Request asks for a whole path.
type Request struct {
	// Guards to use, best first, as package guard says. A guard that is no guard
	// in this consensus is passed over; one without a microdescriptor is an
	// error, since whoever serves microdescriptors could push us to another
	// guard. Later ones are for networks where the first cannot be joined with
	// any exit for the port. Never empty: a fresh guard for each circuit would
	// undo what guards are for.
	Guards []netdoc.Digest
	Want
	// AvoidExits are exits that already refused what the circuit is for.
	AvoidExits []netdoc.Digest
}

// PickGuard chooses a relay to sample as guard, by its weight for that position.
// It may have no microdescriptor here yet (Relay.Usable), so that missing ones
// do not bias the sample. exclude may be nil and must be a pure function.
func (x *Index) PickGuard(rng *rand.Rand, exclude func(*Relay) bool) (*Relay, error) {
	return x.pick(rng, Guard, &choice{exclude: exclude})
}

// PickDirectory chooses a relay for a one-hop directory circuit. It may have no
// microdescriptor here yet. exclude may be nil and must be a pure function.
func (x *Index) PickDirectory(rng *rand.Rand, exclude func(*Relay) bool) (*Relay, error) {
	return x.pick(rng, Directory, &choice{exclude: exclude})
}

// PickExit chooses an exit. exclude may be nil and must be a pure function.
func (x *Index) PickExit(rng *rand.Rand, w Want, exclude func(*Relay) bool) (*Relay, error) {
	return x.pick(rng, Exit, &choice{stable: x.stable(w), port: w.Port, ipv6: w.IPv6, exclude: exclude})
}

// PickMiddle chooses a middle that conflicts with none of the chosen.
func (x *Index) PickMiddle(rng *rand.Rand, chosen ...*Relay) (*Relay, error) {
	return x.pickMiddle(rng, Want{}, chosen)
}

// PickMiddleFor is PickMiddle for a circuit that is meant for w.
func (x *Index) PickMiddleFor(rng *rand.Rand, w Want, chosen ...*Relay) (*Relay, error) {
	return x.pickMiddle(rng, w, chosen)
}

func (x *Index) pickMiddle(rng *rand.Rand, w Want, chosen []*Relay) (*Relay, error) {
	c := choice{stable: x.stable(w)}
	if len(chosen) <= len(c.chosen) {
		copy(c.chosen[:], chosen)
		return x.pick(rng, Middle, &c)
	}
	c.exclude = func(r *Relay) bool {
		for _, other := range chosen {
			if x.Conflict(other, r) {
				return true
			}
		}
		return false
	}
	return x.pick(rng, Middle, &c)
}

// stable: does a circuit for w need Stable relays (path-spec §2.2)?
func (x *Index) stable(w Want) bool { return w.Stable || x.LongLived(w.Port) }

// Path chooses guard, middle and exit, in this order in the result. It is found
// if there is one: after a bounded number of random exits for which no middle
// is left, only exits that have a middle are weighed. The error is a
// *NoPathError about the first guard that could be tried.
func (x *Index) Path(rng *rand.Rand, req Request) ([]*Relay, error) {
	var first error
	for _, id := range req.Guards {
		g, ok := x.ByIdentity(id)
		if !ok || !g.CanGuard() {
			continue
		}
		if !g.Usable() {
			first = firstOf(first, &NoPathError{Guard, RuleMicrodescriptor})
			break
		}
		path, err := x.pathFrom(rng, g, req)
		if err == nil {
			return path, nil
		}
		first = firstOf(first, err)
		if x.onlyAvoided(rng, g, req) {
			break
		}
	}
	return nil, firstOf(first, &NoPathError{Guard, RuleGuards})
}

// onlyAvoided: would the guard have a path, were no exit to be avoided?
func (x *Index) onlyAvoided(rng *rand.Rand, g *Relay, req Request) bool {
	if len(req.AvoidExits) == 0 {
		return false
	}
	req.AvoidExits = nil
	_, err := x.pathFrom(rng, g, req)
	return err == nil
}

func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// maxExits bounds the exits tried blindly for one guard.
const maxExits = 8

func (x *Index) pathFrom(rng *rand.Rand, g *Relay, req Request) ([]*Relay, error) {
	avoided := func(exit *Relay) bool { return slices.Contains(req.AvoidExits, exit.Identity) }
	c := choice{stable: x.stable(req.Want), port: req.Port, ipv6: req.IPv6, exclude: avoided, chosen: [2]*Relay{g}}
	var noMiddle error
	for range maxExits {
		exit, err := x.pick(rng, Exit, &c)
		if err != nil {
			return nil, err
		}
		middle, err := x.pick(rng, Middle, &choice{stable: c.stable, chosen: [2]*Relay{g, exit}})
		if err == nil {
			return []*Relay{g, middle, exit}, nil
		}
		noMiddle = err
	}
	c.exclude = func(exit *Relay) bool {
		return avoided(exit) || !x.hasMiddle(&choice{stable: c.stable, chosen: [2]*Relay{g, exit}})
	}
	exit, err := x.pickExact(rng, Exit, &c)
	if err != nil {
		return nil, noMiddle
	}
	middle, err := x.pick(rng, Middle, &choice{stable: c.stable, chosen: [2]*Relay{g, exit}})
	if err != nil {
		return nil, err
	}
	return []*Relay{g, middle, exit}, nil
}

func (x *Index) hasMiddle(c *choice) bool {
	for _, r := range x.lists[Middle].relays {
		if x.refuses(Middle, c, r) == ruleNone {
			return true
		}
	}
	return false
}
