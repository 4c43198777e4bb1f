package invariant

import (
	"slices"
	"strings"
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
)

// A circuit that was built ahead is what it becomes.
func TestStems(t *testing.T) {
	const introduction, stem = chivev1.Purpose_PURPOSE_INTRODUCTION, chivev1.Purpose_PURPOSE_ONION_STEM
	path := [][]byte{{1}, {2}, {3}, {4}}
	log := func() []*chivev1.Envelope {
		l := good()[:2]
		l = append(l, messages.Event(kCirc, "c", &chivev1.CircuitLaunched{Purpose: stem, Hops: 3, ConnectionId: "n", Path: path[:3]}))
		for hop := range uint32(3) {
			l = append(l, messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: hop + 1}))
		}
		return append(l, messages.Event(kCirc, "c", &chivev1.CircuitOpened{Hops: 3}))
	}
	assigned := func(p chivev1.Purpose, path ...[]byte) []*chivev1.Envelope {
		l := append(log(), messages.Event(kCirc, "c", &chivev1.CircuitAssigned{Purpose: p, Hops: uint32(len(path)), Path: path}))
		if len(path) > 3 {
			l = append(l, messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: 4}), messages.Event(kCirc, "c", &chivev1.CircuitOpened{Hops: 4}))
		}
		return l
	}
	again := messages.Event(kCirc, "c", &chivev1.CircuitAssigned{Purpose: introduction, Hops: 4, Path: path})
	for name, tt := range map[string]struct {
		log  []*chivev1.Envelope
		want string
	}{
		"never taken":     {log(), ""},
		"extended":        {assigned(introduction, path...), ""},
		"as it is":        {assigned(chivev1.Purpose_PURPOSE_RENDEZVOUS, path[:3]...), ""},
		"to its guard":    {assigned(introduction, path[0], path[1], path[2], path[0]), ""},
		"to its last hop": {assigned(introduction, path[0], path[1], path[2], path[2]), "stands in it twice"},
		"over other hops": {assigned(introduction, path[0], path[3], path[2], []byte{5}), "other hops than it was built over"},
		"for an exit":     {assigned(chivev1.Purpose_PURPOSE_GENERAL, path...), "wrong shape"},
		"too short":       {assigned(introduction, path[:3]...), "wrong shape"},
		"twice":           {append(assigned(introduction, path...), again), "assigned once"},
		"a stream on it":  {append(log(), good()[7], good()[8], good()[9]), "a general stream on a onion-stem circuit"},
	} {
		found := Check(number(slices.Clone(tt.log)), Running())
		switch {
		case tt.want == "" && len(found) > 0:
			t.Errorf("%s: %v", name, found)
		case tt.want != "" && !slices.ContainsFunc(found, func(v Violation) bool { return strings.Contains(v.Rule, tt.want) }):
			t.Errorf("%s: %v, want %q", name, found, tt.want)
		}
	}
}
