//go:build !amd64

package cgo

import "testing"

// eachPath runs f on each code that this processor can run.
func eachPath(t *testing.T, f func(*testing.T)) { t.Run("portable", f) }
