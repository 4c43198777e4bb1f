//go:build !amd64 || !linux

package hashx

// maxCodeSize is nothing: there is no compiler here.
const maxCodeSize = 0

func (*program) translate(b []byte) []byte { return b }

func call(uintptr, *sipKey, uint64, *uint64, int) {
	panic("hashx: there is no machine code to call on this platform")
}
