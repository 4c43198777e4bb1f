package node

import (
	"fmt"
	"os"
	"testing"

	"chive/messages"
	"chive/tor/guard"
)

// The histories that earlier chives have left lead to a list in the order of sampling, whatever
// order their own lists had; a list that they wrote counts in the order that it has, so that the
// guards that were first stay first.
func TestGuardHistoriesOfEarlierChives(t *testing.T) {
	type entry = messages.JournalEvent
	sampled := func(n int) entry {
		g := aGuard(n)
		return journalled(guard.Event{Kind: guard.Sampled, Guard: g.Identity, At: g.Sampled, Expires: g.Expires})
	}
	confirmed := func(n, at int) entry {
		return journalled(guard.Event{Kind: guard.Confirmed, Guard: aGuard(n).Identity, At: aGuard(at).Sampled, Expires: aGuard(at).Expires})
	}
	is := func(n, at int) guard.Guard { // confirmed
		g := aGuard(n)
		g.Confirmed, g.Expires = aGuard(at).Sampled, aGuard(at).Expires
		return g
	}
	list := func(kind string, list ...guard.Guard) entry {
		data, err := guardFold(list).document(0)
		if err != nil {
			t.Fatal(err)
		}
		return entry{Kind: kind, Data: data}
	}
	removed := journalled(guard.Event{Kind: guard.Removed, Guard: aGuard(1).Identity, Reason: guard.Expired})
	for name, tt := range map[string]struct {
		log  []entry
		want guardFold
	}{
		"events alone": {
			[]entry{sampled(1), sampled(2), confirmed(2, 7), sampled(3), confirmed(1, 8)},
			guardFold{is(1, 8), is(2, 7), aGuard(3)},
		},
		"one is gone": {
			[]entry{sampled(1), sampled(2), confirmed(2, 7), confirmed(1, 8), removed, sampled(4)},
			guardFold{is(2, 7), aGuard(4)},
		},
		"a state": {
			[]entry{list(kindGuards, is(2, 7), is(1, 8), aGuard(3))},
			guardFold{is(2, 7), is(1, 8), aGuard(3)},
		},
		"a state, and events": {
			[]entry{list(kindGuards, is(2, 7), is(1, 8), aGuard(3), aGuard(4)), sampled(5), confirmed(4, 9)},
			guardFold{is(2, 7), is(1, 8), aGuard(3), is(4, 9), aGuard(5)},
		},
		"a list from a file": {
			[]entry{sampled(4), list(kindGuardsImported, is(2, 7), is(1, 8), aGuard(3)), sampled(5)},
			guardFold{is(2, 7), is(1, 8), aGuard(3), aGuard(5)},
		},
	} {
		for version := uint32(1); version <= guardEventVersion; version++ {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				h := newGuardHome(t)
				for _, e := range tt.log {
					e.Version = version
					if err := h.store.lane.Record(e); err != nil {
						t.Fatal(err)
					}
				}
				if err := h.store.lane.Flush(guardContext(t)); err != nil {
					t.Fatal(err)
				}
				h.restart(func() { _ = os.Remove(h.file()) })
				h.want(tt.want...)
				h.save(append(tt.want, aGuard(6))...)
				h.restart(nil) // and what is told behind it leads on
				h.want(append(tt.want, aGuard(6))...)
				h.wantTrouble(nil)
			})
		}
	}
}

// What an earlier chive has left beside the journal, newer than that, counts in its own order.
func TestGuardMirrorOfAnEarlierChive(t *testing.T) {
	h := newGuardHome(t)
	h.save(aGuard(1), aGuard(2), aGuard(3))
	second, first := aGuard(1), aGuard(3)
	second.Confirmed, first.Confirmed = aGuard(9).Sampled, aGuard(8).Sampled
	ahead, err := guardFold{first, second, aGuard(2)}.document(9)
	if err != nil {
		t.Fatal(err)
	}
	h.restart(func() {
		if err := os.WriteFile(h.file(), ahead, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	h.want(first, second, aGuard(2))
	h.restart(nil)
	h.want(first, second, aGuard(2))
}
