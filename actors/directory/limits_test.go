package directory

import (
	"testing"
	"testing/synctest"
	"time"

	"chive/actors/limits"
)

// DirectoryFetchRate and DirectoryFetchBurst: requests wait for their turn.
func TestFetchesWaitForTheirTurn(t *testing.T) {
	docs := documents()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := &network{docs: docs}
		b := newBench(t, n, dir, duringValidity(docs))
		b.o.Limits = &limits.Limits{}
		b.o.Limits.Set(limits.Settings{FetchRate: 6, FetchBurst: 2}) // one in ten seconds, two at once
		began := time.Now()
		if err := b.once(t); err != nil || !b.enough() {
			t.Fatalf("%v, enough %v", err, b.enough())
		}
		asked := len(n.asked)
		if asked < 3 {
			t.Fatalf("%d requests tell nothing", asked)
		}
		if took, want := time.Since(began), time.Duration(asked-2)*10*time.Second; took.Round(time.Second) != want {
			t.Errorf("%d requests took %v, want %v", asked, took, want)
		}
	})
}
