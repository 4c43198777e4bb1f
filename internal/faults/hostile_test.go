package faults

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/circuit"
	"chive/actors/connections"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/internal/invariant"
	"chive/internal/relaydouble"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/congestion"
)

// patience bounds every wait; no test is meant to reach it.
const patience = 3 * time.Minute

// session is what a client does on its circuit of three hops while it is attacked.
type session struct {
	fixed   bool                  // windows; else congestion control
	cgo     bool                  // and Counter Galois Onion at each hop
	resolve bool                  // its stream asks for a name
	handler relaydouble.Handler   // what the exit does with the stream
	app     func(app net.Conn)    // what the application does; nil: it reads to the end
	begin   func(app, ours *sock) // before
	now     func() time.Time      // the circuit's clock; nil: time.Now
}

type sock = net.TCPConn

// The sessions.
var (
	idle     = session{handler: relaydouble.Hold}
	download = session{handler: relaydouble.Source(-1)}
	upload   = session{handler: relaydouble.Sink, app: func(app net.Conn) {
		for data := make([]byte, 16<<10); ; {
			if _, err := app.Write(data); err != nil {
				return
			}
		}
	}}
	// leaving: the application is gone after the first byte, and the stream ends.
	leaving = session{handler: relaydouble.Source(-1), app: func(app net.Conn) {
		_, _ = app.Read(make([]byte, 1))
		_ = app.(*sock).SetLinger(0)
		_ = app.Close()
	}}
	// deaf: the application never reads.
	deaf = session{handler: relaydouble.Source(-1), app: func(net.Conn) {}, begin: func(app, ours *sock) {
		_ = app.SetReadBuffer(4 << 10)
		_ = ours.SetWriteBuffer(4 << 10)
	}}
	asking = session{resolve: true}
)

func (s session) fixedWindows() session { s.fixed = true; return s }

// attack is one violation of the protocol.
type attack struct {
	name    string
	session session
	script  []relaydouble.Fault // what the relay does
	options func(*relaydouble.Options)
	event   string // that it ends with
	err     error  // what the circuit's end unwraps to; nil: it ends with its connection
	unseen  bool   // the relay does not count what it sends
}

// How an attack can end: the circuit that was open, or was being built, the connection that
// was open, or was being made.
const (
	closed    = "circuit-closed circuit-protocol"
	failed    = "circuit-failed circuit-protocol"
	forged    = "circuit-failed handshake-auth"
	destroyed = "circuit-closed destroyed"
	refused   = "circuit-failed destroyed"
	linkOver  = "connection-closed link-protocol"
	noLink    = "connection-failed link-protocol"
)

// at is a script that does all this the nth time that the relay comes to a point, before
// what it would do there, and that too; instead is without that, after comes after it.
func at(point relaydouble.Point, nth int, do ...relaydouble.Action) []relaydouble.Fault {
	return []relaydouble.Fault{{Name: "it", At: point, Nth: nth, Do: func(m *relaydouble.Moment) bool {
		goOn := true
		for _, act := range do {
			goOn = act(m) && goOn
		}
		return goOn
	}}}
}

func instead(point relaydouble.Point, nth int, do ...relaydouble.Action) []relaydouble.Fault {
	return at(point, nth, relaydouble.Instead(do...))
}

func after(point relaydouble.Point, nth int, do ...relaydouble.Action) []relaydouble.Fault {
	script := at(point, nth, do...)
	script[0].After = true
	return script
}

// on is a relay cell on the moment's stream, send one on the circuit, of the hop that the
// moment is of; from is that of another hop, from 1.
func on(command cell.RelayCommand, data ...byte) relaydouble.Action {
	return relaydouble.OnStream(relaydouble.RelayCell{Cmd: command, Data: data})
}

func send(command cell.RelayCommand, data ...byte) relaydouble.Action {
	return relaydouble.SendRelay(relaydouble.RelayCell{Cmd: command, Data: data})
}

func from(hop int, command cell.RelayCommand, data ...byte) relaydouble.Action {
	return relaydouble.SendRelay(relaydouble.RelayCell{FromHop: hop, Cmd: command, Data: data})
}

func times(n int, do ...relaydouble.Action) relaydouble.Action {
	return func(m *relaydouble.Moment) bool {
		for range n {
			for _, act := range do {
				act(m)
			}
		}
		return true
	}
}

// tagged is a SENDME with the tag of the moment (AtSendmeOut), of any hop.
func tagged(hop int) relaydouble.Action {
	return func(m *relaydouble.Moment) bool {
		return from(hop, cell.RelaySendme, cell.AppendSendmeV1(nil, m.Tag)...)(m)
	}
}

// grants is what the nth hop says in its ntor-v3 answer.
func grants(nth int, message ...byte) []relaydouble.Fault {
	return at(relaydouble.AtGrant, nth, relaydouble.Grant(message...))
}

// reply changes a handshake's reply.
func reply(change func([]byte) []byte) relaydouble.Action {
	return func(m *relaydouble.Moment) bool {
		m.Reply = change(m.Reply)
		return true
	}
}

func zeroPoint(b []byte) []byte { clear(b[:32]); return b }
func cutShort(b []byte) []byte  { return b[:20] }

// rig is one attack under way.
type rig struct {
	relay *relaydouble.Relay
	log   log
	gone  chan *circuit.Gone
	ended chan struct{} // the stream was answered
	over  chan struct{}
	root  *actor.PID
	circ  atomic.Pointer[actor.PID] // the circuit
	app   net.Conn
	spec  *stream.Spec // of the stream
}

type letGo struct{}

// start builds a circuit through the relay and attaches the session's stream. Nothing of
// the client ends it: that the attack must do.
func (s session) start(t *testing.T, relay *relaydouble.Relay) *rig {
	t.Helper()
	r := &rig{relay: relay, gone: make(chan *circuit.Gone, 1), ended: make(chan struct{}), over: make(chan struct{})}
	recorder := messages.NewRecorder("test", time.Now, 4096)
	t.Cleanup(recorder.Observe(r.log.see))
	var hops []torcircuit.Hop
	for _, h := range relay.Hops() {
		hops = append(hops, torcircuit.Hop{RSA: h.RSA(), Ed25519: h.Ed25519(), NtorKey: h.OnionKey(), IPv4: h.Addr(), CongestionControl: !s.fixed, CGO: s.cgo})
	}
	app, ours := pair(t)
	r.app = app
	if s.begin != nil {
		s.begin(app.(*sock), ours)
	}
	spec := &stream.Spec{
		ID: messages.RandomID(), Conn: ours, Target: "target.test:80", Port: 80, Purpose: chivev1.Purpose_PURPOSE_GENERAL,
		Front: front{}, Requested: time.Now(),
	}
	r.spec = spec
	if s.resolve {
		spec.Target, spec.Port, spec.Resolve = "target.test", 0, true
	}
	refuse := func(out chivev1.Outcome, requested bool) {
		defer close(r.ended)
		stream.Refuse(spec, out)
		if requested {
			recorder.Emit(stream.EndedEvent(spec, out, time.Now(), 0, 0))
		}
	}
	now := s.now
	if now == nil {
		now = time.Now
	}
	var conns, circ *actor.PID
	r.root = system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			conns = ctx.Spawn(connections.Props(connections.Options{Recorder: recorder, Now: time.Now, Rand: mrand.New(mrand.NewPCG(1, 1))}))
			circ = ctx.Spawn(circuit.Props(circuit.Options{
				ID: messages.RandomID(), Path: hops, Purpose: chivev1.Purpose_PURPOSE_GENERAL, Connections: conns,
				BuildTimeout: patience, Recorder: recorder, Now: now,
				Flow: torcircuit.FlowParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathExit),
			}))
		case *circuit.Opened:
			r.circ.Store(circ)
			recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{Purpose: spec.Purpose, Isolation: spec.Isolation.Name()}))
			ctx.Send(circ, &circuit.Attach{Spec: spec, Lost: func() { refuse(chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL, true) }})
		case *circuit.StreamBack:
			refuse(spec.Last, true)
		case *circuit.StreamDone:
			close(r.ended)
		case *circuit.Gone:
			if !m.WasOpen {
				refuse(m.Outcome, false)
			}
			r.gone <- m
		case *letGo:
			ctx.Send(conns, &connections.Close{Reply: ctx.Self()})
		case *connections.Closed:
			close(r.over)
		case *kernel.ChildFailed:
			t.Errorf("an actor failed: %s", m.Site())
		}
	}))
	return r
}

// play has the relay attack, and looks at what is left of the client and of the relay.
func (a attack) play(t *testing.T, keys []relaydouble.Keys) {
	options := relaydouble.Options{Handler: a.session.handler, Script: a.script, Keys: keys, SendmeIncrement: 31, CGO: true}
	if a.options != nil {
		a.options(&options)
	}
	relay := relaydouble.Start(t, options)
	r := a.session.start(t, relay)
	var wg sync.WaitGroup
	wg.Go(func() {
		if a.session.app != nil {
			a.session.app(r.app)
			return
		}
		_, _ = io.Copy(io.Discard, r.app)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case gone := <-r.gone:
		if (a.err == nil) != (gone.Err == nil) && a.event != noLink || !errors.Is(gone.Err, a.err) && a.err != nil {
			t.Errorf("the circuit ended with %v, want %v", gone.Err, a.err)
		}
		// Whoever did not destroy the circuit is told, and not why.
		if tell := a.err != nil && a.event != destroyed && a.event != refused; tell {
			seen, err := relay.Await(ctx, func(s relaydouble.Seen) bool { return len(s.Destroys) > 0 })
			if err != nil || !slices.Equal(seen.Destroys, []cell.DestroyReason{cell.DestroyNone}) {
				t.Errorf("the relay is told %v, %v; want one DESTROY without a reason", seen.Destroys, err)
			}
		}
	case <-ctx.Done():
		t.Errorf("the circuit lives: %v", r.log.outcomes())
	}
	r.stop(t, ctx)
	wg.Wait()
	a.check(t, r)
	seen, err := relay.Await(ctx, func(s relaydouble.Seen) bool {
		return s.OpenCircuits == 0 && s.OpenStreams == 0 && s.OpenConnections == 0
	})
	if err != nil {
		t.Errorf("left at the relay: %+v", seen)
	}
	if a.options == nil && seen.Faults["it"] == 0 {
		t.Error("the attack was not played")
	}
	// A double that sends behind its own back does not expect the SENDMEs that this earns.
	if len(seen.Violations) > 0 && !a.unseen {
		t.Errorf("the client did wrong, or the relay failed: %v", seen.Violations)
	}
}

// stop waits until all that is left of the client has ended, once the circuit has.
func (r *rig) stop(t *testing.T, ctx context.Context) {
	t.Helper()
	system.Root.Send(r.root, &letGo{})
	for what, end := range map[string]chan struct{}{"stream": r.ended, "connection": r.over} {
		select {
		case <-end:
		case <-ctx.Done():
			t.Errorf("the %s does not end", what)
		}
	}
	if err := kernel.StopAndWait(system, r.root, patience); err != nil {
		t.Error(err)
	}
	_ = r.app.Close()
}

// check reads the events.
func (a attack) check(t *testing.T, r *rig) {
	t.Helper()
	got := r.log.outcomes()
	if !slices.Contains(got, a.event) {
		t.Errorf("ended as %q, want %q among them", got, a.event)
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, e := range r.log.events {
		if f := e.GetActorFailed(); f != nil {
			t.Errorf("an actor failed: %v", f)
		}
	}
	for _, v := range invariant.Check(r.log.events) {
		t.Errorf("invariant: %v", v)
	}
}

func threeKeys(t *testing.T) (keys []relaydouble.Keys) {
	t.Helper()
	for range 3 {
		k, err := relaydouble.MakeKeys(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// heap is how many bytes live on it.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A hostile exit, middle and guard each play over fifty violations. Every one ends the
// circuit, or the connection if it was of that, with its outcome; no actor fails, nothing
// is left, and memory is where it was.
func TestHostileRelays(t *testing.T) {
	const (
		least  = 50
		warmUp = 20      // attacks until pools and tables have their size
		growth = 2 << 20 // bytes: less than 8 KiB an attack
	)
	keys := threeKeys(t)
	played, before := 0, uint64(0)
	for _, position := range []struct {
		name    string
		attacks []attack
	}{{"exit", exitAttacks}, {"middle", middleAttacks}, {"guard", guardAttacks}} {
		names := map[string]bool{}
		for _, a := range position.attacks {
			if names[a.name] {
				t.Errorf("two attacks of the %s are %q", position.name, a.name)
			}
			names[a.name] = true
			t.Run(position.name+"/"+a.name, func(t *testing.T) { a.play(t, keys) })
			if played++; played == warmUp {
				before = heap()
			}
		}
		if len(names) < least {
			t.Errorf("%d attacks by the %s, want %d", len(names), position.name, least)
		}
	}
	// A writer that the kernel has not let go of yet may hold a block.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); block.Outstanding() != 0; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d blocks are held", block.Outstanding())
		}
	}
	now := heap()
	t.Logf("%d attacks; %d bytes on the heap after the first %d, %d after all", played, before, warmUp, now)
	if now > before+growth {
		t.Error("memory grows")
	}
}
