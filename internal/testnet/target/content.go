package target

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fill writes the fixed sequence's bytes from the given offset on. Every eight
// bytes differ from all the others, so a block that is lost, doubled or out of
// place changes the hash.
func Fill(dst []byte, offset int64) {
	for len(dst) > 0 {
		within := int(offset & 7)
		if within == 0 && len(dst) >= 8 {
			binary.LittleEndian.PutUint64(dst, word(uint64(offset)>>3))
			dst, offset = dst[8:], offset+8
			continue
		}
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], word(uint64(offset)>>3))
		n := copy(dst, w[within:])
		dst, offset = dst[n:], offset+int64(n)
	}
}

// word is splitmix64's output function: a bijection, cheap and well mixed.
func word(i uint64) uint64 {
	z := (i + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Sum is the SHA-256 of the sequence's first n bytes: of the body of /bytes/n.
func Sum(n int64) [sha256.Size]byte {
	h := sha256.New()
	buf := make([]byte, chunk)
	for off := int64(0); off < n; {
		b := buf[:min(n-off, chunk)]
		Fill(b, off)
		h.Write(b)
		off += int64(len(b))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

const chunk = 64 << 10
