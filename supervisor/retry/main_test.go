package retry

import (
	"testing"

	"chive/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// fixed is a Random that always gives the same number.
type fixed float64

func (f fixed) Float64() float64 { return float64(f) }

const middle = fixed(0.5) // no jitter either way
