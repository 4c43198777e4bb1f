package invariant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Layers of guards come and go while the node runs: a circuit has the shape of those that
// are used when it is launched, but for one that was on its way.
func TestLayersChange(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	digest := func(b byte) []byte { return append([]byte{b}, make([]byte, 19)...) }
	at := func(second int, e *chivev1.Envelope) *chivev1.Envelope {
		e.Time = timestamppb.New(start.Add(time.Duration(second) * time.Second))
		return e
	}
	added := func(second int, layer uint32, b byte) *chivev1.Envelope {
		return at(second, messages.Event(chivev1.Kind_KIND_ONION, "vanguards", &chivev1.VanguardAdded{Relay: digest(b), Layer: layer}))
	}
	removed := func(second int, layer uint32, b byte, why string) *chivev1.Envelope {
		return at(second, messages.Event(chivev1.Kind_KIND_ONION, "vanguards", &chivev1.VanguardRemoved{Relay: digest(b), Layer: layer, Reason: why}))
	}
	n := 0
	launched := func(second int, hops ...byte) *chivev1.Envelope {
		n++
		l := &chivev1.CircuitLaunched{ConnectionId: "k", Purpose: chivev1.Purpose_PURPOSE_RENDEZVOUS, Hops: uint32(len(hops))}
		for _, b := range hops {
			l.Path = append(l.Path, digest(b))
		}
		return at(second, messages.Event(chivev1.Kind_KIND_CIRCUIT, strings.Repeat("c", n), l))
	}
	for name, tt := range map[string]struct {
		log  []*chivev1.Envelope
		want string
	}{
		"lite":           {[]*chivev1.Envelope{added(0, 2, 2), launched(1, 1, 2, 9)}, ""},
		"not of it":      {[]*chivev1.Envelope{added(0, 2, 2), launched(1, 1, 3, 9)}, "hop 2 is not of the second layer"},
		"full":           {[]*chivev1.Envelope{added(0, 2, 2), added(0, 3, 3), launched(1, 1, 2, 3, 9)}, ""},
		"not of third":   {[]*chivev1.Envelope{added(0, 2, 2), added(0, 3, 3), launched(1, 1, 2, 4, 9)}, "hop 3 is not of the third layer"},
		"lite, not full": {[]*chivev1.Envelope{added(0, 2, 2), added(0, 3, 3), launched(1, 1, 2, 9)}, "3 hops"},
		"switched off": {[]*chivev1.Envelope{
			added(0, 2, 2), launched(1, 1, 2, 9), removed(2, 2, 2, "off"), launched(3, 1, 5, 9),
		}, ""},
		"its time was over": {[]*chivev1.Envelope{
			added(0, 2, 2), launched(1, 1, 2, 9), removed(2, 2, 2, "expired"), added(2, 2, 3), launched(3, 1, 5, 9),
		}, "hop 2 is not of the second layer"},
		"on its way": {[]*chivev1.Envelope{
			added(0, 2, 2), launched(1, 1, 2, 9), added(2, 3, 3), launched(3, 1, 2, 9), launched(4, 1, 2, 3, 9),
		}, ""},
		"on its way for long": {[]*chivev1.Envelope{
			added(0, 2, 2), launched(1, 1, 2, 9), added(2, 3, 3), launched(63, 1, 2, 9),
		}, "3 hops"},
		"never so": {[]*chivev1.Envelope{
			added(0, 2, 2), launched(1, 1, 2, 9), added(2, 3, 3), launched(3, 1, 5, 9),
		}, "3 hops"},
	} {
		c := &checker{circuits: map[string]*circuit{}, connections: map[string]*fold.Connection{}, dropped: true}
		for _, e := range tt.log {
			if e.GetKind() == chivev1.Kind_KIND_ONION {
				c.layers.apply(e)
			} else {
				c.launched(e, e.GetCircuitLaunched())
			}
		}
		said := slices.Collect(func(yield func(string) bool) {
			for _, v := range c.found {
				if !yield(v.String()) {
					return
				}
			}
		})
		if tt.want == "" && len(said) != 0 || tt.want != "" && (len(said) != 1 || !strings.Contains(said[0], tt.want)) {
			t.Errorf("%s: %q, want %q", name, said, tt.want)
		}
	}
}
