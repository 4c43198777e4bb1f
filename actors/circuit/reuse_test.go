package circuit

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/stream"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/congestion"
)

// scribe carries nothing and notes what it is to carry.
type scribe struct{ sent []cell.RelayCommand }

func (*scribe) Room() int                     { return 100 }
func (*scribe) OnTheirWay() int               { return 10_000 }
func (*scribe) MaxData(cell.RelayCommand) int { return cell.MaxRelayData }
func (s *scribe) Send(command cell.RelayCommand, _ cell.StreamID, _ []byte) {
	s.sent = append(s.sent, command)
}

// A client of a service ends a stream and begins another of its number, all in one batch: each
// of the two targets gets what is for it, in its order.
func TestNumberUsedAgainInOneBatch(t *testing.T) {
	c := newCircuit(Options{})
	before, now := actor.NewPID("", "before"), actor.NewPID("", "now")
	c.lanes[5] = &lane{pid: before, spec: &stream.Spec{}}
	data := func(text string) circuit.Event {
		return circuit.Event{Kind: circuit.Data, Stream: 5, Data: []byte(text)}
	}
	b := block.GetLarge(block.CellsIn)
	if !c.gather(b, false, data("first")) {
		t.Fatal("the batch's block is not used")
	}
	c.event(nil, circuit.Event{Kind: circuit.Ended, Stream: 5, Reason: cell.EndDone})
	c.lanes[5] = &lane{pid: now, spec: &stream.Spec{}}
	c.gather(b, true, data("second"))
	c.gather(b, true, data(" and third"))

	got := map[*actor.PID][]string{}
	for _, p := range c.posts {
		switch m := p.msg.(type) {
		case *block.Block:
			got[p.pid] = append(got[p.pid], string(m.Bytes))
			m.Free()
		case *stream.Ended:
			got[p.pid] = append(got[p.pid], "END")
		}
	}
	if !slices.Equal(got[before], []string{"first", "END"}) || !slices.Equal(got[now], []string{"second and third"}) {
		t.Errorf("the stream that ended got %q, the one that began %q", got[before], got[now])
	}
}

// What the actor of a stream that has ended still says is not for the stream that has its
// number now: its data is dropped, what its application took earns nothing, and that its
// application is there opens nothing.
func TestWhatAnEndedStreamSaysOfANumberInUse(t *testing.T) {
	s := &scribe{}
	c := newCircuit(Options{Now: time.Now})
	c.set = &setActor{}
	c.out = &block.Block{}
	flow := circuit.FlowParamsOf(defaults, congestion.PathExit)
	core, err := circuit.Over(s, flow, func() time.Duration { return 0 }, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.core = core
	_, id, err := core.Begin(nil, "target.test:80", 0)
	if err == nil {
		_, err = core.Deliver(cell.RelayConnected, id, nil)
	}
	for range flow.XoffClient {
		if err == nil {
			_, err = core.Deliver(cell.RelayData, id, make([]byte, cell.MaxRelayDataV1))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	before, now := &stream.Spec{}, &stream.Spec{Port: 80}
	l := &lane{spec: now}
	c.lanes[id] = l

	s.sent = nil
	took := stream.Consumed{Spec: before, Stream: id, Cells: flow.XoffClient, Bytes: flow.XoffClient * cell.MaxRelayDataV1}
	c.consumed(&took)
	if len(s.sent) != 0 {
		t.Errorf("sent %v for another stream", s.sent)
	}
	took.Spec = now
	c.consumed(&took)
	if !slices.Equal(s.sent, []cell.RelayCommand{cell.RelayXon}) {
		t.Errorf("sent %v, want XON", s.sent)
	}

	s.sent = nil
	out := block.Outstanding()
	b := block.Get(block.DataOut)
	b.Bytes, b.Stream, b.Of = append(b.Buf[:0], "late"...), id, before
	c.data(nil, b)
	if len(s.sent) != 0 || len(l.pending) != 0 || block.Outstanding() != out {
		t.Errorf("sent %v, %d blocks wait", s.sent, len(l.pending))
	}
}

// saying is a context of which only the message is looked at.
type saying struct {
	actor.Context
	message any
}

func (s saying) Message() any { return s.message }

// The application of a stream that has ended is there when another has its number: nothing is
// told to the client.
func TestAcceptedForAnEndedStream(t *testing.T) {
	c := newCircuit(Options{})
	c.lanes[5] = &lane{spec: &stream.Spec{Port: 80}}
	if !c.host(saying{message: &stream.Accepted{Spec: &stream.Spec{}, Stream: 5}}) || c.out != nil {
		t.Error("it is answered") // and there is no core to ask
	}
}
