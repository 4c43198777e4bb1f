package polyval

import "testing"

// eachPath runs f on each code that this processor can run.
func eachPath(t *testing.T, f func(*testing.T)) {
	clmul, wide := hasCLMUL, hasWide
	defer func() { hasCLMUL, hasWide = clmul, wide }()
	if wide {
		t.Run("AVX-512", f)
	}
	if hasWide = false; clmul {
		t.Run("PCLMULQDQ", f)
	}
	hasCLMUL = false
	t.Run("portable", f)
}
