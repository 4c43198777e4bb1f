package hosting

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"chive/actors/keystore"
	"chive/tor/onion/host"
)

// A circuit brings introductions for a moment after its point is gone: they count, and are not
// kept by the point for ever.
func TestTallyOfPointsThatAreGone(t *testing.T) {
	store, err := keystore.OpenService(filepath.Join(t.TempDir(), "hs"), false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := host.New(store.Address, host.NewOnline(store.Key), rand.Reader, host.Config{Points: 1}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var tally tally
	for p := range host.PointID(100) {
		tally.arrived(p + 1)
		tally.forget(machine)
		tally.arrived(p + 1)
	}
	if n := len(tally.of); n != 1 || tally.all.clients != 200 {
		t.Errorf("%d points are kept, %d introductions counted", n, tally.all.clients)
	}
}
