package invariant

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
)

func TestPublishers(t *testing.T) {
	at := func(second float64, node string, e *chivev1.Envelope) *chivev1.Envelope {
		e.Node, e.Time = node, timestamppb.New(time.Unix(1000, 0).Add(time.Duration(second*float64(time.Second))))
		return e
	}
	const kind = chivev1.Kind_KIND_HOSTING
	taken := func(second float64, node string, epoch uint64) *chivev1.Envelope {
		return at(second, node, messages.Event(kind, "s"+node, &chivev1.HostingLeaseTaken{Epoch: epoch}))
	}
	lost := func(second float64, node string, epoch uint64, ago time.Duration) *chivev1.Envelope {
		return at(second, node, messages.Event(kind, "s"+node, &chivev1.HostingLeaseLost{Epoch: epoch, Ago: messages.Took(ago)}))
	}
	stored := func(second float64, node string, out chivev1.Outcome) *chivev1.Envelope {
		return at(second, node, messages.Event(kind, "s"+node, &chivev1.HostingStored{Outcome: out}))
	}
	const ok, away = chivev1.Outcome_OUTCOME_OK, chivev1.Outcome_OUTCOME_TIMEOUT
	for name, c := range map[string]struct {
		log  []*chivev1.Envelope
		want string // of the one violation; "" is none
	}{
		"one after the other": {[]*chivev1.Envelope{taken(0, "a", 1), stored(1, "a", ok), lost(5, "a", 1, 0), taken(7, "b", 9), stored(8, "b", ok)}, ""},
		"killed":              {[]*chivev1.Envelope{taken(0, "a", 1), stored(1, "a", ok), taken(7, "b", 9), stored(8, "b", ok)}, ""},
		"stopped, and told late": {[]*chivev1.Envelope{
			taken(0, "a", 1), taken(7, "b", 9), stored(8, "b", ok), lost(40, "a", 1, 35*time.Second),
		}, ""},
		"the same node again":  {[]*chivev1.Envelope{taken(0, "a", 1), lost(3, "a", 1, 0), taken(3, "a", 4), stored(4, "a", ok)}, ""},
		"what was not stored":  {[]*chivev1.Envelope{taken(0, "a", 1), lost(3, "a", 1, 0), stored(9, "a", away)}, ""},
		"epochs":               {[]*chivev1.Envelope{taken(0, "a", 5), lost(1, "a", 5, 0), taken(9, "b", 5)}, "epoch 5 after 5"},
		"nobody's":             {[]*chivev1.Envelope{stored(1, "a", ok)}, "does not hold the lease"},
		"after it was lost":    {[]*chivev1.Envelope{taken(0, "a", 1), lost(3, "a", 1, 0), stored(9, "a", ok)}, "has lost epoch 1"},
		"after another took":   {[]*chivev1.Envelope{taken(0, "a", 1), taken(7, "b", 9), stored(8, "a", ok)}, "and b has epoch 9"},
		"two at once":          {[]*chivev1.Envelope{taken(0, "a", 1), taken(7, "b", 9), lost(9, "a", 1, time.Second)}, "ended 1s after b took epoch 9"},
		"taken twice":          {[]*chivev1.Envelope{taken(0, "a", 1), taken(2, "a", 2)}, "which has not ended"},
		"lost what it had not": {[]*chivev1.Envelope{lost(2, "a", 2, 0)}, "which it had not"},
	} {
		t.Run(name, func(t *testing.T) {
			// Logs come one by one.
			var a, b []*chivev1.Envelope
			for _, e := range c.log {
				if e.GetNode() == "a" {
					a = append(a, e)
				} else {
					b = append(b, e)
				}
			}
			got := Publishers(b, a)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Rule, c.want)) {
				t.Errorf("%v, want %q", got, c.want)
			}
		})
	}
}
