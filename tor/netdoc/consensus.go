package netdoc

import (
	"crypto/sha1"
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"
)

// Consensus is one parsed microdesc-flavour network status (dir-spec 3.4.1, 3.9.2). It keeps no reference to the
// text it was parsed from. Being parsed says nothing of being true: call Verify and CheckTime before using it.
type Consensus struct {
	Method int // consensus method the authorities used; 1 when the document names none

	ValidAfter time.Time // the three ends of its life, in UTC
	FreshUntil time.Time
	ValidUntil time.Time
	VoteDelay  time.Duration // how long authorities collect votes
	DistDelay  time.Duration // how long authorities collect signatures

	ClientVersions []string // recommended versions, as listed; nil when the authorities have no opinion
	ServerVersions []string
	KnownFlags     []string // every flag the authorities voted on, known to us or not

	RecommendedClient Protocols // what the authorities recommend to and require of clients and relays
	RecommendedRelay  Protocols
	RequiredClient    Protocols
	RequiredRelay     Protocols

	Params           Params
	BandwidthWeights Weights // Wgg, Wgm, … in units of 1/bwweightscale

	SharedRandPrevious *SharedRand // nil when absent or unreadable
	SharedRandCurrent  *SharedRand

	Sources []Source       // the authorities that voted
	Relays  []RouterStatus // ascending and unique by Identity

	Signatures []Signature // as found; only Verify says which are good

	sha256 [sha256.Size]byte // digests of the signed part
	sha1   [sha1.Size]byte   // set only when a signature needs it
}

// RouterStatus is what the consensus says of one relay.
type RouterStatus struct {
	Nickname   string
	Identity   Digest
	MD         MDDigest       // zero when the consensus names no microdescriptor
	IPv4       netip.AddrPort // OR address
	IPv6       netip.AddrPort // OR address; invalid when the relay has none
	DirPort    uint16         // 0 when none
	Flags      Flags
	Version    string // the "v" line's text, such as "Tor 0.4.9.11"; empty when absent
	Protocols  Protocols
	Bandwidth  uint32 // consensus weight, nominally kilobytes per second; 0 when absent
	Unmeasured bool   // Bandwidth rests on fewer than three measurements
}

// SharedRand is one shared random value (srv-spec).
type SharedRand struct {
	NumReveals int
	Value      [32]byte
}

// Source is one authority that contributed to a consensus. A legacy entry has neither Contact nor VoteDigest.
type Source struct {
	Nickname   string
	Identity   Digest // v3 identity
	Hostname   string
	Addr       netip.Addr
	DirPort    uint16
	ORPort     uint16
	Contact    string
	VoteDigest Digest
}

// Signature is one directory-signature item.
type Signature struct {
	Algorithm string // "sha1", "sha256" or one we do not know, which is never counted
	KeyID     KeyID
	Signature []byte
}

// SHA256 is the SHA-256 digest of the signed part: one name for the document, whoever signed it.
func (c *Consensus) SHA256() [32]byte { return c.sha256 }

// Relay finds a relay by RSA identity.
func (c *Consensus) Relay(id Digest) (*RouterStatus, bool) {
	i, ok := slices.BinarySearchFunc(c.Relays, id, func(r RouterStatus, id Digest) int {
		return slices.Compare(r.Identity[:], id[:])
	})
	if !ok {
		return nil, false
	}
	return &c.Relays[i], true
}
