package messages

import (
	"context"
	"time"
)

// DirectoryCopy is the network's directory as one node has it. Nothing in it is
// believed before it was verified.
type DirectoryCopy struct {
	ValidAfter time.Time // the consensus'
	Consensus  []byte    // of the flavour microdesc
	Certs      []byte    // the authorities' key certificates
	Microdescs []byte
}

// SharedDirectory is where the nodes of a fleet leave the directory for each other. It is
// safe for use by many goroutines.
type SharedDirectory interface {
	// FetchDirectory gives the newest copy; an error if there is none, or nobody to ask.
	FetchDirectory(ctx context.Context) (DirectoryCopy, error)
	// OfferDirectory returns at once; the copy is left for others if they have an older
	// one.
	OfferDirectory(DirectoryCopy)
}
