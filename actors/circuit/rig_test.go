package circuit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/internal/invariant"
	"chive/internal/leak"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/conflux"
	"chive/tor/congestion"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience only bounds a test that fails.
const patience = 3 * time.Minute

const general = chivev1.Purpose_PURPOSE_GENERAL

// front says what it was asked in words.
type front struct{}

func (front) Connected(netip.Addr) []byte { return []byte("connected\n") }
func (front) Refused(o chivev1.Outcome) []byte {
	return []byte("refused " + messages.OutcomeName(o) + "\n")
}

func (front) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) {
	return nil, chivev1.Outcome_OUTCOME_OK
}

// sent is a message that a set gave a leg.
type sent struct {
	leg     int
	command cell.RelayCommand
	stream  cell.StreamID
	data    []byte
}

// setRig is a conflux set's actor, whose parent and legs are the test.
type setRig struct {
	t        *testing.T
	system   *actor.ActorSystem
	parent   *actor.PID
	set      *actor.PID
	recorder *messages.Recorder
	heard    chan any      // by the parent
	sent     chan sent     // by the legs
	ended    chan struct{} // closed: the set's actor has
	begun    int           // leg of the last BEGIN
	before   int64         // blocks that were out

	mu     sync.Mutex // protects the fields below
	legs   map[int]*actor.PID
	closed map[int]bool // legs that were told to end
	events []*chivev1.Envelope
}

// fakeLeg is the actor of a leg that does nothing by itself.
type fakeLeg struct {
	r  *setRig
	o  Options
	up bool
}

func (l *fakeLeg) emit(e *chivev1.Envelope) { l.r.recorder.Emit(e) }

func (l *fakeLeg) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		l.r.mu.Lock()
		l.r.legs[l.o.Leg.Number] = ctx.Self()
		l.r.mu.Unlock()
		n := byte(l.o.Leg.Number)
		l.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, l.o.ID, &chivev1.CircuitLaunched{
			Purpose: general, Hops: 3, ConnectionId: "conn", SetId: l.o.Leg.Set, Path: [][]byte{{n}, {100 + n}, {200}},
		}))
	case *block.Block:
		for rest := m.Bytes; len(rest) > 0; {
			s := sent{leg: l.o.Leg.Number}
			s.command, s.stream, s.data, rest = nextMessage(rest)
			s.data = bytes.Clone(s.data)
			l.r.sent <- s
		}
		m.Free()
	case *Opened: // from the test: what happens to the leg
		for hop := range 3 {
			l.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, l.o.ID, &chivev1.CircuitExtended{Hop: uint32(hop + 1)}))
		}
		l.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, l.o.ID, &chivev1.CircuitOpened{Hops: 3}))
		l.up = true
		ctx.Send(ctx.Parent(), &LegStatus{Number: l.o.Leg.Number, Room: 124})
		ctx.Send(ctx.Parent(), &Opened{ID: l.o.ID})
	case *Gone:
		m.ID, m.WasOpen = l.o.ID, l.up
		m.Cause = l.ended(m.Outcome)
		ctx.Send(ctx.Parent(), m)
		ctx.Stop(ctx.Self())
	case *Close:
		l.r.mu.Lock()
		l.r.closed[l.o.Leg.Number] = true
		l.r.mu.Unlock()
		ctx.Send(ctx.Self(), &Gone{Outcome: m.Outcome})
	case string:
		panic(m)
	case *actor.Stopping:
		if l.o.ID != "" {
			l.ended(chivev1.Outcome_OUTCOME_INTERNAL)
		}
	}
}

// ended writes the end of the leg, once.
func (l *fakeLeg) ended(o chivev1.Outcome) string {
	id := l.o.ID
	if l.o.ID = ""; id == "" {
		return ""
	}
	if !l.up {
		return l.r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitFailed{Outcome: o}))
	}
	return l.r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitClosed{Outcome: o}))
}

func defaults(_ string, def, _, _ int32) int32 { return def }

// newSetRig starts a set of two legs.
func newSetRig(t *testing.T) *setRig {
	t.Helper()
	r := &setRig{
		t: t, recorder: messages.NewRecorder("n", time.Now, 256), heard: make(chan any, 4096), sent: make(chan sent, 1<<16), ended: make(chan struct{}),
		before: block.Outstanding(), legs: map[int]*actor.PID{}, closed: map[int]bool{},
	}
	t.Cleanup(r.recorder.Observe(func(e *chivev1.Envelope) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}))
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CONNECTION, "conn", &chivev1.ConnectionDialled{Attempt: 1}))
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CONNECTION, "conn", &chivev1.ConnectionOpened{}))
	r.system = kernel.NewSystem(slog.New(slog.DiscardHandler))
	started := make(chan *actor.PID, 1)
	r.parent = r.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			started <- ctx.Spawn(SetProps(r.options()))
		case *actor.Terminated: // it overtakes what was said before
			close(r.ended)
		case *actor.Stopping, *actor.Stopped:
		default:
			r.heard <- m
		}
	}))
	r.set = <-started
	t.Cleanup(r.close)
	return r
}

func (r *setRig) options() SetOptions {
	p := conflux.ParamsOf(nil)
	p.MaxWaiting = 1 << 20
	return SetOptions{
		Options: Options{
			ID: "set", Flow: circuit.FlowParamsOf(defaults, congestion.PathExit), Purpose: general, Recorder: r.recorder, Now: time.Now,
		},
		Conflux:  conflux.Config{Params: p, UX: conflux.HighThroughput, MaxRTT: patience, Rand: rand.Reader},
		Legs:     []Options{{ID: "leg0"}, {ID: "leg1"}},
		legProps: func(o Options) *actor.Props { return kernel.Props(func() actor.Actor { return &fakeLeg{r: r, o: o} }) },
	}
}

func (r *setRig) tell(m any) { r.system.Root.Send(r.set, m) }

func (r *setRig) tellLeg(n int, m any) {
	r.t.Helper()
	r.until(fmt.Sprint("leg ", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.legs[n] != nil
	})
	r.mu.Lock()
	pid := r.legs[n]
	r.mu.Unlock()
	r.system.Root.Send(pid, m)
}

// settled returns when the set has handled what it was told.
func (r *setRig) settled() {
	r.t.Helper()
	if _, err := r.system.Root.RequestFuture(r.set, &actor.Touch{}, patience).Result(); err != nil && !errors.Is(err, actor.ErrDeadLetter) {
		r.t.Fatal(err)
	}
}

func (r *setRig) until(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("still not: %s", what)
		}
		r.settled()
	}
}

// hears returns the next message of a type that the parent hears; others are passed over.
func hears[T any](r *setRig) (out T) {
	r.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case m := <-r.heard:
			if out, ok := m.(T); ok {
				return out
			}
		case <-timeout:
			r.t.Fatalf("the parent was never told %T", out)
		}
	}
}

// goes returns the next message that goes out over any leg.
func (r *setRig) goes() sent {
	r.t.Helper()
	select {
	case s := <-r.sent:
		return s
	case <-time.After(patience):
		r.t.Fatal("nothing goes out")
	}
	return sent{}
}

// over gives the set messages as one batch from a leg.
func (r *setRig) over(leg int, all ...conflux.Message) {
	b := block.GetLarge(block.MessagesIn)
	at := 0
	for _, m := range all {
		at = putMessage(b.Buf, at, m.Command, m.Stream, m.Data)
	}
	b.Bytes, b.Leg = b.Buf[:at], leg
	r.tell(b)
}

func skip(n uint32) conflux.Message {
	return conflux.Message{Command: cell.RelayConfluxSwitch, Data: conflux.AppendSwitch(nil, n)}
}

// open has a leg open and its LINK go out.
func (r *setRig) open(n int) (link conflux.Link) {
	r.t.Helper()
	r.tellLeg(n, &Opened{})
	id := hears[*Opened](r).ID
	r.tell(&LinkLeg{ID: id})
	s := r.goes()
	link, err := conflux.ParseLink(s.data)
	if s.command != cell.RelayConfluxLink || s.leg != n || err != nil {
		r.t.Fatalf("%+v, %v", s, err)
	}
	return link
}

func (r *setRig) link(n int) {
	r.t.Helper()
	l := r.open(n)
	l.UX = conflux.HighThroughput
	r.over(n, conflux.Message{Command: cell.RelayConfluxLinked, Data: l.Append(nil)})
	if s := r.goes(); s.command != cell.RelayConfluxLinkedAck || s.leg != n || len(s.data) != 0 {
		r.t.Fatalf("%+v", s)
	}
}

// linked is a set that is.
func linked(t *testing.T) *setRig {
	t.Helper()
	r := newSetRig(t)
	r.link(0)
	r.link(1)
	if o := hears[*Opened](r); o.ID != "set" {
		t.Fatalf("%+v", o)
	}
	return r
}

// first makes leg 0 the faster one, which BEGIN goes over.
func (r *setRig) first() {
	r.tell(&LegStatus{Number: 0, Room: 100, RTT: time.Millisecond})
	r.tell(&LegStatus{Number: 1, Room: 100, RTT: time.Second})
}

// application begins a stream; the program's end of it is returned when the BEGIN is out.
func (r *setRig) application() (app *net.TCPConn, id cell.StreamID) {
	r.t.Helper()
	app, spec := r.requested()
	r.tell(&Attach{Spec: spec})
	s := r.goes()
	if s.command != cell.RelayBegin || s.stream == 0 {
		r.t.Fatalf("%+v", s)
	}
	r.begun = s.leg
	return app, s.stream
}

// requested is a stream that is asked for, with the end of its program.
func (r *setRig) requested() (app *net.TCPConn, spec *stream.Spec) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	ours, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	app = c.(*net.TCPConn)
	r.t.Cleanup(func() { _ = app.Close() })
	_ = app.SetDeadline(time.Now().Add(patience))
	spec = &stream.Spec{
		ID: messages.RandomID(), Conn: ours.(*net.TCPConn), Target: "example.org:80", Port: 80, Purpose: general, Front: front{}, Requested: time.Now(),
	}
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{Purpose: general, Isolation: spec.Isolation.Name()}))
	return app, spec
}

func (r *setRig) reads(app io.Reader, want string) {
	r.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(app, got); err != nil || string(got) != want {
		r.t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// close ends the set if it is still there, and looks at what is left.
func (r *setRig) close() {
	r.tell(&Close{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the set's actor does not end")
	}
	for len(r.heard) > 0 { // a stream that was given back ends here
		if b, ok := (<-r.heard).(*StreamBack); ok {
			r.dispose(b.Spec)
		}
	}
	if err := kernel.StopAndWait(r.system, r.parent, patience); err != nil {
		r.t.Error(err)
	}
	kernel.Shutdown(r.system)
	deadline := time.Now().Add(patience)
	for block.Outstanding() != r.before && time.Now().Before(deadline) {
		runtime.Gosched() // a goroutine of a stream is about to free one
	}
	if n := block.Outstanding() - r.before; n != 0 {
		r.t.Errorf("%d blocks are still out", n)
	}
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CONNECTION, "conn", &chivev1.ConnectionClosed{}))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range invariant.Check(r.events) {
		r.t.Errorf("invariant: %v", v)
	}
	if r.t.Failed() {
		for _, e := range r.events {
			r.t.Log(messages.Text(e))
		}
	}
}

// dispose ends a stream that no circuit will have.
func (r *setRig) dispose(spec *stream.Spec) {
	stream.Refuse(spec, spec.Last)
	r.recorder.Emit(stream.EndedEvent(spec, spec.Last, time.Now(), 0, 0))
}

// ends says how the set did, and its streams.
func (r *setRig) ends() (set string, streams []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		switch {
		case e.GetStreamEnded() != nil:
			streams = append(streams, messages.OutcomeName(e.GetStreamEnded().GetOutcome()))
		case e.GetActorId() != "set":
		case e.GetCircuitClosed() != nil:
			set = "closed " + messages.OutcomeName(e.GetCircuitClosed().GetOutcome())
		case e.GetCircuitFailed() != nil:
			set = "failed " + messages.OutcomeName(e.GetCircuitFailed().GetOutcome())
		}
	}
	return set, streams
}

// gone waits until the set is, and says how it ended.
func (r *setRig) gone() string {
	r.t.Helper()
	for {
		switch m := hears[any](r).(type) {
		case *StreamBack:
			r.dispose(m.Spec)
		case *Gone:
			if m.ID == "set" {
				how, _ := r.ends()
				return how
			}
		}
	}
}
