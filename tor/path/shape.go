package path

import (
	"errors"
	"fmt"
	"slices"

	"chive/tor/netdoc"
)

// Purpose is what a circuit is for.
type Purpose uint8

// The purposes.
const (
	ForExit           Purpose = iota // streams to the open network
	ForDirectory                     // a directory that is asked in the open
	ForOnionDirectory                // a directory of onion services' descriptors
	ForIntroduction                  // an introduction point of a service
	ForRendezvous                    // a rendezvous point

	ForServiceIntroduction // an introduction point of ours
	ForServiceRendezvous   // a rendezvous point that a client of ours chose
	ForServiceDirectory    // a directory that takes a descriptor of ours

	ForStem // what circuits to and for onion services begin with, before it is known which
	purposes
)

// Place is what a hop of a path is.
type Place uint8

// The places.
const (
	Entry  Place = iota // one of the user's guards
	Layer2              // one of the second layer of guards, if they are used (vanguards-spec)
	Layer3              // one of the third layer of guards (vanguards-spec, full vanguards)
	Inner               // any relay, chosen for this circuit
	Chosen              // the last hop, chosen for this circuit
	Given               // the last hop, which others have a say in
)

// Layers are the relays that stand behind the guard in circuits to onion services.
type Layers struct {
	Second []netdoc.Digest // nil: not used, and any relay is the second hop
	Third  []netdoc.Digest // nil: not used; not without the second
	// Naming is another number when the user names relays otherwise than before.
	Naming uint64
}

// Mode is which layers are used.
type Mode uint8

// The modes.
const (
	NoLayers Mode = iota
	Lite          // the second (vanguards-spec, vanguards-lite)
	Full          // the second and the third (vanguards-spec, full vanguards)
)

// Mode is that of these layers.
func (l Layers) Mode() Mode {
	switch {
	case l.Third != nil:
		return Full
	case l.Second != nil:
		return Lite
	default:
		return NoLayers
	}
}

// shapes is what each circuit looks like, hop by hop. Where others have a say in the last
// hop there is one hop more, so that they do not see the layer before it. This and full are
// the only places where that is said: paths are made and checked by them.
var shapes = [purposes][]Place{
	ForExit:           {Entry, Inner, Chosen},
	ForDirectory:      {Given},
	ForOnionDirectory: {Entry, Layer2, Inner, Given},
	ForIntroduction:   {Entry, Layer2, Inner, Given},
	ForRendezvous:     {Entry, Layer2, Chosen},

	ForServiceIntroduction: {Entry, Layer2, Inner, Given},
	ForServiceRendezvous:   {Entry, Layer2, Inner, Given},
	ForServiceDirectory:    {Entry, Layer2, Inner, Given},

	ForStem: {Entry, Layer2, Inner},
}

// full is what they look like with a third layer (vanguards-spec, the table of full
// vanguards). A service's directories and introduction points follow from the consensus and
// its own choice: they may see the third layer, which changes within two days.
var full = [purposes][]Place{
	ForExit:           shapes[ForExit],
	ForDirectory:      shapes[ForDirectory],
	ForOnionDirectory: {Entry, Layer2, Layer3, Inner, Given},
	ForIntroduction:   {Entry, Layer2, Layer3, Inner, Given},
	ForRendezvous:     {Entry, Layer2, Layer3, Chosen},

	ForServiceIntroduction: {Entry, Layer2, Layer3, Given},
	ForServiceRendezvous:   {Entry, Layer2, Layer3, Inner, Given},
	ForServiceDirectory:    {Entry, Layer2, Layer3, Given},

	ForStem: {Entry, Layer2, Layer3, Inner},
}

func (p Purpose) shape(m Mode) []Place {
	if m == Full {
		return full[p]
	}
	return shapes[p]
}

// ErrShape: a path does not have the shape of its purpose. It is a defect.
var ErrShape = errors.New("path of the wrong shape")

// Hops is how many a circuit has.
func (p Purpose) Hops(m Mode) int { return len(p.shape(m)) }

// FromStem says whether a circuit may be one that was built ahead (ForStem), and whether a
// last hop is given that is added to it. Without, the stem's own last hop is the circuit's.
func (p Purpose) FromStem(m Mode) (given, ok bool) {
	stem, shape := ForStem.shape(m), p.shape(m)
	switch inner := len(stem) - 1; {
	case len(shape) == len(stem)+1 && shape[len(stem)] == Given:
		return true, slices.Equal(shape[:len(stem)], stem)
	case len(shape) == len(stem) && shape[inner] == Chosen && shape[0] == Entry && p.Layered():
		return false, slices.Equal(shape[:inner], stem[:inner])
	}
	return false, false
}

// Layered says whether a circuit has a hop of the second layer.
func (p Purpose) Layered() bool { return slices.Contains(shapes[p], Layer2) }

// Check says whether a path has the shape of its purpose: guards are those that may be
// used now. A relay stands in it once; but the guard may be the fourth hop or the fifth,
// which others have a say in or see: to leave it out would tell them which it is.
func (p Purpose) Check(path, guards []netdoc.Digest, layers Layers) error {
	if p >= purposes || len(path) != p.Hops(layers.Mode()) {
		return fmt.Errorf("%w: %d hops", ErrShape, len(path))
	}
	for i, place := range p.shape(layers.Mode()) {
		switch {
		case place == Entry && !slices.Contains(guards, path[i]):
			return fmt.Errorf("%w: hop %d is not a guard", ErrShape, i+1)
		case place == Layer2 && layers.Mode() != NoLayers && !slices.Contains(layers.Second, path[i]):
			return fmt.Errorf("%w: hop %d is not of the second layer", ErrShape, i+1)
		case place == Layer3 && !slices.Contains(layers.Third, path[i]):
			return fmt.Errorf("%w: hop %d is not of the third layer", ErrShape, i+1)
		}
		if slices.Contains(path[firstApart(i):i], path[i]) {
			return fmt.Errorf("%w: hop %d stands in it twice", ErrShape, i+1)
		}
	}
	return nil
}

// firstApart is the first hop that the one at i must not be again.
func firstApart(i int) int {
	if i >= 3 {
		return 1
	}
	return 0
}
