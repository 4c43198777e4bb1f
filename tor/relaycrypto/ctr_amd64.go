package relaycrypto

import "golang.org/x/sys/cpu"

// hasWide: four AES blocks to a register. A variable, so that tests can do without.
var hasWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VAES &&
	cpu.X86.HasAES && cpu.X86.HasBMI2

// wideKey holds AES-128's round keys in the order of use.
type wideKey [11][16]byte

// expandKey makes the round keys for encryption.
//
//go:noescape
func expandKey(rounds *wideKey, key *[16]byte)

// xorWide adds to body the stream of AES-128-CTR whose counter began at zero, from a place
// on, which is counted in bytes.
//
//go:noescape
func xorWide(rounds *wideKey, place uint64, body *[bodyLen]byte)
