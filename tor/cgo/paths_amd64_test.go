package cgo

import "testing"

// eachPath runs f on each code that this processor can run.
func eachPath(t *testing.T, f func(*testing.T)) {
	aes, wide := hasAES, hasWide
	defer func() { hasAES, hasWide = aes, wide }()
	if wide {
		t.Run("VAES", f)
	}
	if hasWide = false; aes {
		t.Run("AES-NI", f)
	}
	hasAES = false
	t.Run("portable", f)
}
