package onions

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"chive/tor/onion/pow"
)

// The least effort is first, then who asked first, also when he had a turn meanwhile; who
// goes away takes no turn with him.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		holder := turns.turn(7)
		if !turns.take(t.Context(), holder) {
			t.Fatal("nobody else is there")
		}
		var order []string
		over := make(chan struct{}) // is a turn
		ask := func(ctx context.Context, name string, w *turn) {
			go func() {
				if !turns.take(ctx, w) {
					order = append(order, name+" left")
					return
				}
				order = append(order, name)
				<-over
				turns.give()
			}()
			synctest.Wait()
		}
		goes, away := context.WithCancel(t.Context())
		ask(t.Context(), "much", turns.turn(9))
		ask(goes, "goes", turns.turn(1))
		ask(t.Context(), "same", turns.turn(7))
		ask(t.Context(), "little", turns.turn(3))
		away()
		synctest.Wait()
		turns.give()
		ask(t.Context(), "again", holder) // who had a turn goes on before who asked later
		for range 4 {
			over <- struct{}{}
			synctest.Wait()
		}
		if want := []string{"goes left", "little", "again", "same", "much"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		if turns.taken || len(turns.waiting) > 0 {
			t.Error("a turn is left over")
		}
	})
}

// A search of little effort does not wait until one of much has found something, and one that
// is given up ends.
func TestLittleEffortGoesFirst(t *testing.T) {
	var turns Turns
	ctx, cancel := context.WithCancel(t.Context())
	heavy := make(chan *pow.Proof, 1)
	go func() { heavy <- Search(ctx, &turns, pow.Puzzle{Effort: 1 << 31}) }()
	if proof := Search(t.Context(), &turns, pow.Puzzle{Effort: 1}); proof == nil || proof.Effort != 1 {
		t.Errorf("%+v", proof)
	}
	select {
	case p := <-heavy:
		t.Errorf("the other one ended: %+v", p)
	default:
	}
	cancel()
	if p := <-heavy; p != nil {
		t.Errorf("%+v of a search that was given up", p)
	}
	if p := Search(ctx, &turns, pow.Puzzle{Effort: 1}); p != nil {
		t.Errorf("%+v of a search that nobody wants", p)
	}
}
