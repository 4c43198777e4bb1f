package path

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"chive/tor/netdoc"
)

const (
	hsDirProtocol  = 2 // HSDir: version 3 descriptors
	hsRendProtocol = 2 // HSRend: version 3 rendezvous
)

// OnionDirectories lists the relays that keep descriptors of onion services, by their
// identities: those that can be asked, for all others are unknown to this client (C tor
// likewise).
func (x *Index) OnionDirectories() []*Relay {
	var out []*Relay
	for i := range x.relays {
		r := &x.relays[i]
		if r.usable && r.Flags.Has(netdoc.FlagRunning|netdoc.FlagValid|netdoc.FlagHSDir) && r.anywhere() &&
			r.Protocols.Supports(netdoc.ProtoHSDir, hsDirProtocol) && r.IPv4.IsValid() {
			out = append(out, r)
		}
	}
	return out
}

// anywhere: may the relay be the end of a circuit?
func (r *Relay) anywhere() bool { return !r.Flags.Has(netdoc.FlagMiddleOnly) }

// Excluded says whether the user excludes a relay from circuits, which may be in no
// consensus.
func (x *Index) Excluded(id netdoc.Digest, address netip.AddrPort) bool {
	if r, ok := x.ByIdentity(id); ok {
		return x.nodes.Excluded(r.RouterStatus)
	}
	return x.nodes.Excluded(&netdoc.RouterStatus{Identity: id, IPv4: address})
}

// PickVanguard chooses a relay for the second or third layer of guards: a stable middle that
// is none of the given ones.
func (x *Index) PickVanguard(rng *rand.Rand, not []netdoc.Digest) (*Relay, error) {
	return x.pick(rng, Middle, &choice{stable: true, exclude: func(r *Relay) bool { return slices.Contains(not, r.Identity) }})
}

// NamedLayer are the relays that may be in a layer, Layer2 or Layer3, where the user names
// those (C tor's HSLayer2Nodes, HSLayer3Nodes).
func (x *Index) NamedLayer(l Place) (relays []netdoc.Digest, named bool) {
	i := int(l - Layer2)
	return x.named[i], x.nodes.NamesLayer(i == 0)
}

// NamesAsLayers: are the layers named as in another index?
func (x *Index) NamesAsLayers(o *Index) bool { return x.nodes.SameLayers(o.nodes) }

// PickNamed chooses a relay for a layer from those that the user names, by its weight as a
// middle, that is none of the given ones.
func (x *Index) PickNamed(rng *rand.Rand, l Place, not []netdoc.Digest) (*Relay, error) {
	of, _ := x.NamedLayer(l)
	return x.pick(rng, Middle, &choice{exclude: func(r *Relay) bool { return !slices.Contains(of, r.Identity) || slices.Contains(not, r.Identity) }})
}

// FitVanguard says whether a relay may stay in a layer (C tor's
// maintain_layer2_guards; but what the user excludes goes at once).
func (x *Index) FitVanguard(id netdoc.Digest) bool {
	r, ok := x.ByIdentity(id)
	return ok && r.Flags.Has(netdoc.FlagStable|netdoc.FlagFast) && x.nodes.MiddleHop(r.RouterStatus)
}

// OnionRequest asks for the path of a circuit to reach an onion service by.
type OnionRequest struct {
	Purpose Purpose
	Guards  []netdoc.Digest // as in Request
	Layers  Layers
	// Last is the last hop, where it is given; zero: it is chosen here.
	Last netdoc.Digest
	// Avoid are relays that the last hop is not to be, where it is chosen.
	Avoid []netdoc.Digest
}

// OnionPath chooses the relays of such a path, without a last hop that is given.
//
// Who has a say in the last hop has none in those before it: the guard is the first of the
// request that can be used, be the last hop what it may. With layers only the relay itself conflicts, not its family nor its subnet, as in C tor: else the relays that
// are left would tell of those that are not.
func (x *Index) OnionPath(rng *rand.Rand, req OnionRequest) ([]*Relay, error) {
	out, err := x.firstGuards(req.Guards, nil, 1)
	if err != nil {
		return nil, err
	}
	for _, place := range req.Purpose.shape(req.Layers.Mode())[1:] {
		var r *Relay
		before := out[firstApart(len(out)):]
		switch place {
		case Layer2:
			r, err = x.layer(rng, req, req.Layers.Second, out)
		case Layer3:
			r, err = x.layer(rng, req, req.Layers.Third, out)
		case Inner:
			r, err = x.inner(rng, req, before, nil)
		case Chosen:
			r, err = x.inner(rng, req, before, func(r *Relay) bool {
				return !r.meets() || slices.Contains(req.Avoid, r.Identity)
			})
		default:
			continue // given
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// meets: may the relay be a rendezvous point?
func (r *Relay) meets() bool {
	return r.anywhere() && r.Protocols.Supports(netdoc.ProtoHSRend, hsRendProtocol)
}

// FitRendezvous gives a relay that was chosen as the last hop of a stem, and may be a
// rendezvous point by this consensus.
func (x *Index) FitRendezvous(id netdoc.Digest) (*Relay, bool) {
	r, ok := x.ByIdentity(id)
	return r, ok && r.Usable() && r.meets() && x.nodes.MiddleHop(r.RouterStatus)
}

// layer chooses one of a layer that is not in the path. Each is as likely: their weights
// told when they came into the layer (C tor and Arti do likewise).
func (x *Index) layer(rng *rand.Rand, req OnionRequest, of []netdoc.Digest, path []*Relay) (*Relay, error) {
	if req.Layers.Mode() == NoLayers {
		return x.inner(rng, req, path, nil)
	}
	fit := make([]*Relay, 0, len(of))
	for _, id := range of {
		if r, ok := x.ByIdentity(id); ok && r.may[Middle] && id != req.Last && !slices.Contains(path, r) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return nil, &NoPathError{Middle, RuleExcluded}
	}
	return fit[rng.IntN(len(fit))], nil
}

// inner chooses by weight a relay that conflicts with none of the path's.
func (x *Index) inner(rng *rand.Rand, req OnionRequest, path []*Relay, refuse func(*Relay) bool) (*Relay, error) {
	return x.pick(rng, Middle, &choice{exclude: func(r *Relay) bool {
		if r.Identity == req.Last || refuse != nil && refuse(r) {
			return true
		}
		return slices.ContainsFunc(path, func(o *Relay) bool {
			return o == r || req.Layers.Mode() == NoLayers && x.Conflict(o, r)
		})
	}})
}
