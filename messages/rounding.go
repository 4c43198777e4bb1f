package messages

import (
	"math/bits"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// Events tell durations and amounts coarsely, so that they cannot be matched
// with traffic seen elsewhere.

// Took rounds a duration to 10 ms; negative ones, from a clock that was set
// back, become zero.
func Took(d time.Duration) *durationpb.Duration {
	return durationpb.New(max(d, 0).Round(10 * time.Millisecond))
}

// Skew rounds a difference of clocks, theirs minus ours, to 1 s; it has a sign.
func Skew(d time.Duration) *durationpb.Duration {
	return durationpb.New(d.Round(time.Second))
}

// Bytes rounds an amount up to 1 KiB; zero stays zero.
func Bytes(n uint64) uint64 {
	const unit = 1 << 10
	if n > ^uint64(0)-(unit-1) {
		return ^uint64(0) &^ (unit - 1)
	}
	return (n + unit - 1) &^ (unit - 1)
}

// Cells rounds a number up to a power of two, at most 2^63; zero stays zero.
func Cells(n uint64) uint64 {
	if n <= 1 {
		return n
	}
	return 1 << min(bits.Len64(n-1), 63)
}
