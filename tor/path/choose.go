package path

import (
	"math/rand/v2"
	"sort"

	"chive/tor/netdoc"
)

// list is the relays that may take a position, with running totals of their
// weights.
type list struct {
	relays []*Relay
	upTo   []uint64 // upTo[i] is the weight of relays[:i+1]
}

func (l *list) add(r *Relay, weight uint64) {
	l.relays = append(l.relays, r)
	l.upTo = append(l.upTo, l.total()+weight)
}

func (l *list) total() uint64 {
	if len(l.upTo) == 0 {
		return 0
	}
	return l.upTo[len(l.upTo)-1]
}

func (l *list) weight(i int) uint64 {
	if i == 0 {
		return l.upTo[0]
	}
	return l.upTo[i] - l.upTo[i-1]
}

// at is the relay whose share of the total holds point, 0 ≤ point < total.
func (l *list) at(point uint64) *Relay {
	return l.relays[sort.Search(len(l.upTo), func(i int) bool { return l.upTo[i] > point })]
}

// choice is what one pick asks beyond its position.
type choice struct {
	stable  bool
	port    uint16 // of exits; 0: any
	ipv6    bool
	exclude func(*Relay) bool // may be nil
	chosen  [2]*Relay         // of the path so far; nil: none
}

// refuses names the first rule that keeps r, a relay fit for the position in
// general, from being chosen.
func (x *Index) refuses(pos Position, c *choice, r *Relay) Rule {
	if c.stable && !r.Flags.Has(netdoc.FlagStable) {
		return RuleStable
	}
	if pos == Exit && !r.carries(c.port, c.ipv6) {
		return RulePort
	}
	if c.exclude != nil && c.exclude(r) {
		return RuleExcluded
	}
	for _, other := range c.chosen {
		if other == nil {
			continue
		}
		if rule := x.conflict(other, r); rule != ruleNone {
			return rule
		}
	}
	return ruleNone
}

// maxSamples bounds the samples a pick rejects before it weighs what is left.
const maxSamples = 32

// pick chooses by weight among the relays of a position that no rule refuses.
func (x *Index) pick(rng *rand.Rand, pos Position, c *choice) (*Relay, error) {
	l := &x.lists[pos]
	if total := l.total(); total > 0 {
		for range maxSamples {
			if r := l.at(rng.Uint64N(total)); x.refuses(pos, c, r) == ruleNone {
				return r, nil
			}
		}
	}
	return x.pickExact(rng, pos, c)
}

// pickExact weighs every relay that is left. If the weights of all of them are
// zero, each is as likely.
func (x *Index) pickExact(rng *rand.Rand, pos Position, c *choice) (*Relay, error) {
	l := &x.lists[pos]
	var total, count uint64
	furthest := RulePosition
	for i, r := range l.relays {
		if rule := x.refuses(pos, c, r); rule != ruleNone {
			furthest = max(furthest, rule)
			continue
		}
		total += l.weight(i)
		count++
	}
	if count == 0 {
		return nil, &NoPathError{pos, furthest}
	}
	uniform := total == 0
	if uniform {
		total = count
	}
	point := rng.Uint64N(total)
	for i, r := range l.relays {
		if x.refuses(pos, c, r) != ruleNone {
			continue
		}
		share := l.weight(i)
		if uniform {
			share = 1
		}
		if point < share {
			return r, nil
		}
		point -= share
	}
	return nil, &NoPathError{pos, RuleExcluded} // exclude changed its mind between the passes
}
