package chive

import (
	"context"
	"iter"
	"sync/atomic"

	"chive/messages"
	"chive/messages/chivev1"
)

// Tier is how much events tell.
type Tier int

// The tiers; each has what those before it have.
const (
	Aggregate Tier = iota + 1 // sums, which tell of nobody
	Lifecycle                 // what became of connections, circuits and streams: what NATS clients see
	Forensic                  // relays, paths, targets and isolation, which can undo anonymity: never store it
)

var tiers = [...]chivev1.Tier{
	Aggregate: chivev1.Tier_TIER_AGGREGATE, Lifecycle: chivev1.Tier_TIER_LIFECYCLE, Forensic: chivev1.Tier_TIER_FORENSIC,
}

// Event is something that happened in the node (docs/events.md). It is read-only.
type Event struct {
	*chivev1.Envelope
	// Dropped is how many events are missing between the one before and this one, as they
	// were not read in time.
	Dropped uint64
}

// String is the event on one line, by the lifecycle tier whatever was asked for.
func (e Event) String() string { return messages.Text(e.Envelope) }

// eventBuffer is how many events wait for a reader.
const eventBuffer = 1024

// Events gives what happens from the call on until ctx or the node ends; ranging over it
// may begin later, and is done once. At most 1024 events wait to be read; others are dropped,
// and counted in the next that is given. The node never waits.
func (c *Client) Events(ctx context.Context, tier Tier) iter.Seq[Event] {
	limit := tiers[min(max(tier, Aggregate), Forensic)]
	waiting := make(chan Event, eventBuffer)
	var missed uint64 // of the observer alone
	cancel := c.node.Observe(func(e *chivev1.Envelope) {
		select {
		case waiting <- Event{e, missed}:
			missed = 0
		default:
			missed++
		}
	})
	over := context.AfterFunc(ctx, cancel)
	var ranged atomic.Bool
	return func(yield func(Event) bool) {
		if ranged.Swap(true) {
			return
		}
		defer over()
		defer cancel()
		var skipped uint64 // dropped before an event that the tier leaves nothing of
		for {
			var e Event
			select {
			case e = <-waiting:
			case <-ctx.Done():
				return
			case <-c.node.Stopped():
				select {
				case e = <-waiting:
				default:
					return
				}
			}
			e.Envelope = messages.Redact(e.Envelope, limit)
			if limit == chivev1.Tier_TIER_AGGREGATE && e.GetEvent() == nil {
				skipped += e.Dropped
				continue
			}
			e.Dropped, skipped = e.Dropped+skipped, 0
			if !yield(e) {
				return
			}
		}
	}
}
