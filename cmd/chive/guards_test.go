package main

import (
	"strings"
	"testing"
	"time"

	"chive/messages/fold"
)

// While no guard answers, all are tried before their breakers would let them.
func TestGuardsTellNoBreakersTimeWhenTriedSooner(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		trouble *fold.Trouble
		told    bool
	}{
		{nil, true},
		{&fold.Trouble{What: fold.NoCircuit}, true},
		{&fold.Trouble{What: fold.NoGuard}, false},
	} {
		rows := []fold.GuardView{{ID: "g", Breaker: "open", RetryAfter: now.Add(27 * time.Second)}}
		triedSooner(rows, tt.trouble)
		row := guardRow(rows[0], now)
		if told := strings.Contains(row, "in 27s"); told != tt.told || !strings.Contains(row, "open") {
			t.Errorf("%+v: %q", tt.trouble, row)
		}
	}
}
