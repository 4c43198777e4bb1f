package circuit

import (
	"net"
	"testing"

	"chive/actors/stream"
	"chive/tor/cell"
	"chive/tor/conflux"
)

// rude is an application's end that crashes who closes it.
type rude struct{ *net.TCPConn }

func (rude) CloseWrite() error { panic("a test's") }

// A stream whose actor panics when the far end has ended it already is no stream of its circuit
// any more: the circuit, which carries no others, can end.
func TestStreamPanicsAfterItsEnd(t *testing.T) {
	r := linked(t)
	r.first()
	app, spec := r.requested()
	spec.Conn = rude{spec.Conn.(*net.TCPConn)}
	r.tell(&Attach{Spec: spec})
	id := r.goes().stream
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	r.over(0, conflux.Message{Command: cell.RelayEnd, Stream: id, Data: []byte{byte(cell.EndDone)}})
	if done := hears[*StreamDone](r); done.Spec != spec {
		t.Errorf("%+v", done)
	}
}

// A number that a client of a service uses again is another stream: the end of the one before
// does not touch it.
func TestNumberOfAnotherStream(t *testing.T) {
	before, now := &stream.Spec{}, &stream.Spec{Port: 80}
	c := newCircuit(Options{})
	next := &lane{spec: now}
	c.lanes[7] = next
	if l := c.laneOf(7, before); l != nil {
		t.Error("it is taken for the stream before")
	}
	if l := c.laneOf(7, now); l != next {
		t.Error("it is not found")
	}
}
