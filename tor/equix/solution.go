package equix

import (
	"encoding/binary"
	"errors"

	"chive/tor/hashx"
)

// Size is the length of a solution in bytes.
const Size = 16

const indices = 8

const (
	pairMask = 1<<15 - 1 // bits in which a sum of two hashes vanishes
	quadMask = 1<<30 - 1 // of four
	fullMask = 1<<60 - 1 // of eight
)

// Why a solution is no solution. A challenge for which there is no hash
// function at all is [hashx.ErrSeed].
var (
	ErrOrder = errors.New("equix: the indices are not in canonical order")
	ErrSum   = errors.New("equix: the hashes do not sum to zero")
)

// Solution is the eight indices of a solution, or what claims to be one.
type Solution [indices]uint16

// ParseSolution reads a solution from its bytes, each index little-endian.
func ParseSolution(b [Size]byte) (s Solution) {
	for i := range s {
		s[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return s
}

// Bytes is s as it is sent, each index little-endian.
func (s Solution) Bytes() (b [Size]byte) {
	for i, index := range s {
		binary.LittleEndian.PutUint16(b[2*i:], index)
	}
	return b
}

// ordered reports whether no branch of the tree comes before its left sibling.
func (s *Solution) ordered() bool {
	for width := 1; width < indices; width *= 2 {
		for i := 0; i < indices; i += 2 * width {
			if before(s[i+width:i+2*width], s[i:i+width]) {
				return false
			}
		}
	}
	return true
}

// order puts every branch of the tree in its place.
func (s *Solution) order() {
	var swap [indices / 2]uint16
	for width := 1; width < indices; width *= 2 {
		for i := 0; i < indices; i += 2 * width {
			left, right := s[i:i+width], s[i+width:i+2*width]
			if before(right, left) {
				copy(swap[:], left)
				copy(left, right)
				copy(right, swap[:width])
			}
		}
	}
}

// before compares two branches as numbers whose last index weighs most.
func before(a, b []uint16) bool {
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// Verifier checks solutions. The zero Verifier is ready; it is for one
// goroutine at a time.
type Verifier struct {
	hash hashx.Function
}

// Verify says whether s solves a challenge: nil, or [ErrOrder], [ErrSum] or
// [hashx.ErrSeed]. The order, which costs next to nothing, is checked before
// any hashing, and hashing stops at the first sum that is wrong.
func (v *Verifier) Verify(challenge []byte, s Solution) error {
	if !s.ordered() {
		return ErrOrder
	}
	if err := v.hash.Reset(challenge); err != nil {
		return err
	}
	var full uint64
	for half := 0; half < indices; half += 4 {
		var quad uint64
		for i := half; i < half+4; i += 2 {
			pair := v.hash.Sum64(uint64(s[i])) + v.hash.Sum64(uint64(s[i+1]))
			if pair&pairMask != 0 {
				return ErrSum
			}
			quad += pair
		}
		if quad&quadMask != 0 {
			return ErrSum
		}
		full += quad
	}
	if full&fullMask != 0 {
		return ErrSum
	}
	return nil
}
