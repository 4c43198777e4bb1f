package polyval

import "golang.org/x/sys/cpu"

// What this processor has. Variables, so that tests can go through all of them.
var (
	hasCLMUL = cpu.X86.HasPCLMULQDQ
	hasWide  = hasCLMUL && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW &&
		cpu.X86.HasAVX512VPCLMULQDQ
)

// wideBytes is what the wide code takes at a time.
const wideBytes = strides * BlockSize

func initKey(k *Key, h *[BlockSize]byte) {
	if !hasCLMUL {
		initKeyGeneric(k, h)
		return
	}
	initKeyCLMUL(k, h)
}

func update(k *Key, acc *[BlockSize]byte, blocks []byte) {
	if !hasCLMUL {
		updateGeneric(k, acc, blocks)
		return
	}
	if hasWide && len(blocks) >= wideBytes {
		n := len(blocks) / wideBytes
		updateWide(k, acc, &blocks[0], n)
		blocks = blocks[n*wideBytes:]
		if len(blocks) == 0 {
			return
		}
	}
	updateCLMUL(k, acc, &blocks[0], len(blocks)/BlockSize)
}

func mul(dst, a, b *[BlockSize]byte) {
	if !hasCLMUL {
		mulGeneric(dst, a, b)
		return
	}
	mulCLMUL(dst, a, b)
}

// initKeyCLMUL makes the powers of h.
//
//go:noescape
func initKeyCLMUL(k *Key, h *[BlockSize]byte)

// updateCLMUL takes n blocks, at least one.
//
//go:noescape
func updateCLMUL(k *Key, acc *[BlockSize]byte, blocks *byte, n int)

// updateWide takes n times strides blocks, at least once, with AVX-512.
//
//go:noescape
func updateWide(k *Key, acc *[BlockSize]byte, blocks *byte, n int)

//go:noescape
func mulCLMUL(dst, a, b *[BlockSize]byte)
