package faults

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"chive/internal/leak"

	"chive/actors/circuit"
	"chive/actors/connections"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/internal/invariant"
	"chive/internal/relaydouble"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/cert"
	torcircuit "chive/tor/circuit"
	"chive/tor/link/linktest"
)

var system = kernel.NewSystem(nil)

func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreTopFunction("chive/actors/kernel.(*pool).work"))
}

// front counts nothing: the events tell.
type front struct{}

func (front) Connected(netip.Addr) []byte    { return nil }
func (front) Refused(chivev1.Outcome) []byte { return nil }
func (front) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) {
	return nil, chivev1.Outcome_OUTCOME_OK
}

// log collects events.
type log struct {
	mu     sync.Mutex
	events []*chivev1.Envelope
}

func (l *log) see(e *chivev1.Envelope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// outcomes lists how connections, circuits and streams ended, by event name.
func (l *log) outcomes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		var o chivev1.Outcome
		switch ev := e.GetEvent().(type) {
		case *chivev1.Envelope_ConnectionFailed:
			o = ev.ConnectionFailed.GetOutcome()
		case *chivev1.Envelope_ConnectionClosed:
			o = ev.ConnectionClosed.GetOutcome()
		case *chivev1.Envelope_CircuitFailed:
			o = ev.CircuitFailed.GetOutcome()
		case *chivev1.Envelope_CircuitClosed:
			o = ev.CircuitClosed.GetOutcome()
		case *chivev1.Envelope_StreamEnded:
			o = ev.StreamEnded.GetOutcome()
		case *chivev1.Envelope_StreamDetached:
			o = ev.StreamDetached.GetOutcome()
		default:
			continue
		}
		out = append(out, messages.Name(e)+" "+messages.OutcomeName(o))
	}
	return out
}

// pair is a TCP connection on loopback, both ends.
func pair(t *testing.T) (app net.Conn, ours *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if app, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return app, c.(*net.TCPConn)
}

// play builds one circuit to the relay, puts one stream on it that writes
// upload bytes and reads to its end, and ends everything in order.
func play(t *testing.T, relay *relaydouble.Relay, change func([]torcircuit.Hop), buildTimeout time.Duration, upload int) []string {
	t.Helper()
	var l log
	recorder := messages.NewRecorder("test", time.Now, 4096)
	defer recorder.Observe(l.see)()
	var hops []torcircuit.Hop
	for _, h := range relay.Hops() {
		hops = append(hops, torcircuit.Hop{RSA: h.RSA(), Ed25519: h.Ed25519(), NtorKey: h.OnionKey(), IPv4: h.Addr()})
	}
	if change != nil {
		change(hops)
	}
	app, ours := pair(t)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = app.Write(make([]byte, upload)) })
	wg.Go(func() { _, _ = io.Copy(io.Discard, app) })
	spec := &stream.Spec{
		ID: messages.RandomID(), Conn: ours, Target: "target.test:80", Port: 80, Purpose: chivev1.Purpose_PURPOSE_GENERAL,
		Front: front{}, Requested: time.Now(),
	}
	done := make(chan struct{})
	var conns, circ *actor.PID
	requested := false
	refuse := func(out chivev1.Outcome) {
		stream.Refuse(spec, out)
		if requested {
			recorder.Emit(stream.EndedEvent(spec, out, time.Now(), 0, 0))
		}
	}
	root := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			conns = ctx.Spawn(connections.Props(connections.Options{Recorder: recorder, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 1))}))
			circ = ctx.Spawn(circuit.Props(circuit.Options{
				ID: messages.RandomID(), Path: hops, Purpose: chivev1.Purpose_PURPOSE_GENERAL, Connections: conns,
				BuildTimeout: buildTimeout, Recorder: recorder, Now: time.Now,
			}))
		case *circuit.Opened:
			requested = true
			recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{Purpose: spec.Purpose, Isolation: spec.Isolation.Name()}))
			ctx.Send(circ, &circuit.Attach{Spec: spec})
		case *circuit.StreamBack:
			refuse(spec.Last)
			ctx.Send(circ, &circuit.Close{Outcome: chivev1.Outcome_OUTCOME_OK})
		case *circuit.StreamDone:
			ctx.Send(circ, &circuit.Close{Outcome: chivev1.Outcome_OUTCOME_OK})
		case *circuit.Gone:
			if !m.WasOpen {
				refuse(m.Outcome)
			}
			ctx.Send(conns, &connections.Close{Reply: ctx.Self()})
		case *connections.Closed:
			close(done)
		case *kernel.ChildFailed:
			t.Errorf("an actor failed: %s", m.Site())
		}
	}))
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("not over after %v: %v", patience, l.outcomes())
	}
	if err := kernel.StopAndWait(system, root, patience); err != nil {
		t.Error(err)
	}
	_ = app.Close()
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range invariant.Check(l.events) {
		t.Errorf("invariant: %v", v)
	}
	l.mu.Unlock()
	out := l.outcomes()
	l.mu.Lock()
	return out
}

// ignorable is a download in which the guard sends what a client must ignore (tor-spec §3).
func ignorable(do relaydouble.Action) relaydouble.Options {
	return relaydouble.Options{Handler: relaydouble.Source(1 << 20), Script: at(relaydouble.AtDataOut, 30, do)}
}

func TestFaults(t *testing.T) {
	type faults = []relaydouble.Fault
	do := func(at relaydouble.Point, nth int, a relaydouble.Action) faults {
		return faults{{At: at, Nth: nth, Do: a}}
	}
	data := []byte("x")
	tests := map[string]struct {
		options relaydouble.Options
		change  func([]torcircuit.Hop)
		upload  int
		build   time.Duration
		want    string
	}{
		"well-behaved": {options: relaydouble.Options{Handler: relaydouble.Source(2 << 20)}, want: "stream-ended ok"},

		"another identity":    {change: func(h []torcircuit.Hop) { h[0].RSA[0] ^= 1 }, want: "connection-failed relay-identity"},
		"expired certificate": {options: relaydouble.Options{Certs: linktest.Mutations{Expired: []cert.Type{4}}}, want: "connection-failed cert-expired"},
		"bad signature":       {options: relaydouble.Options{Certs: linktest.Mutations{BadSignature: []cert.Type{5}}}, want: "connection-failed link-protocol"},
		"another TLS key":     {options: relaydouble.Options{Certs: linktest.Mutations{WrongTLSDigest: true}}, want: "connection-failed link-protocol"},
		"silent after TLS":    {options: relaydouble.Options{Script: do(relaydouble.AtTLS, 0, relaydouble.Stall)}, build: 300 * time.Millisecond, want: "connection-failed shutdown"},
		"silent after CREATE": {options: relaydouble.Options{Script: do(relaydouble.AtCreate, 0, relaydouble.Drop)}, build: 300 * time.Millisecond, want: "circuit-failed timeout"},
		"wrong ntor answer":   {options: relaydouble.Options{Script: do(relaydouble.AtCreated, 0, relaydouble.CorruptReply)}, want: "circuit-failed handshake-auth"},
		"wrong at hop 3":      {options: relaydouble.Options{Script: do(relaydouble.AtExtended, 2, relaydouble.CorruptReply)}, want: "circuit-failed handshake-auth"},
		"DESTROY on EXTEND":   {options: relaydouble.Options{Script: do(relaydouble.AtExtend, 1, relaydouble.Destroy(cell.DestroyConnectFailed))}, want: "circuit-failed destroyed"},
		"TRUNCATED":           {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.Truncated(cell.DestroyNone))}, want: "circuit-closed destroyed"},
		"DESTROY when open":   {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.Destroy(cell.DestroyFinished))}, want: "circuit-closed destroyed"},

		"bad digest":           {options: relaydouble.Options{Handler: relaydouble.Source(1 << 20), Script: do(relaydouble.AtRelayOut, 50, relaydouble.CorruptDigest)}, want: "circuit-closed circuit-protocol"},
		"unknown circuit":      {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.CellOn(7, cell.Relay, make([]byte, cell.BodyLen)))}, want: "connection-closed link-protocol"},
		"CREATE to a client":   {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.Cell(cell.Create2, make([]byte, cell.BodyLen)))}, want: "connection-closed link-protocol"},
		"garbage":              {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.Raw(slices.Repeat([]byte{0xff}, 4096)))}, want: "connection-closed link-protocol"},
		"closed in a download": {options: relaydouble.Options{Handler: relaydouble.Source(-1), Script: do(relaydouble.AtDataOut, 200, relaydouble.CloseConnection)}, want: "stream-ended connection-lost"},
		"empty DATA":           {options: relaydouble.Options{Handler: relaydouble.Source(1 << 20), Script: do(relaydouble.AtDataOut, 5, relaydouble.EmptyData)}, want: "circuit-closed circuit-protocol"},
		"DATA for no stream":   {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelayData, Stream: 9, Data: data}))}, want: "circuit-closed circuit-protocol"},
		"RELAY_EARLY":          {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelayDrop, Early: true}))}, want: "circuit-closed circuit-protocol"},
		"impossible length":    {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelayDrop, Length: 499}))}, want: "circuit-closed circuit-protocol"},
		"late EXTENDED2":       {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelayExtended2, Data: data}))}, want: "circuit-closed circuit-protocol"},
		"late CREATED2":        {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.Cell(cell.Created2, make([]byte, cell.BodyLen)))}, want: "circuit-closed circuit-protocol"},
		"surplus SENDMEs":      {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.SurplusSendmes(1))}, want: "circuit-closed circuit-protocol"},
		"wrong SENDME":         {options: relaydouble.Options{Handler: relaydouble.Sink, Script: do(relaydouble.AtSendmeOut, 1, relaydouble.CorruptTag)}, upload: 1 << 20, want: "circuit-closed circuit-protocol"},

		"VPADDING of nothing":      {options: ignorable(relaydouble.CellOn(0, cell.Vpadding, nil)), want: "stream-ended ok"},
		"VPADDING of any size":     {options: ignorable(times(50, relaydouble.CellOn(0, cell.Vpadding, make([]byte, cell.MaxVariableLen)))), want: "stream-ended ok"},
		"PADDING flood":            {options: ignorable(times(5000, relaydouble.CellOn(0, cell.Padding, nil))), want: "stream-ended ok"},
		"unknown fixed command":    {options: ignorable(relaydouble.CellOn(0, 100, nil)), want: "stream-ended ok"},
		"unknown variable command": {options: ignorable(relaydouble.CellOn(0, 250, make([]byte, 3000))), want: "stream-ended ok"},

		"END without data":  {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.EndEmpty)}, want: "stream-detached stream-reset"},
		"END reason 0":      {options: relaydouble.Options{Script: do(relaydouble.AtBegin, 1, relaydouble.End(cell.EndUnspecified))}, want: "stream-detached stream-reset"},
		"END refused":       {options: relaydouble.Options{Handler: relaydouble.Refuse(cell.EndConnectRefused)}, want: "stream-ended target-refused"},
		"END exit policy":   {options: relaydouble.Options{Handler: relaydouble.Refuse(cell.EndExitPolicy)}, want: "stream-detached exit-policy"},
		"END done too soon": {options: relaydouble.Options{Handler: relaydouble.Refuse(cell.EndDone)}, want: "stream-ended target-refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			relay := relaydouble.Start(t, tt.options)
			build := tt.build
			if build == 0 {
				build = time.Minute
			}
			got := play(t, relay, tt.change, build, tt.upload)
			if !slices.Contains(got, tt.want) {
				t.Errorf("ended as %q, want %q among them", got, tt.want)
			}
		})
	}
}
