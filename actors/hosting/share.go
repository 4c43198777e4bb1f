package hosting

import (
	"time"

	"chive/tor/onion"
	"chive/tor/onion/host"
)

// Role says what the node is to do for a service that it shares with others. Whoever
// coordinates the nodes sends it to the hosting actor, whenever it changes.
type Role struct {
	Service string // its folder
	Publish bool
	Epoch   uint64
	// Floor is the highest Shared.Published of any node: descriptors are newer.
	Floor uint64
	// Until is when Publish ends unless it is said again, by the node's monotonic clock:
	// nothing is published after it.
	Until  time.Time
	Others []SharedPoint // of the other nodes
}

// SharedPoint is an introduction point of another node.
type SharedPoint struct {
	Node  string
	Point host.ForeignPoint
	Since time.Time
}

// Shared is what the others are to know of a service. Its actor sends it to
// Options.Sharing whenever it changes.
type Shared struct {
	Service string // its folder
	Address onion.Address
	// Secret derives n bytes from the identity key, the same on every node that has it
	// (HKDF-SHA256, RFC 5869): a label for each use.
	Secret func(label string, n int) []byte
	Points []host.ForeignPoint // of this node, established
	// Published is the newest descriptor of this node: the time that its revision stands
	// for, in seconds (Unix), for revisions of two periods do not compare. 0: none.
	Published uint64
	Epoch     uint64 // of the last Role
}
