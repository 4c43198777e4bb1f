package path

import (
	"math/rand/v2"

	"chive/tor/netdoc"
)

const (
	hsIntroProtocol = 4 // HSIntro: introduction points of version 3
	hsIntroDoS      = 5 // and DoS parameters in ESTABLISH_INTRO
)

// PickIntroduction chooses a relay to be an introduction point of a service of ours, by its
// weight as a middle: stable, for it stays for a day. exclude may be nil and must be a
// pure function.
func (x *Index) PickIntroduction(rng *rand.Rand, exclude func(netdoc.Digest) bool) (*Relay, error) {
	return x.pick(rng, Middle, &choice{stable: true, exclude: func(r *Relay) bool {
		return !r.introduces() || exclude != nil && exclude(r.Identity)
	}})
}

// FitIntroduction gives a relay that may stay one. What the user excludes goes at once.
func (x *Index) FitIntroduction(id netdoc.Digest) (*Relay, bool) {
	r, ok := x.ByIdentity(id)
	return r, ok && r.Usable() && r.introduces() && r.Flags.Has(netdoc.FlagRunning|netdoc.FlagValid) &&
		r.IPv4.IsValid() && x.nodes.MiddleHop(r.RouterStatus)
}

func (r *Relay) introduces() bool {
	return r.anywhere() && r.Protocols.Supports(netdoc.ProtoHSIntro, hsIntroProtocol)
}

// LimitsIntroductions says whether the relay can be asked to slow clients down that want to
// be introduced.
func (r *Relay) LimitsIntroductions() bool {
	return r.Protocols.Supports(netdoc.ProtoHSIntro, hsIntroDoS)
}
