package connection

import (
	"testing"
	"time"
)

func TestSparse(t *testing.T) {
	const ms = time.Millisecond
	var s sparse
	start := time.Unix(1_800_000_000, 0)
	for i, c := range []struct {
		at    time.Duration
		bytes int
		want  bool
	}{
		{0, 536, true},
		{3 * ms, 2144, true},
		{6 * ms, sparseBytes, false}, // much in this time
		{9 * ms, 536, false},
		{12 * ms, 536, false}, // and in the one before
		{23 * ms, 536, true},
		{33 * ms, sparseBytes, false},
		{60 * ms, 536, true}, // that was long ago
		{60*ms + sparseTime/2, sparseBytes - 537, true},
		{60*ms + sparseTime/2, 1, false},
	} {
		if got := s.came(c.bytes, start.Add(c.at)); got != c.want {
			t.Errorf("%d: %d bytes at %v: little came: %v", i, c.bytes, c.at, got)
		}
	}
}
