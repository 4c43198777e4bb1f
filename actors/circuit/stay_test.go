package circuit

import (
	"bytes"
	"io"
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/conflux"
)

const idle = chivev1.Outcome_OUTCOME_IDLE

// What an application sent before it closed goes out with its END, though the circuit is not
// needed any more and is told to close.
func TestLastDataGoesOut(t *testing.T) {
	r := linked(t)
	r.first()
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	r.reads(app, "connected\n")
	r.tell(&LegStatus{Number: 0, Room: 2, RTT: time.Millisecond})
	r.tell(&LegStatus{Number: 1, Room: 0, RTT: time.Second})
	want := bytes.Repeat([]byte("0123456789"), 400)
	if _, err := app.Write(want); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for range 2 { // and then there is no room
		got = append(got, r.goes().data...)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	hears[*StreamDone](r)
	r.tell(&Close{Outcome: idle})
	r.tell(&LegStatus{Number: 0, Room: 100, Sent: 2, RTT: time.Millisecond})
	for {
		s := r.goes()
		if s.command == cell.RelayEnd {
			break
		}
		got = append(got, s.data...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d went out", len(got), len(want))
	}
	r.settled()
	if how, _ := r.ends(); how != "" {
		t.Errorf("it is %s while the END is on its way", how)
	}
	if how := r.gone(); how != "closed idle" {
		t.Error(how)
	}
}

// A circuit whose rest an exit never lets go ends all the same, and so does one whose streams
// sent nothing: at once.
func TestStaysNoLonger(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	c := &circuitActor{o: Options{Now: func() time.Time { return now }}, lanes: map[cell.StreamID]*lane{}}
	c.follows(&lane{})
	if c.stays(nil, idle) {
		t.Error("nothing was sent")
	}
	c.follows(&lane{sent: now.Add(-arriveTime)})
	if c.stays(nil, idle) {
		t.Error("it has arrived")
	}
	c.stay.arrives, c.stay.since = now.Add(time.Second), now.Add(-stayTime)
	if c.stays(nil, idle) {
		t.Error("it stays for ever")
	}
	c.stay.since = time.Time{}
	if c.stays(nil, chivev1.Outcome_OUTCOME_SHUTDOWN) {
		t.Error("it stays though the node ends")
	}
}

// A circuit that is over while an application still reads what came takes no more streams: its
// parent knows, or it would attach the same ones again and again.
func TestOverWhileAnApplicationReads(t *testing.T) {
	r := linked(t)
	r.first()
	app, id := r.application()
	r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
	data := conflux.Message{Command: cell.RelayData, Stream: id, Data: make([]byte, cell.MaxRelayDataV1)}
	const cells = 24_000 // more than a socket takes
	for sent := 0; sent < cells; sent += 100 {
		batch := make([]conflux.Message, 100)
		for i := range batch {
			batch[i] = data
		}
		r.over(0, batch...)
	}
	r.over(0, conflux.Message{Command: cell.RelayEnd, Stream: id, Data: []byte{byte(cell.EndDone)}})
	r.over(1, skip(0), skip(0)) // which no exit says
	if o := hears[*Tired](r); o.ID != "set" {
		t.Errorf("%+v", o)
	}
	_, spec := r.requested()
	r.tell(&Attach{Spec: spec})
	back := hears[*StreamBack](r)
	r.dispose(back.Spec)
	got, err := io.Copy(io.Discard, app)
	if want := int64(len("connected\n") + cells*cell.MaxRelayDataV1); got != want || err != nil {
		t.Errorf("the application has %d bytes of %d: %v", got, want, err)
	}
	if how := r.gone(); how != "closed circuit-protocol" {
		t.Error(how)
	}
}
