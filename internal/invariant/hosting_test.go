package invariant

import (
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
)

func TestHosting(t *testing.T) {
	const kind = chivev1.Kind_KIND_HOSTING
	started := messages.Event(kind, "s", &chivev1.HostingStarted{})
	up := func(point uint64, relay string) *chivev1.Envelope {
		return messages.Event(kind, "s", &chivev1.HostingPointUp{Point: point, Relay: []byte(relay)})
	}
	gone := messages.Event(kind, "s", &chivev1.HostingPointGone{Point: 1, Relay: []byte("a")})
	down := messages.Event(kind, "s", &chivev1.HostingPointDown{Point: 1, Relay: []byte("a")})
	for name, tt := range map[string]struct {
		log  []*chivev1.Envelope
		want int
	}{
		"sound":              {[]*chivev1.Envelope{started, up(1, "a"), up(2, "b"), down, up(1, "a"), gone, up(3, "a")}, 0},
		"two at one relay":   {[]*chivev1.Envelope{started, up(1, "a"), up(2, "a")}, 1},
		"not started":        {[]*chivev1.Envelope{up(1, "a")}, 1},
		"nobody to ask":      {[]*chivev1.Envelope{started, messages.Event(kind, "s", &chivev1.HostingDescribed{})}, 1},
		"another's is apart": {[]*chivev1.Envelope{started, up(1, "a"), messages.Event(kind, "t", &chivev1.HostingStarted{}), messages.Event(kind, "t", &chivev1.HostingPointUp{Point: 1, Relay: []byte("a")})}, 0},
	} {
		for i, e := range tt.log {
			e.Sequence = uint64(i + 1)
		}
		if found := Check(tt.log); len(found) != tt.want {
			t.Errorf("%s: %v", name, found)
		}
	}
}
