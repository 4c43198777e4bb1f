//go:build !amd64

package relaycrypto

const hasWide = false

type wideKey struct{}

func expandKey(*wideKey, *[16]byte) { panic("unreachable") }

func expandKey256(*wideKey, *[32]byte) { panic("unreachable") }

func xorWide(*wideKey, uint64, *[bodyLen]byte) { panic("unreachable") }
