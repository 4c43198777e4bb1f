//go:build !race && !amd64

package cgo

// allocations a cell there and back: crypto/aes makes the keys of each end anew.
const allocations = 16.0
