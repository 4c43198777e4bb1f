package stream

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience only bounds a test that fails.
const patience = 30 * time.Second

// front says what it was asked in words.
type front struct{}

func (front) Connected(a netip.Addr) []byte    { return []byte("connected " + a.String() + "\n") }
func (front) Refused(o chivev1.Outcome) []byte { return []byte("refused " + o.String() + "\n") }
func (f front) Resolved(answers []cell.Answer) ([]byte, chivev1.Outcome) {
	if len(answers) == 0 {
		return f.Refused(chivev1.Outcome_OUTCOME_RESOLVE_FAILED), chivev1.Outcome_OUTCOME_RESOLVE_FAILED
	}
	return []byte("resolved " + answers[0].Addr.String() + "\n"), chivev1.Outcome_OUTCOME_OK
}

// spawn asks the circuit to make the stream.
type spawn struct{}

// rig is a stream's actor, whose circuit is the test, and the application.
type rig struct {
	t        *testing.T
	app      *net.TCPConn
	ours     Conn // the other end of app
	spec     *Spec
	system   *actor.ActorSystem
	circuit  *actor.PID
	stream   *actor.PID
	heard    chan any // what the circuit was told
	recorder *messages.Recorder
	mu       sync.Mutex // protects events
	events   []*chivev1.Envelope
	before   int64 // blocks that were out
}

// newRig starts a stream that is attached as number 7. change may be nil.
func newRig(t *testing.T, change func(*Spec)) *rig {
	t.Helper()
	r := &rig{t: t, heard: make(chan any, 4096), before: block.Outstanding(), recorder: messages.NewRecorder("n", time.Now, 64)}
	t.Cleanup(r.recorder.Observe(func(e *chivev1.Envelope) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}))
	ours := r.sockets()
	r.spec = &Spec{ID: "stream1", Conn: ours, Target: "example.org:80", Port: 80, Front: front{}, Requested: time.Now()}
	if change != nil {
		change(r.spec)
	}
	r.system = kernel.NewSystem(slog.New(slog.DiscardHandler))
	started := make(chan *actor.PID, 1)
	r.circuit = r.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		case *spawn:
			started <- ctx.Spawn(Props(Options{Spec: r.spec, Circuit: "circ1", Recorder: r.recorder, Now: time.Now}))
		default:
			r.heard <- m
		}
	}))
	r.send(r.circuit, &spawn{})
	r.stream = <-started
	r.tell(&Attached{Stream: 7})
	t.Cleanup(r.close)
	return r
}

// sockets makes the application's connection, with little room at both ends.
func (r *rig) sockets() Conn {
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
	r.app = c.(*net.TCPConn)
	_ = r.app.SetReadBuffer(64 << 10)
	_ = r.app.SetDeadline(time.Now().Add(patience))
	ours, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	_ = ours.(*net.TCPConn).SetWriteBuffer(64 << 10)
	r.ours = ours.(*net.TCPConn)
	return r.ours
}

func (r *rig) send(to *actor.PID, m any) { r.system.Root.Send(to, m) }
func (r *rig) tell(m any)                { r.send(r.stream, m) }

// data gives the stream what came in one cell.
func (r *rig) data(text string, cells int) {
	b := block.Get(block.DataIn)
	b.Bytes, b.Cells = append(b.Buf[:0], text...), cells
	r.tell(b)
}

// handled returns when the stream has handled what it was told, and the circuit
// what the stream told it meanwhile.
func (r *rig) handled() {
	r.t.Helper()
	for _, pid := range []*actor.PID{r.stream, r.circuit} {
		if _, err := r.system.Root.RequestFuture(pid, &actor.Touch{}, patience).Result(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// told returns the next message of a type that the circuit hears; others are
// passed over, blocks freed.
func told[T any](r *rig) T {
	r.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case m := <-r.heard:
			if want, ok := m.(T); ok {
				return want
			}
			if b, ok := m.(*block.Block); ok {
				b.Free()
			}
		case <-late.C:
			r.t.Fatalf("the circuit does not hear a %T", *new(T))
		}
	}
}

// read wants exactly this text from the application's socket.
func (r *rig) read(want string) {
	r.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r.app, got); err != nil || string(got) != want {
		r.t.Fatalf("the application reads %q, %v; want %q", got[:n], err, want)
	}
}

// write has the application send, and wants it to reach the circuit.
func (r *rig) write(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r.app, text); err != nil {
		r.t.Fatal(err)
	}
	r.hears(text)
}

// hears wants the circuit to be given exactly this text.
func (r *rig) hears(text string) {
	r.t.Helper()
	var got []byte
	for len(got) < len(text) {
		b := told[*block.Block](r)
		if b.Kind != block.DataOut || b.Stream != 7 {
			r.t.Fatalf("a block of kind %d for stream %d", b.Kind, b.Stream)
		}
		got = append(got, b.Bytes...)
		b.Free()
	}
	if string(got) != text {
		r.t.Fatalf("the circuit hears %q, want %q", got, text)
	}
}

// finished wants the stream to end so, and its last event to say it.
func (r *rig) finished(out chivev1.Outcome, end, back bool) {
	r.t.Helper()
	f := told[*Finish](r)
	if f.Outcome != out || f.End != end || f.Back != back || f.Stream != 7 || f.Spec != r.spec {
		r.t.Fatalf("finished %+v, want %v, end %v, back %v", f, out, end, back)
	}
	r.stop()
	last := r.last()
	if back {
		if d := last.GetStreamDetached(); d.GetOutcome() != out {
			r.t.Errorf("the last event is %v, want detached with %v", last, out)
		}
		return
	}
	if e := last.GetStreamEnded(); e.GetOutcome() != out {
		r.t.Errorf("the last event is %v, want ended with %v", last, out)
	}
}

// stop ends the circuit and gathers the events.
func (r *rig) stop() {
	r.t.Helper()
	if r.circuit == nil {
		return
	}
	if err := kernel.StopAndWait(r.system, r.circuit, patience); err != nil {
		r.t.Fatal(err)
	}
	r.circuit = nil
}

func (r *rig) last() *chivev1.Envelope {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// close ends everything and counts the blocks.
func (r *rig) close() {
	r.stop()
	_ = r.app.Close()
	if r.spec.Conn != nil { // else nobody has dialled it
		_ = r.spec.Conn.Close()
	}
	for len(r.heard) > 0 {
		if b, ok := (<-r.heard).(*block.Block); ok {
			b.Free()
		}
	}
	kernel.Shutdown(r.system)
	r.system.Shutdown()
}

func (r *rig) connect() {
	r.t.Helper()
	r.tell(&Connected{Addr: netip.MustParseAddr("192.0.2.7")})
	r.read("connected 192.0.2.7\n")
}

func TestBytesGoBothWays(t *testing.T) {
	r := newRig(t, func(s *Spec) { s.Early = []byte("early ") })
	r.connect()
	r.hears("early ")
	r.write("question")
	r.data("answer", 1)
	r.read("answer")
	r.tell(&Ended{Reason: cell.EndDone})
	r.finished(chivev1.Outcome_OUTCOME_OK, false, false)
	if _, err := r.app.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after END the application reads %v, want the end", err)
	}
	e := r.last().GetStreamEnded()
	if e.GetBytesIn() != messages.Bytes(6) || e.GetBytesOut() != messages.Bytes(uint64(len("early question"))) {
		t.Errorf("counted %v in, %v out", e.GetBytesIn(), e.GetBytesOut())
	}
}

// Optimistic data follows the BEGIN, and another circuit gets it again.
func TestEarlyDataNeedNotWaitForConnected(t *testing.T) {
	optimistic := func(s *Spec) { s.Early, s.Optimistic = []byte("early "), true }
	r := newRig(t, optimistic)
	r.hears("early ")
	r.connect()
	r.write("question")
	r.tell(&Ended{Reason: cell.EndDone})
	r.finished(chivev1.Outcome_OUTCOME_OK, false, false)
	if got := r.last().GetStreamEnded().GetBytesOut(); got != messages.Bytes(uint64(len("early question"))) {
		t.Errorf("counted %v out", got)
	}
	back := newRig(t, optimistic)
	back.hears("early ")
	back.tell(&Ended{Reason: cell.EndExitPolicy})
	if f := told[*Finish](back); !f.Back || string(f.Spec.Early) != "early " {
		t.Errorf("back %v with %q, want it back with what came early", f.Back, f.Spec.Early)
	}
	question := newRig(t, func(s *Spec) { optimistic(s); s.Resolve = true })
	question.tell(&Ended{Reason: cell.EndMisc})
	for finished := false; !finished; {
		switch m := (<-question.heard).(type) {
		case *block.Block:
			t.Error("a question for a name sends data")
			m.Free()
		case *Finish:
			finished = true
		}
	}
}

// An END behind data that a slow application has not read: it gets all of it.
func TestSlowApplicationGetsAllBeforeTheEnd(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	var want bytes.Buffer
	for i := range 400 {
		text := string(bytes.Repeat([]byte{byte('a' + i%26)}, 20_000))
		want.WriteString(text)
		r.data(text[:10_000], 20)
		r.data(text[10_000:], 21)
	}
	r.tell(&Ended{Reason: cell.EndDone})
	got, err := io.ReadAll(r.app)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes of %d, %v", len(got), want.Len(), err)
	}
	r.finished(chivev1.Outcome_OUTCOME_OK, false, false)
}

// The circuit is told of what the application took, and of no more.
func TestCreditIsForWhatWasTaken(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	for range 3 {
		r.data("x", 12)
	}
	if c := told[*Consumed](r); c.Cells != 36 || c.Bytes != 3 || c.Stream != 7 {
		t.Errorf("told %+v, want 36 cells of stream 7, which brought 3 bytes", c)
	}
	r.read("xxx")
	// What does not fit into the sockets earns nothing until it is read.
	big := string(make([]byte, 16_000))
	for range 1000 {
		r.data(big, 1)
	}
	r.data("end", 5000)
	r.handled()
	credit, size := 0, 0
	for len(r.heard) > 0 {
		if c, ok := (<-r.heard).(*Consumed); ok {
			credit, size = credit+c.Cells, size+c.Bytes
		}
	}
	if credit >= 1000 {
		t.Errorf("credit for %d cells before the application read any", credit)
	}
	if n, err := io.CopyN(io.Discard, r.app, int64(1000*len(big))); err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	r.read("end")
	for credit < 6000 {
		c := told[*Consumed](r)
		credit, size = credit+c.Cells, size+c.Bytes
	}
	if credit != 6000 || size != 1000*len(big)+3 {
		t.Errorf("credit for %d cells of %d bytes in all, want 6000 of %d", credit, size, 1000*len(big)+3)
	}
}

// Small pieces for an application that does not read share blocks.
func TestSmallPiecesShareBlocks(t *testing.T) {
	s := &stream{writing: &handover{}}
	s.queue = append(s.queue, block.Get(block.DataIn)) // is being written
	before, cells := block.Outstanding(), 0
	for i := range 5000 {
		b := block.Get(block.DataIn)
		b.Bytes, b.Cells = append(b.Buf[:0], byte(i), byte(i>>8)), 1
		s.enqueue(b)
	}
	if n := block.Outstanding() - before; n > 1 {
		t.Errorf("10,000 bytes hold %d blocks", n)
	}
	var got []byte
	for _, b := range s.queue[1:] {
		got, cells = append(got, b.Bytes...), cells+b.Cells
	}
	for i := range 5000 {
		if got[2*i] != byte(i) || got[2*i+1] != byte(i>>8) {
			t.Fatalf("piece %d is not in its place", i)
		}
	}
	if cells != 5000 || len(got) != 10_000 {
		t.Errorf("%d cells, %d bytes", cells, len(got))
	}
	for _, b := range s.queue {
		b.Free()
	}
}

// The application sends FIN first: the answer still comes, and END is sent when
// the far end is quiet.
func TestApplicationEndsFirst(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	r.write("question")
	if err := r.app.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.tell(&readDone{io.EOF}) // what the reader will say too
	r.data("answer", 1)
	r.tell(&quietTick{}) // data came since: not yet
	r.read("answer")
	r.tell(&quietTick{})
	r.finished(chivev1.Outcome_OUTCOME_OK, true, false)
	if _, err := r.app.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the application reads %v, want the end", err)
	}
}

// The far end ends while the application still sends: that must not destroy
// what the application has not read yet.
func TestApplicationSendsAfterTheEnd(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	r.data("farewell", 1)
	r.tell(&Ended{Reason: cell.EndDone})
	r.finished(chivev1.Outcome_OUTCOME_OK, false, false)
	for range 20 {
		if _, err := r.app.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("write after END: %v", err)
		}
	}
	r.read("farewell")
	if _, err := r.app.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("then it reads %v, want the end", err)
	}
}

// Something is missing: the application must see an error, not an end.
func TestApplicationSeesAReset(t *testing.T) {
	tests := map[string]struct {
		message any
		out     chivev1.Outcome
	}{
		"circuit gone": {&CircuitGone{Outcome: chivev1.Outcome_OUTCOME_CONNECTION_LOST}, chivev1.Outcome_OUTCOME_CONNECTION_LOST},
		"reset":        {&Ended{Reason: cell.EndConnReset}, chivev1.Outcome_OUTCOME_STREAM_RESET},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.connect()
			r.tell(tt.message)
			r.finished(tt.out, false, false)
			if _, err := r.app.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the application reads %v, want a reset", err)
			}
		})
	}
}

func TestApplicationGoesAway(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	_ = r.app.SetLinger(0)
	_ = r.app.Close()
	r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
}

// Not connected yet: another circuit may do better, or not.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		attempt uint32
		message any
		out     chivev1.Outcome
		end     bool
		back    bool
	}{
		"exit policy":            {0, &Ended{Reason: cell.EndExitPolicy}, chivev1.Outcome_OUTCOME_EXIT_POLICY, false, true},
		"connection refused":     {0, &Ended{Reason: cell.EndConnectRefused}, chivev1.Outcome_OUTCOME_TARGET_REFUSED, false, false},
		"too slow":               {0, &tooSlow{}, chivev1.Outcome_OUTCOME_TIMEOUT, true, true},
		"too slow, last attempt": {maxAttempts - 1, &tooSlow{}, chivev1.Outcome_OUTCOME_TIMEOUT, true, false},
		"circuit gone":           {0, &CircuitGone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED}, chivev1.Outcome_OUTCOME_DESTROYED, false, true},
		"circuit gone, last":     {maxAttempts - 1, &CircuitGone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED}, chivev1.Outcome_OUTCOME_DESTROYED, false, false},
		"shutdown":               {0, &CircuitGone{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN}, chivev1.Outcome_OUTCOME_SHUTDOWN, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *Spec) { s.Attempt = tt.attempt })
			r.tell(tt.message)
			r.finished(tt.out, tt.end, tt.back)
			if !tt.back {
				r.read("refused " + tt.out.String() + "\n")
				return
			}
			if r.spec.Last != tt.out {
				t.Errorf("handed back with %v", r.spec.Last)
			}
			if _, err := r.spec.Conn.Write([]byte("alive\n")); err != nil {
				t.Errorf("the socket of a stream that was handed back: %v", err)
			}
			r.read("alive\n")
		})
	}
}

func TestResolve(t *testing.T) {
	for addr, want := range map[string]chivev1.Outcome{
		"192.0.2.1": chivev1.Outcome_OUTCOME_OK,
		"":          chivev1.Outcome_OUTCOME_RESOLVE_FAILED,
	} {
		r := newRig(t, func(s *Spec) { s.Resolve = true })
		var answers []cell.Answer
		if a, err := netip.ParseAddr(addr); err == nil {
			answers = []cell.Answer{{Addr: a}}
		}
		r.tell(&Resolved{Answers: answers})
		r.finished(want, false, false)
		if addr == "" {
			r.read("refused " + want.String() + "\n")
		} else {
			r.read("resolved " + addr + "\n")
		}
	}
}

// Blocks on their way to a stream that is done, and blocks that it still holds,
// are freed in every case; so is the one that is being written.
func TestNothingIsKept(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	big := string(make([]byte, 16_000))
	for range 1000 { // the application does not read
		r.data(big, 1)
	}
	r.tell(&CircuitGone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	for range 10 {
		r.data(big, 1)
	}
	told[*Finish](r)
	r.stop()
	for deadline := time.Now().Add(patience); block.Outstanding() != r.before && time.Now().Before(deadline); {
		runtime.Gosched() // the writer is woken by the closed socket
	}
	if n := block.Outstanding(); n != r.before {
		t.Errorf("%d blocks are out, %d before", n, r.before)
	}
}

// The circuit's actor fails: its stream ends with it, and says so.
func TestCircuitStopsUnderAStream(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	r.stop()
	if e := r.last().GetStreamEnded(); e.GetOutcome() != chivev1.Outcome_OUTCOME_INTERNAL {
		t.Errorf("the last event is %v", r.last())
	}
	if _, err := r.app.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the application reads %v, want a reset", err)
	}
}
