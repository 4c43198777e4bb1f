package node

import (
	"testing"
	"testing/synctest"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// What a stream ended with may be on its way: a node is idle a while after the last.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStatus()
		if !s.idle(arriveTime) {
			t.Error("who had no stream waits")
		}
		s.apply(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamRequested{}))
		time.Sleep(time.Minute) // virtual
		if s.idle(arriveTime) {
			t.Error("idle with a request that waits")
		}
		s.apply(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamEnded{}))
		if s.idle(arriveTime) {
			t.Error("idle though a stream has just ended")
		}
		time.Sleep(arriveTime)
		if !s.idle(arriveTime) {
			t.Error("not idle")
		}
	})
}
