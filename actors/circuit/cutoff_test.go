package circuit

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages/chivev1"
	"chive/tor/cell"
)

// A client who is cut off from a service keeps his circuit for nothing that is still to be sent:
// he would begin other streams meanwhile.
func TestCutOffAtOnce(t *testing.T) {
	now := time.Now()
	c := &circuitActor{o: Options{Now: func() time.Time { return now }}, lanes: map[cell.StreamID]*lane{}}
	c.lanes[cell.StreamID(1)] = &lane{finish: &finishing{}}
	c.stay.arrives = now.Add(time.Second)
	c.serve = func(uint16, int) Served { return Served{} }
	if c.stays(actor.Context(nil), chivev1.Outcome_OUTCOME_IDLE) {
		t.Error("it stays")
	}
}
