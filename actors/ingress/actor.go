package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// Options is what a listener is made of.
type Options struct {
	Rules        *atomic.Pointer[Rules] // each request follows those of its moment
	Bind         func() (net.Listener, error)
	Group        string     // of a listener without SessionGroup: unique in this boot
	IsolationKey [32]byte   // per boot
	Names        *Names     // of all listeners
	Circuits     *actor.PID // or who passes circuits.Request on
	Recorder     *messages.Recorder
	Log          *slog.Logger
	Now          func() time.Time
	OnOpen       func(net.Addr) // called with the bound address
	Limits       *limits.Limits // nil: none
}

// Rules is what the configuration says about a listener's requests. Where it is
// bound does not change.
type Rules struct {
	Port           config.SocksPort
	RejectInternal bool // ClientRejectInternalAddresses
	RejectAnswers  bool // ClientDNSRejectInternalAddresses
	Mapping        Mapping
}

type (
	// Close stops accepting; streams that were accepted go on.
	Close struct{}

	acceptFailed struct{ err error }
)

// Limits on applications in dialogue.
const (
	dialogueTime = 60 * time.Second // for the whole dialogue
	maxDialogues = 4096             // at once; more wait in the accept queue
)

type listener struct {
	o     Options
	id    string
	l     net.Listener
	ended atomic.Bool
	slots chan struct{} // one a dialogue

	mu   sync.Mutex // protects open
	open map[net.Conn]struct{}
}

// Props makes a listener actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor {
		return &listener{
			o: o, id: messages.RandomID(), slots: make(chan struct{}, maxDialogues),
			open: map[net.Conn]struct{}{},
		}
	})
}

// Receive is the actor's table of messages.
func (l *listener) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		l.start(ctx)
	case *acceptFailed:
		if !l.ended.Load() {
			panic(fmt.Errorf("accept: %w", m.err)) // the supervisor opens it anew
		}
	case *Close:
		l.close(chivev1.Outcome_OUTCOME_SHUTDOWN)
		ctx.Stop(ctx.Self())
	case *actor.Stopping:
		l.close(chivev1.Outcome_OUTCOME_INTERNAL)
	}
}

func (l *listener) start(ctx actor.Context) {
	ln, err := l.o.Bind()
	if err != nil {
		panic(err)
	}
	l.l = ln
	l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, l.id, &chivev1.ListenerOpened{
		Protocol: protocolName(l.o.Rules.Load().Port.Protocol), Loopback: l.o.Rules.Load().Port.Loopback(),
	}))
	if l.o.OnOpen != nil {
		l.o.OnOpen(ln.Addr())
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	kernel.Go("ingress accept", func() {
		root.Send(self, &acceptFailed{l.accept(root)})
	}, func(p *kernel.Panic) { root.Send(self, &acceptFailed{p}) })
	if dns, ok := ln.(*dnsSockets); ok {
		kernel.Go("dns packets", func() {
			root.Send(self, &acceptFailed{l.packets(root, dns.packets)})
		}, func(p *kernel.Panic) { root.Send(self, &acceptFailed{p}) })
	}
}

func protocolName(p config.Protocol) string {
	switch p {
	case config.HTTP:
		return "http"
	case config.DNS:
		return "dns"
	default:
		return "socks"
	}
}

// Listen binds a listener; a stale unix socket is replaced, a live one is not.
func Listen(p config.SocksPort) (net.Listener, error) {
	if p.Protocol == config.DNS {
		return listenDNS(p)
	}
	if p.Network != "unix" {
		ln, err := net.Listen("tcp", p.Address.String())
		if err != nil {
			return nil, fmt.Errorf("%v %v: %w", p.Protocol, p, err)
		}
		return ln, nil
	}
	if err := clearUnix(p); err != nil {
		return nil, fmt.Errorf("%v %v: %w", p.Protocol, p, err)
	}
	ln, err := net.Listen("unix", p.Path)
	if err != nil {
		return nil, fmt.Errorf("%v %v: %w", p.Protocol, p, err)
	}
	if err := SetMode(p); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// SetMode gives a unix socket that is bound the access that its flags say.
func SetMode(p config.SocksPort) error {
	if p.Network != "unix" {
		return nil
	}
	mode := os.FileMode(0o600)
	switch {
	case p.WorldWritable:
		mode = 0o666
	case p.GroupWritable:
		mode = 0o660
	}
	if err := os.Chmod(p.Path, mode); err != nil {
		return fmt.Errorf("%v %v: %w", p.Protocol, p, err)
	}
	return nil
}

// clearUnix checks the socket's folder and removes a socket nobody serves.
func clearUnix(p config.SocksPort) error {
	dir, err := os.Stat(filepath.Dir(p.Path))
	if err != nil {
		return err
	}
	if dir.Mode().Perm()&0o077 != 0 && !p.RelaxDirModeCheck {
		return fmt.Errorf("others may enter %s; make it mode 0700 or say RelaxDirModeCheck", filepath.Dir(p.Path))
	}
	info, err := os.Lstat(p.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("there is a file with that name")
	}
	if c, err := net.Dial("unix", p.Path); err == nil {
		return errors.Join(errors.New("another program serves that socket"), c.Close())
	}
	return os.Remove(p.Path)
}

func (l *listener) accept(root *actor.RootContext) error {
	for {
		l.slots <- struct{}{}
		conn, err := l.l.Accept()
		if err != nil {
			<-l.slots
			if l.ended.Load() || !temporary(err) {
				return err
			}
			l.o.Log.Warn("cannot accept for now", "err", err)
			wait, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			<-wait.Done()
			cancel()
			continue
		}
		c, ok := conn.(stream.Conn)
		if !ok || !l.track(c) {
			_ = conn.Close() // closing already
			<-l.slots
			continue
		}
		kernel.Go("ingress dialogue", func() {
			defer func() { <-l.slots }()
			l.dialogue(root, c)
		}, func(p *kernel.Panic) {
			l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, l.id, &chivev1.ActorFailed{Reason: p.Reason()}))
			l.untrack(c)
			_ = c.Close()
		})
	}
}

// temporary: will accepting work again by itself? Running out of descriptors
// passes when streams end.
func temporary(err error) bool {
	return errors.Is(err, errTooManyFiles[0]) || errors.Is(err, errTooManyFiles[1]) || errors.Is(err, errAborted)
}

func (l *listener) track(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() {
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// untrack reports whether the dialogue still owns the socket.
func (l *listener) untrack(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, mine := l.open[c]
	delete(l.open, c)
	return mine
}

func (l *listener) close(out chivev1.Outcome) {
	if l.ended.Swap(true) {
		return
	}
	if l.l == nil {
		return
	}
	_ = l.l.Close() // it ends the accept loop; nothing is lost
	l.mu.Lock()
	for c := range l.open {
		_ = c.Close() // in the middle of its dialogue
	}
	clear(l.open)
	l.mu.Unlock()
	l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, l.id, &chivev1.ListenerClosed{Outcome: out}))
}

// clientAddr is the zero value for unix sockets.
func clientAddr(c net.Conn) netip.AddrPort {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// request hands a complete request over to the circuits.
func (l *listener) request(root *actor.RootContext, spec *stream.Spec) {
	root.Send(l.o.Circuits, &circuits.Request{Spec: spec})
}
