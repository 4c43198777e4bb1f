package hosting

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/tor/onion"
)

// patience bounds what a test that fails waits for.
const patience = 30 * time.Second

// hostRig is the actor, with the test in the place of the circuits.
type hostRig struct {
	t       *testing.T
	system  *actor.ActorSystem
	pid     *actor.PID
	program *Program
}

func startHosting(t *testing.T, p *Program, services ...config.OnionService) *hostRig {
	t.Helper()
	r := &hostRig{t: t, system: kernel.NewSystem(slog.New(slog.DiscardHandler)), program: p}
	circuits := r.system.Root.Spawn(kernel.Func(func(actor.Context) {}))
	r.pid = r.system.Root.Spawn(Props(Options{
		Circuits: circuits, Recorder: messages.NewRecorder("n", time.Now, 64), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Rand: func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }, Services: services, Program: p, Signals: new(Signals),
	}))
	t.Cleanup(func() {
		r.stop()
		_ = kernel.StopAndWait(r.system, circuits, patience)
		kernel.Shutdown(r.system)
		r.system.Shutdown()
	})
	return r
}

func (r *hostRig) stop() {
	if r.pid == nil {
		return
	}
	if err := kernel.StopAndWait(r.system, r.pid, patience); err != nil {
		r.t.Error(err)
	}
	r.pid = nil
}

func (r *hostRig) tell(m any) { r.system.Root.Send(r.pid, m) }

// list is what the actor tells of its services.
func (r *hostRig) list() []Status {
	got := make(chan []Status, 1)
	r.tell(&List{Tell: func(all []Status) { got <- all }})
	return <-got
}

func over(t *testing.T, p *Own) {
	t.Helper()
	select {
	case <-p.Over():
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// ownService is one of the program's, with a key in memory.
func ownService(t *testing.T) *Own {
	key := freshKey(t)
	own := &Own{Key: key, Address: key.Address(), Service: config.OnionService{IntroductionPoints: 3}}
	own.Accept = func(string, uint16) (stream.Conn, error) { return nil, errors.New("nobody accepts") }
	if err := own.Service.SetPorts([]uint16{80}); err != nil {
		t.Fatal(err)
	}
	return own
}

// The program's services come and go beside those of the configuration, and a change of that
// leaves them alone.
func TestProgramsServices(t *testing.T) {
	p := new(Program)
	first, second := ownService(t), ownService(t)
	if err := p.Add(first); err != nil {
		t.Fatal(err)
	}
	fixed := config.OnionService{Dir: t.TempDir() + "/hs", IntroductionPoints: 3, Ports: first.Service.Ports}
	r := startHosting(t, p, fixed)
	addresses := func() (out []string) {
		for _, s := range r.list() {
			if (s.From == FromProgram) != (s.Dir == "") {
				t.Errorf("%+v", s)
			}
			out = append(out, s.Address)
		}
		return out
	}
	if got := r.list(); len(got) != 2 || !slices.Contains(addresses(), first.Address.Host()) {
		t.Errorf("hosts %+v", got)
	}
	if err := p.Add(second); err != nil {
		t.Fatal(err)
	}
	if err := new(Program).Add(second); !errors.Is(err, ErrTaken) {
		t.Errorf("twice in one process: %v", err)
	}
	r.tell(&Look{})
	r.tell(&Configure{})
	if got := addresses(); len(got) != 2 || !slices.Contains(got, second.Address.Host()) || !slices.Contains(got, first.Address.Host()) {
		t.Errorf("after a change of the configuration: %v", got)
	}
	if s, _ := second.Status(); s.State != "starting" || s.Address != second.Address.Host() {
		t.Errorf("%+v", s)
	}
	p.Remove(first)
	if first.serve("c", 80) != nil {
		t.Error("streams go to a service that is to end")
	}
	r.tell(&Look{})
	over(t, first)
	if got := addresses(); len(got) != 1 || got[0] != second.Address.Host() {
		t.Errorf("hosts %v", got)
	}
	if !memories.claim(first.Address) {
		t.Error("the address is not free")
	}
	memories.release(first.Address, true)
	// Who was met by one that has ended goes to that which was begun with its key again.
	closed := &Own{Address: second.Address, program: p}
	p.Remove(closed)
	if closed.serve("c", 80) == nil || closed.serve("c", 81) != nil {
		t.Error("streams do not go to the heir, or to a port that it does not have")
	}
	second.Allow([][32]byte{{9}})
	if closed.serve("c", 80) != nil {
		t.Error("streams go to a service that is for others")
	}
	// An actor that is started anew begins with those that are there, and ends what was to.
	third := ownService(t)
	if err := p.Add(third); err != nil {
		t.Fatal(err)
	}
	r.stop()
	p.Remove(third)
	again := startHosting(t, p)
	over(t, third)
	if got := again.list(); len(got) != 1 || got[0].Address != second.Address.Host() {
		t.Errorf("hosts %+v", got)
	}
	again.stop()
	p.Close()
	over(t, second)
	if err := p.Add(ownService(t)); !errors.Is(err, ErrOver) {
		t.Errorf("added when it is over: %v", err)
	}
}

func TestProgramsServicesAreBounded(t *testing.T) {
	p := new(Program)
	defer p.Close()
	for i := range config.MaxOnionServices {
		if err := p.Add(&Own{Address: onion.Address{byte(i), 7, 7}, Forget: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Add(&Own{Address: onion.Address{1, 8, 8}, Forget: true}); !errors.Is(err, ErrMany) {
		t.Errorf("one more: %v", err)
	}
}

// A service that is ended lets go of circuits on which clients were met, before all others
// are closed; one whose node stops does not.
func TestClientsOutliveAService(t *testing.T) {
	for name, ends := range map[string]bool{"ended": true, "stopped": false} {
		own := ownService(t)
		if ends {
			new(Program).Remove(own)
		}
		system := kernel.NewSystem(slog.New(slog.DiscardHandler))
		var told []any
		a := &serviceActor{
			h: &hosting{o: Options{Circuits: actor.NewPID("", "circuits"), Log: slog.New(slog.DiscardHandler)}},
			e: &entry{own: own}, uses: map[uint64]*use{1: {met: true}, 2: {}, 3: {point: 1}},
		}
		pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Stopping); ok {
				a.stopping(sentBy{ctx, &told})
			}
		}))
		if err := kernel.StopAndWait(system, pid, patience); err != nil {
			t.Fatal(err)
		}
		kernel.Shutdown(system)
		system.Shutdown()
		left := 0
		for i, m := range told {
			switch m := m.(type) {
			case *circuits.Leave:
				left++
				if m.Token != 1 {
					t.Errorf("%s: left %d", name, m.Token)
				}
			case *circuits.Orphaned:
				if i != len(told)-1 {
					t.Errorf("%s: not the last word", name)
				}
			}
		}
		if (left == 1) != ends || len(told) == 0 {
			t.Errorf("%s: told %v", name, told)
		}
	}
}

// sentBy notes what an actor sends.
type sentBy struct {
	actor.Context
	told *[]any
}

func (s sentBy) Send(_ *actor.PID, m any) { *s.told = append(*s.told, m) }
