package cgo

import "golang.org/x/sys/cpu"

// What this processor has. Variables, so that tests can go through all of them.
var (
	hasAES  = cpu.X86.HasAES && cpu.X86.HasSSE41
	hasWide = hasAES && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW &&
		cpu.X86.HasAVX512VAES
)

// schedule holds AES-128's round keys in the order of use.
type schedule [11][16]byte

// aesKey is an AES-128 key, ready for use after rekey.
type aesKey struct {
	rounds  schedule    // with AES-NI
	generic *genericKey // without
}

// rekey sets the two keys of a UIV, the first for decryption or encryption.
func rekey(block, stream *aesKey, kb, k *[16]byte, decrypts bool) error {
	if hasAES {
		expandTwo(&block.rounds, &stream.rounds, kb, k)
		if decrypts {
			invert(&block.rounds)
		}
		return nil
	}
	block.generic, stream.generic = new(genericKey), new(genericKey)
	if err := block.generic.set(kb); err != nil {
		return err
	}
	return stream.generic.set(k)
}

func (k *aesKey) encryptMasked(block, mask *[16]byte) {
	if hasAES {
		encryptBlock(&k.rounds, block, mask)
		return
	}
	k.generic.encryptMasked(block, mask)
}

func (k *aesKey) decryptMasked(block, mask *[16]byte) {
	if hasAES {
		decryptBlock(&k.rounds, block, mask)
		return
	}
	k.generic.decryptMasked(block, mask)
}

// xorRight adds the PRF's first part to right.
func (k *aesKey) xorRight(iv *[16]byte, right *[rightLen]byte) {
	switch {
	case hasWide:
		xorWide(&k.rounds, iv, right)
	case hasAES:
		xorNI(&k.rounds, iv, right)
	default:
		k.generic.xor(iv, 0, right[:])
	}
}

// keystream is the PRF's second part.
func (k *aesKey) keystream(iv *[16]byte, out *[KeysLen]byte) {
	if hasAES {
		keystreamNI(&k.rounds, iv, out)
		return
	}
	clear(out[:])
	k.generic.xor(iv, secondPart, out[:])
}

// expandTwo makes the round keys of two keys at once, for encryption.
//
//go:noescape
func expandTwo(a, b *schedule, keyA, keyB *[16]byte)

// invert turns round keys for encryption into those for decryption.
//
//go:noescape
func invert(s *schedule)

// encryptBlock is AES of block plus mask, plus mask.
//
//go:noescape
func encryptBlock(s *schedule, block, mask *[16]byte)

//go:noescape
func decryptBlock(s *schedule, block, mask *[16]byte)

//go:noescape
func xorNI(s *schedule, iv *[16]byte, right *[rightLen]byte)

//go:noescape
func xorWide(s *schedule, iv *[16]byte, right *[rightLen]byte)

//go:noescape
func keystreamNI(s *schedule, iv *[16]byte, out *[KeysLen]byte)
