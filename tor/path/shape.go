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
	purposes
)

// Place is what a hop of a path is.
type Place uint8

// The places.
const (
	Entry  Place = iota // one of the user's guards
	Layer2              // one of the second layer of guards, if they are used (proposal 333)
	Inner               // any relay, chosen for this circuit
	Chosen              // the last hop, chosen for this circuit
	Given               // the last hop, which others have a say in
)

// shapes is what each circuit looks like, hop by hop. Where others have a say in the last
// hop there is one hop more, so that they do not see the second layer. It is the only
// place where that is said: paths are made and checked by it.
var shapes = [purposes][]Place{
	ForExit:           {Entry, Inner, Chosen},
	ForDirectory:      {Given},
	ForOnionDirectory: {Entry, Layer2, Inner, Given},
	ForIntroduction:   {Entry, Layer2, Inner, Given},
	ForRendezvous:     {Entry, Layer2, Chosen},

	ForServiceIntroduction: {Entry, Layer2, Inner, Given},
	ForServiceRendezvous:   {Entry, Layer2, Inner, Given},
}

// ErrShape: a path does not have the shape of its purpose. It is a defect.
var ErrShape = errors.New("path of the wrong shape")

// Hops is how many a circuit has.
func (p Purpose) Hops() int { return len(shapes[p]) }

// Layered says whether a circuit has a hop of the second layer.
func (p Purpose) Layered() bool { return slices.Contains(shapes[p], Layer2) }

// Check says whether a path has the shape of its purpose: guards are those that may be
// used now, layer2 is the second layer of guards, nil if it is not used. A relay stands in
// it once; but the guard may be the fourth hop, where others have a say: to leave it out
// would tell them which it is.
func (p Purpose) Check(path, guards, layer2 []netdoc.Digest) error {
	if p >= purposes || len(path) != p.Hops() {
		return fmt.Errorf("%w: %d hops", ErrShape, len(path))
	}
	for i, place := range shapes[p] {
		switch {
		case place == Entry && !slices.Contains(guards, path[i]):
			return fmt.Errorf("%w: hop %d is not a guard", ErrShape, i+1)
		case place == Layer2 && layer2 != nil && !slices.Contains(layer2, path[i]):
			return fmt.Errorf("%w: hop %d is not of the second layer", ErrShape, i+1)
		}
		before := path[:i]
		if place == Given && i >= 3 {
			before = path[1:i]
		}
		if slices.Contains(before, path[i]) {
			return fmt.Errorf("%w: hop %d stands in it twice", ErrShape, i+1)
		}
	}
	return nil
}
