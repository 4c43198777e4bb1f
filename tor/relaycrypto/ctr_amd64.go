package relaycrypto

import "golang.org/x/sys/cpu"

// hasWide: four AES blocks to a register. A variable, so that tests can do without.
var hasWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VAES &&
	cpu.X86.HasAES && cpu.X86.HasBMI2

// wideKey holds the round keys of AES-128 or AES-256.
type wideKey struct {
	_      [15][16]byte // in the order of use
	rounds uint64       // 10 or 14
}

// expandKey makes the round keys of AES-128 for encryption.
//
//go:noescape
func expandKey(keys *wideKey, key *[16]byte)

// expandKey256 makes those of AES-256.
//
//go:noescape
func expandKey256(keys *wideKey, key *[32]byte)

// xorWide adds to body the stream of AES-CTR whose counter began at zero, from a place on,
// which is counted in bytes.
//
//go:noescape
func xorWide(keys *wideKey, place uint64, body *[bodyLen]byte)
