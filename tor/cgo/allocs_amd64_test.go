//go:build !race

package cgo

// allocations a cell there and back: none with AES-NI, else two for the keys of each end.
var allocations = map[bool]float64{true: 0, false: 16}[hasAES]
