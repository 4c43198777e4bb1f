package circuits_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"chive/internal/leak"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/netdoc"
	"chive/tor/path"
)

func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreTopFunction("chive/actors/kernel.(*pool).work"))
}

// front hears what the application is told.
type front struct{ refused chan chivev1.Outcome }

func (front) Connected(netip.Addr) []byte { return nil }
func (front) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) {
	return nil, chivev1.Outcome_OUTCOME_OK
}
func (f front) Refused(o chivev1.Outcome) []byte { f.refused <- o; return []byte("no") }

// noGuards fails when it is asked.
type noGuards struct{ asked func() }

func (g noGuards) Update(*path.Index, netdoc.Params, time.Time) {}
func (g noGuards) Candidates(time.Time) []netdoc.Digest         { g.asked(); return nil }
func (g noGuards) Uses(netdoc.Digest) bool                      { return false }
func (g noGuards) Launched(string, netdoc.Digest, time.Time)    {}
func (g noGuards) Opened(string, time.Time) bool                { return true }
func (g noGuards) Gone(string)                                  {}
func (g noGuards) Settle(time.Time) (usable, tooLong []string)  { return nil, nil }
func (g noGuards) Connected(netdoc.Digest, time.Time)           {}

// application is a program's end of a socket, and the request made on it.
func application(t *testing.T, f front) (ours net.Conn, spec *stream.Spec) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	t.Cleanup(func() { _ = conns[0].Close() })
	return conns[0], &stream.Spec{
		ID: messages.RandomID(), Conn: conns[1], Target: "target.test:80", Port: 80, Purpose: chivev1.Purpose_PURPOSE_GENERAL,
		Front: f, Requested: time.Now(),
	}
}

// Every request that the actor was given is answered, once, whatever becomes of
// the actor: the one whose handling panics before it is queued, those queued
// before, and those in the mailbox behind.
func TestPanicAnswersEveryRequest(t *testing.T) {
	for name, test := range map[string]struct {
		options func(fail func()) circuits.Options
		enough  bool
	}{
		"before it is queued": {options: func(fail func()) circuits.Options {
			var once sync.Once // the first call makes the actor
			return circuits.Options{Now: func() time.Time {
				first := false
				once.Do(func() { first = true })
				if !first {
					fail()
				}
				return time.Now()
			}}
		}},
		"when a path is chosen": {enough: true, options: func(fail func()) circuits.Options {
			return circuits.Options{Now: time.Now, Guards: noGuards{fail}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const requests = 3
			recorder := messages.NewRecorder("test", time.Now, 64)
			ended := make(chan string, 2*requests)
			defer recorder.Observe(func(e *chivev1.Envelope) {
				if e.GetStreamEnded() != nil {
					ended <- e.GetActorId()
				}
			})()
			system := kernel.NewSystem(nil)
			defer kernel.Shutdown(system)
			failed := make(chan string, 1)
			o := test.options(func() { panic("poison") })
			o.Recorder, o.Rand = recorder, rand.New(rand.NewPCG(1, 2))
			o.Settings = circuits.Settings{SocksTimeout: time.Minute, BuildTimeout: time.Minute, Period: time.Hour, Dirtiness: time.Hour}
			if o.Guards == nil {
				o.Guards = noGuards{func() {}}
			}
			f := front{make(chan chivev1.Outcome, 2*requests)}
			var ours []net.Conn
			var specs []*stream.Spec
			for range requests {
				c, spec := application(t, f)
				ours, specs = append(ours, c), append(specs, spec)
			}
			root := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case *actor.Started:
					child := ctx.Spawn(circuits.Props(o))
					if test.enough {
						ctx.Send(child, &circuits.Netdir{Index: path.NewIndex(&netdoc.Consensus{}, nil, path.Options{}), Enough: true})
					}
					for _, spec := range specs {
						ctx.Send(child, &circuits.Request{Spec: spec, Recorder: recorder})
					}
				case *kernel.ChildFailed:
					failed <- m.Site()
				}
			}))
			told := map[string]int{}
			for range requests {
				select {
				case id := <-ended:
					told[id]++
				case <-time.After(30 * time.Second):
					t.Fatal("a request was never answered")
				}
			}
			<-failed
			if err := kernel.StopAndWait(system, root, 30*time.Second); err != nil {
				t.Error(err)
			}
			for i, c := range ours {
				if b, err := io.ReadAll(c); err != nil || string(b) != "no" {
					t.Errorf("the application read %q, %v", b, err)
				}
				if out := <-f.refused; out != chivev1.Outcome_OUTCOME_INTERNAL {
					t.Errorf("refused with %v", out)
				}
				if told[specs[i].ID] != 1 {
					t.Errorf("the end of a request was told %d times", told[specs[i].ID])
				}
			}
			if len(ended) > 0 || len(f.refused) > 0 {
				t.Error("a request was answered twice")
			}
		})
	}
}
