//go:build !amd64

package polyval

func initKey(k *Key, h *[BlockSize]byte)                 { initKeyGeneric(k, h) }
func update(k *Key, acc *[BlockSize]byte, blocks []byte) { updateGeneric(k, acc, blocks) }
func mul(dst, a, b *[BlockSize]byte)                     { mulGeneric(dst, a, b) }
