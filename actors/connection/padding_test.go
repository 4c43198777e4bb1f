package connection

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	padding "chive/tor/padding/link"
)

// opened is a connection actor whose link is there from the start.
type opened struct{ connection }

func (o *opened) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		o.beginPadding(ctx)
		return
	}
	o.connection.Receive(ctx)
}

// quick has a cell sent as soon as nothing passes for a millisecond.
var quick = padding.Policy{Params: padding.Params{Low: time.Millisecond, High: time.Millisecond, BeforeUse: true}}

func (p *pair) padded(policy padding.Policy) *actor.PID {
	return p.system.Root.Spawn(kernel.Props(func() actor.Actor {
		return &opened{connection{
			o:    Options{Padding: policy, Recorder: messages.NewRecorder("n", time.Now, 1), Now: time.Now},
			link: p.link,
		}}
	}))
}

// command reads the relay's next cell.
func (p *pair) command(t *testing.T) (cell.Command, []byte) {
	t.Helper()
	raw := make([]byte, cell.FixedLen)
	if _, err := io.ReadFull(p.relay, raw); err != nil {
		t.Fatal(err)
	}
	id, command, body, _, err := cell.Next(raw)
	if err != nil || id != 0 {
		t.Fatal(id, err)
	}
	return command, body
}

func TestQuietLinkIsPadded(t *testing.T) {
	p := newPair(t)
	p.link.Peer.Version = 5
	p.link.Cover()
	pid := p.padded(quick)
	for range 2 {
		if command, _ := p.command(t); command != cell.Padding {
			t.Fatalf("the relay gets %v", command)
		}
	}
	// The user changes his mind, twice: the relay hears of it.
	off := quick
	off.Mode = padding.Off
	p.system.Root.Send(pid, &Pad{off})
	p.system.Root.Send(pid, &Pad{quick})
	for _, want := range []padding.Command{padding.Stop, padding.Start} {
		command, body := p.command(t)
		for command == cell.Padding {
			command, body = p.command(t)
		}
		if command != cell.PaddingNegotiate || padding.Command(body[1]) != want {
			t.Fatalf("the relay gets %v % x, want %d", command, body[:6], want)
		}
	}
	p.system.Root.Send(pid, &Close{chivev1.Outcome_OUTCOME_OK})
	if err := kernel.StopAndWait(p.system, pid, time.Minute); err != nil { // it may hold a block till then
		t.Error(err)
	}
	p.close(t)
	if sent, _ := p.link.Padding(); sent < 2 {
		t.Errorf("%d PADDING cells are counted", sent)
	}
}

// A relay that must not pad hears of it when the link opens.
func TestRelayIsToldNotToPad(t *testing.T) {
	p := newPair(t)
	p.link.Peer.Version = 5
	p.link.Cover()
	off := quick
	off.Mode = padding.Off
	pid := p.padded(off)
	if command, body := p.command(t); command != cell.PaddingNegotiate || binary.BigEndian.Uint32(body) != 0x0001_0000 {
		t.Errorf("the relay gets %v % x", command, body[:6])
	}
	p.system.Root.Send(pid, &Close{chivev1.Outcome_OUTCOME_OK})
	if err := kernel.StopAndWait(p.system, pid, time.Minute); err != nil { // it may hold a block till then
		t.Error(err)
	}
	p.close(t)
}

// Cells that come count, padding as padding, and a relay cell as use.
func TestArrivalsAreActivity(t *testing.T) {
	p := newPair(t)
	defer p.close(t)
	in, id := p.circuit(t)
	raw := cell.AppendFixed(nil, 0, cell.Padding, nil)
	raw = numbered(raw, id, 1)
	if _, err := p.relay.Write(raw); err != nil {
		t.Fatal(err)
	}
	in.wait(t, cell.FixedLen)
	a := &p.link.activity
	if a.usage.Load() != uint32(padding.Unused) || a.last.Load() == 0 {
		t.Errorf("usage %d, last activity %d", a.usage.Load(), a.last.Load())
	}
	p.link.Cover()
	if _, err := p.relay.Write(numbered(nil, id, 2)); err != nil {
		t.Fatal(err)
	}
	in.wait(t, 2*cell.FixedLen)
	if _, received := p.link.Padding(); a.usage.Load() != uint32(padding.Traffic) || received != 1 {
		t.Errorf("usage %d, %d PADDING cells", a.usage.Load(), received)
	}
}

// Neither counting nor the time of the last activity costs an allocation.
func TestActivityAllocatesNothing(t *testing.T) {
	a := activity{epoch: time.Now()}
	if n := testing.AllocsPerRun(100, func() {
		a.touch()
		a.rise(padding.Unused, padding.Circuits)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
