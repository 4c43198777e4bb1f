package connections

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/internal/freeport"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/upstream"
)

// Errors of a dial are of this machine, whatever they are to and through, or of what they are to.
func TestErrorsOfThisMachine(t *testing.T) {
	const machines, others = chivev1.Outcome_OUTCOME_MACHINE_FAILED, chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE
	at := func(call string, errno syscall.Errno) error {
		return fmt.Errorf("connect: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)})
	}
	for _, tt := range []struct {
		err  error
		want chivev1.Outcome
	}{
		{at("socket", syscall.EMFILE), machines},
		{at("socket", syscall.ENFILE), machines},
		{at("connect", syscall.ENOBUFS), machines},
		{at("connect", syscall.ENOMEM), machines},
		{at("bind", syscall.EADDRNOTAVAIL), machines},
		{at("bind", syscall.EADDRINUSE), machines}, // all ports are taken
		{fmt.Errorf("%w: %w", upstream.ErrProxy, at("socket", syscall.EMFILE)), machines},
		{at("connect", syscall.EADDRNOTAVAIL), others}, // there is no IPv6 here
		{at("connect", syscall.EACCES), others},        // over IPv6 a router may have said so
		{at("connect", syscall.EPERM), others},
		{at("connect", syscall.ENETUNREACH), others},
		{at("connect", syscall.ECONNREFUSED), refused},
	} {
		d := newDesk(t)
		x := &conn{entry: d.relay(1)}
		m := &connection.Down{Outcome: outcome.FromDial(tt.err), Err: tt.err}
		if whose := d.faultOf(x, m); m.Outcome != tt.want || (whose == nobodys) != (tt.want == machines) {
			t.Errorf("%v: %v, of %v", tt.err, m.Outcome, whose)
		}
	}
}

// While the machine fails nothing is dialled, for longer and longer, and no relay is told of;
// whatever else a dial comes to ends that.
func TestMachineThatFails(t *testing.T) {
	d := newDesk(t)
	failed := &connection.Down{Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED, Err: syscall.EMFILE, Cause: "why"}
	for i := range 8 {
		if first := d.fromHere(ip4, failed); first != (i == 0) {
			t.Errorf("failure %d is the first: %v", i+1, first)
		}
		until := d.machine.until
		if d.fromHere(ip4, failed) || d.machine.until != until || d.machine.failures != i+1 { // one that had begun before
			t.Errorf("counted twice: %+v", d.machine)
		}
		wait, want := until.Sub(d.now), min(machinePause.Min<<i, machinePause.Max)
		if wait < want*7/10 || wait > min(want*13/10, machinePause.Max) {
			t.Errorf("failure %d: waits %v, want about %v", i+1, wait, want)
		}
		d.now = until
	}
	if d.fromHere(ip4, &connection.Down{Outcome: refused}); d.machine != (machine{}) {
		t.Errorf("a relay refuses, which it was asked to: %+v", d.machine)
	}
	d.fromHere(ip4, failed)
	for _, out := range []chivev1.Outcome{chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_INTERNAL} {
		if d.fromHere(ip4, &connection.Down{Outcome: out}); d.machine.failures != 1 {
			t.Errorf("%v tells something of the machine", out)
		}
	}
	if e := d.relay(1); e.failures > 0 || len(d.told) > 0 {
		t.Errorf("%d failures of a relay; told %q", e.failures, d.names())
	}
}

// That the address to connect from is gone stops dials of its family alone.
func TestAddressOfOneFamilyIsGone(t *testing.T) {
	gone := &connection.Down{
		Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED,
		Err:     &net.OpError{Op: "dial", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)},
	}
	full := &connection.Down{Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED, Err: os.NewSyscallError("socket", syscall.EMFILE)}
	other := map[family]family{ip4: ip6, ip6: ip4}
	for over, at := range map[family]string{ip4: "127.0.0.1:1", ip6: "[::1]:1"} {
		d := newDesk(t)
		if got := d.familyOf(netip.MustParseAddrPort(at)); got != over {
			t.Errorf("%s: family %v", at, got)
		}
		if !d.fromHere(over, gone) || d.failsHere(over) == nil || d.failsHere(other[over]) != nil {
			t.Errorf("%s: %+v", at, d.bound)
		}
		d.fromHere(other[over], &connection.Down{Outcome: refused})
		if d.failsHere(over) == nil {
			t.Errorf("%s: dialled, as the other works", at)
		}
		d.worksHere(over)
		if d.fromHere(over, full); d.failsHere(over) == nil || d.failsHere(other[over]) == nil {
			t.Errorf("%s: no descriptors are left, and it is dialled", at)
		}
		if d.forgive(nil, &Forgive{}); d.failsHere(over) != nil {
			t.Error("not forgiven")
		}
	}
}

// dialling is an actor of connections and one who wants some.
type dialling struct {
	system  *actor.ActorSystem
	pid     *actor.PID
	answers chan *Failed
	blamed  chan chivev1.Outcome
}

func newDialling(d connection.Dialer) *dialling {
	x := &dialling{system: kernel.NewSystem(nil), answers: make(chan *Failed, 4), blamed: make(chan chivev1.Outcome, 4)}
	var conns *actor.PID
	at := time.Now() // stands still: a wait is not over before it is looked at
	x.pid = x.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			conns = ctx.Spawn(Props(Options{
				Dialer: d, Recorder: messages.NewRecorder("test", time.Now, 64), Now: func() time.Time { return at }, Rand: rand.New(rand.NewPCG(1, 2)),
				Unreachable: func(_ [20]byte, out chivev1.Outcome) { x.blamed <- out },
			}))
		case *Failed:
			x.answers <- m
		case *Want:
			m.Reply = ctx.Self()
			ctx.Send(conns, m)
		case *Forgive, *Configure:
			ctx.Send(conns, m)
		}
	}))
	return x
}

func (x *dialling) want(to string) *Failed {
	x.system.Root.Send(x.pid, &Want{Target: connection.Target{IPv4: netip.MustParseAddrPort(to), RSA: [20]byte{1}}})
	return <-x.answers
}

func (x *dialling) stop(t *testing.T) {
	t.Helper()
	if err := kernel.StopAndWait(x.system, x.pid, time.Minute); err != nil {
		t.Error(err)
	}
	kernel.Shutdown(x.system)
}

// blamesNobody looks at what came of a Want that this machine did not let be dialled, and at the next,
// which is not tried.
func (x *dialling) blamesNobody(t *testing.T, to string) {
	t.Helper()
	first, next := x.want(to), x.want(to)
	for _, f := range []*Failed{first, next} {
		if f.Outcome != chivev1.Outcome_OUTCOME_MACHINE_FAILED || f.Dialled || f.Cause == "" || f.Cause != first.Cause {
			t.Errorf("%+v", f)
		}
	}
	if errors.Is(first.Err, ErrMachine) || !errors.Is(next.Err, ErrMachine) {
		t.Errorf("tried: %v, and %v", first.Err, next.Err)
	}
	if len(x.blamed) > 0 {
		t.Errorf("the guards hear %v", <-x.blamed)
	}
}

// The address that connections are to be made from is no more; with another, relays are dialled
// at once.
func TestSourceAddressThatIsGone(t *testing.T) {
	at := netip.MustParseAddr("127.0.0.1")
	port, err := freeport.Take(at)
	if err != nil {
		t.Fatal(err)
	}
	dead := netip.AddrPortFrom(at, uint16(port)).String()
	x := newDialling(connection.Dialer{Bind4: netip.MustParseAddr("192.0.2.1")})
	defer x.stop(t)
	x.blamesNobody(t, dead)
	x.system.Root.Send(x.pid, &Configure{Dialer: connection.Dialer{Bind4: at}})
	if f := x.want(dead); f.Outcome != refused || !f.Dialled || len(x.blamed) != 1 {
		t.Errorf("from an address that is there: %+v", f)
	}
}

// noFiles names the process whose files are used up; its value is what it dials.
const noFiles = "CHIVE_TEST_NO_FILES"

// No more files can be open: in a process of its own, as the tests beside this one need some.
func TestNoFilesLeft(t *testing.T) {
	if to := os.Getenv(noFiles); to != "" {
		withoutFiles(t, to)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
		}
	}()
	self := exec.Command(os.Args[0], "-test.run=^TestNoFilesLeft$", "-test.timeout=5m")
	self.Env = append(os.Environ(), noFiles+"="+l.Addr().String())
	if out, err := self.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	_ = l.Close()
	<-served
}

func withoutFiles(t *testing.T, to string) {
	x := newDialling(connection.Dialer{})
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var all []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		all = append(all, f)
	}
	x.blamesNobody(t, to)
	for _, f := range all {
		_ = f.Close()
	}
	x.system.Root.Send(x.pid, &Forgive{})
	// The relay is dialled now, and hangs up: that is its fault.
	if f := x.want(to); !f.Dialled || len(x.blamed) != 1 {
		t.Errorf("with files left: %+v", f)
	}
	x.stop(t)
}
