package relaycrypto

import (
	"crypto/sha1"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"chive/tor/keccak"
)

// bodyLen is the length of a relay cell's body; the two fields that this package
// owns lie at these offsets (tor-spec 6.1).
const (
	bodyLen      = 509
	recognizedAt = 1
	digestAt     = 5
	digestLen    = 4
)

const (
	// hashStateLen holds the marshalled state of SHA-1 or SHA3-256 (337 bytes) with room
	// to spare.
	hashStateLen = 352
	// maxSum is the length of the longer digest, SHA3-256.
	maxSum = 32
)

// errHash reports a hash whose state cannot be saved; the standard library's can.
var errHash = errors.New("the hash of this build cannot save its state")

// runningHash is a hash whose state can be put back without allocating.
type runningHash interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// direction is one hop's cipher stream and running digest, one way. Its arrays are
// scratch space: slices of them cross interface calls, and must not be moved to
// the heap for each cell.
type direction struct {
	ctr
	digest runningHash
	late   keccak.Late        // digest, if what it is may come later; else nil
	taken  int                // cells whose digest was taken, but not stamped
	tag    [sha1.Size]byte    // start of the running digest after the last cell that was ours
	sum    [maxSum]byte       // running digest of a cell not yet known to be ours
	saved  [hashStateLen]byte // state to put back when it was not
}

// init takes an AES key of 16 or 32 bytes and a new hash with its seed.
func (d *direction) init(key []byte, digest hash.Hash, seed []byte) error {
	if err := d.ctr.init(key); err != nil {
		return err
	}
	var ok bool
	if d.digest, ok = digest.(runningHash); !ok {
		return errHash
	}
	d.late, _ = digest.(keccak.Late)
	if _, err := d.digest.Write(seed); err != nil {
		return fmt.Errorf("relay digest: %w", err)
	}
	d.digest.Sum(d.sum[:0])
	copy(d.tag[:], d.sum[:])
	return nil
}

// take is the first half of stamp: it zeroes recognized and the digest field and takes the cell
// into the running digest. It may go before the second half for the cell before.
func (d *direction) take(body []byte) {
	most := 1
	if d.late != nil {
		most = 2
	}
	if d.taken++; d.taken > most {
		panic("relaycrypto: cells were taken that are not stamped")
	}
	d.enter(body)
}

// stamp makes the body that take was given a cell of ours: it writes the digest field.
func (d *direction) stamp(body []byte) {
	if d.taken--; d.taken == 0 && d.late != nil {
		d.late.Settle()
	}
	copy(d.tag[:], d.sum[:])
	copy(body[digestAt:digestAt+digestLen], d.tag[:])
}

// enter takes a cell into the running digest, which is in sum then, or as soon as the next cell
// has entered.
func (d *direction) enter(body []byte) {
	body[recognizedAt], body[recognizedAt+1] = 0, 0
	binary.BigEndian.PutUint32(body[digestAt:], 0)
	_, _ = d.digest.Write(body) // a hash.Hash never fails
	if d.late != nil {
		d.late.Later(&d.sum)
		return
	}
	d.digest.Sum(d.sum[:0])
}

// recognizes tells whether a decrypted body is addressed to this end. If so the
// cell becomes part of the running digest and its digest field is zeroed, so that
// body is what the sender stamped. If not, nothing has changed.
//
// One cell in 65536 that is not ours has a zero recognized field; only then is
// the digest computed in vain and its state put back.
func (d *direction) recognizes(body []byte) bool {
	if body[recognizedAt]|body[recognizedAt+1] != 0 {
		return false
	}
	saved, err := d.digest.AppendBinary(d.saved[:0])
	if err != nil {
		return false // cannot happen: the state always marshals
	}
	field := body[digestAt : digestAt+digestLen]
	got := binary.BigEndian.Uint32(field)
	binary.BigEndian.PutUint32(field, 0)
	_, _ = d.digest.Write(body)
	d.digest.Sum(d.sum[:0])
	// One word against one word: no early exit to time.
	if got == binary.BigEndian.Uint32(d.sum[:]) {
		copy(d.tag[:], d.sum[:])
		return true
	}
	binary.BigEndian.PutUint32(field, got)
	// The bytes come from this very hash, so they always parse.
	_ = d.digest.UnmarshalBinary(saved)
	return false
}
