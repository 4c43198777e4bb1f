package host

import (
	"testing"

	"chive/tor/onion"
)

// A folder that was used where periods are short, whose numbers are great, has the revisions of
// those where they are long kept all the same.
func TestFloorsOfPeriodsOfAnotherLength(t *testing.T) {
	var f Floors
	const day = 20780
	for i := range uint64(4) { // of 24 minutes, and some days ago
		f.Raise(Floor{onion.Period{Number: (day-9)*60 + i, Minutes: 24}, 7})
	}
	for i := range uint64(2) {
		p := onion.Period{Number: day + i, Minutes: 1440}
		f.Raise(Floor{p, 100 + i})
		if got := f.of(p); got != 100+i {
			t.Errorf("period %d: revision %d is kept, want %d", i, got, 100+i)
		}
	}
	if len(f) != maxFloors {
		t.Errorf("%d are kept", len(f))
	}
}
