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
	IsolationKey [32]byte   // per boot
	Names        *Names     // of all listeners
	Circuits     *actor.PID // or who passes circuits.Request on
	Recorder     *messages.Recorder
	Log          *slog.Logger
	Now          func() time.Time
	OnOpen       func(net.Addr) // called with the bound address
	Limits       *limits.Limits // nil: none
	// Scrape answers a client of a MetricsPort, or refuses him if the policy does not accept
	// him, and closes his connection.
	Scrape func(c net.Conn, accepted bool)
}

// Rules is what the configuration says about a listener's requests. Where it is
// bound does not change; what is spoken there may, which Become follows.
type Rules struct {
	Port           config.SocksPort
	Group          string // of a listener without SessionGroup: unique in this boot
	RejectInternal bool   // ClientRejectInternalAddresses
	RejectAnswers  bool   // ClientDNSRejectInternalAddresses
	Mapping        Mapping
	Policy         config.Policy // who may read at a MetricsPort
}

type (
	// Close stops accepting. Clients that were accepted go on: their streams, and what
	// they are about to ask for. Done is called once when the sockets are closed, in the
	// actor's turn or when there is no actor any more; nil: nobody waits.
	Close struct{ Done func() }
	// Become says that another protocol is spoken from now on, as the Rules say already.
	// The TCP or unix socket stays; Packets is the UDP one of a DNSPort, which is nil if
	// the listener was one.
	Become struct{ Packets *net.UDPConn }
	// Settled says that it stays so: what a protocol of before needed is let go, and then
	// Done is called, as that of Close is.
	Settled struct{ Done func() }
	// dialogueOver is told when a listener that is closed has one dialogue less.
	dialogueOver struct{}

	acceptFailed struct{ err error }
)

// Limits on applications in dialogue.
const (
	dialogueTime = 60 * time.Second // for the whole dialogue
	maxDialogues = 4096             // at once; more wait in the accept queue
)

type listener struct {
	o     Options
	id    atomic.Pointer[string]
	l     net.Listener // TCP or unix
	udp   *packets     // of a DNSPort; nil: none
	ended atomic.Bool
	slots chan struct{} // one a dialogue

	mu   sync.Mutex // protects open
	open map[net.Conn]struct{}
}

// name gives the listener a new id: what is spoken there begins anew.
func (l *listener) name() {
	id := messages.RandomID()
	l.id.Store(&id)
}

// Props makes a listener actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor {
		l := &listener{o: o, slots: make(chan struct{}, maxDialogues), open: map[net.Conn]struct{}{}}
		l.name()
		return l
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
	case *Become:
		l.become(ctx, m)
	case *Settled:
		if l.udp != nil && l.o.Rules.Load().Port.Protocol != config.DNS {
			l.udp.close()
			l.udp = nil
		}
		m.Drop()
	case *Close:
		l.close(chivev1.Outcome_OUTCOME_SHUTDOWN)
		m.Drop()
		l.leave(ctx)
	case *dialogueOver:
		l.leave(ctx)
	case *actor.Stopping:
		l.close(chivev1.Outcome_OUTCOME_INTERNAL)
		l.cut()
	}
}

// leave ends the actor when no client is in a dialogue any more.
func (l *listener) leave(ctx actor.Context) {
	l.mu.Lock()
	n := len(l.open)
	l.mu.Unlock()
	if n == 0 {
		ctx.Stop(ctx.Self())
	}
}

// Drop implements kernel.Droppable: the listener is not there, and binds anew when it is.
func (m *Become) Drop() {
	if m.Packets != nil {
		_ = m.Packets.Close() // nobody was heard
	}
}

// Drop implements kernel.Droppable: nothing is open, or it is closed now.
func (m *Close) Drop() {
	if m.Done != nil {
		m.Done()
	}
}

// Drop implements kernel.Droppable.
func (m *Settled) Drop() {
	if m.Done != nil {
		m.Done()
	}
}

// become follows a change of the protocol: in events it is another listener.
func (l *listener) become(ctx actor.Context, m *Become) {
	if l.ended.Load() || l.l == nil {
		m.Drop()
		return
	}
	l.emitClosed(chivev1.Outcome_OUTCOME_REPLACED)
	l.name()
	if m.Packets != nil && l.udp != nil { // it was a DNSPort a moment ago, and still has one
		l.udp.close()
	}
	if m.Packets != nil {
		l.listen(ctx, m.Packets)
	}
	l.emitOpened()
}

// listen answers questions over UDP.
func (l *listener) listen(ctx actor.Context, udp *net.UDPConn) {
	p := &packets{udp: udp}
	l.udp = p
	root, self := ctx.ActorSystem().Root, ctx.Self()
	failed := func(err error) {
		if !p.closed.Load() {
			root.Send(self, &acceptFailed{err})
		}
	}
	kernel.Go("dns packets", func() { failed(l.answer(root, udp)) }, func(p *kernel.Panic) { failed(p) })
}

func (l *listener) emitOpened() {
	port := l.o.Rules.Load().Port
	l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, *l.id.Load(), &chivev1.ListenerOpened{
		Protocol: protocolName(port.Protocol), Loopback: port.Loopback(),
	}))
}

func (l *listener) emitClosed(out chivev1.Outcome) {
	l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, *l.id.Load(), &chivev1.ListenerClosed{Outcome: out}))
}

func (l *listener) start(ctx actor.Context) {
	ln, err := l.o.Bind()
	if err != nil {
		panic(err)
	}
	l.l = ln
	dns, _ := ln.(*dnsSockets)
	if dns != nil {
		l.l = dns.Listener
	}
	l.emitOpened()
	if l.o.OnOpen != nil {
		l.o.OnOpen(ln.Addr())
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	kernel.Go("ingress accept", func() {
		root.Send(self, &acceptFailed{l.accept(root, self)})
	}, func(p *kernel.Panic) { root.Send(self, &acceptFailed{p}) })
	if dns != nil {
		l.listen(ctx, dns.packets)
	}
}

func protocolName(p config.Protocol) string {
	switch p {
	case config.HTTP:
		return "http"
	case config.DNS:
		return "dns"
	case config.Metrics:
		return "metrics"
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
		var how net.ListenConfig
		if p.Address.Addr().IsLoopback() {
			how.KeepAlive = -1 // who is on this machine cannot vanish
		}
		ln, err := how.Listen(context.Background(), "tcp", p.Address.String())
		if err != nil {
			return nil, refusedBind(p, err)
		}
		return ln, nil
	}
	if err := clearUnix(p); err != nil {
		return nil, refusedBind(p, err)
	}
	ln, err := net.Listen("unix", p.Path)
	if err != nil {
		return nil, refusedBind(p, err)
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
		return fmt.Errorf("others may enter %s; put the socket into a folder with mode 0700 or say RelaxDirModeCheck", filepath.Dir(p.Path))
	}
	info, err := os.Lstat(p.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("there is a file with that name; remove it, or give %v another path", p.Protocol)
	}
	if c, err := net.Dial("unix", p.Path); err == nil {
		return errors.Join(fmt.Errorf("another program serves that socket, such as another chive or C tor; end it, or give %v another path", p.Protocol), c.Close())
	}
	return os.Remove(p.Path)
}

func (l *listener) accept(root *actor.RootContext, self *actor.PID) error {
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
		kernel.GoWarm(root.ActorSystem(), "ingress dialogue", func() {
			defer func() { <-l.slots }()
			l.dialogue(root, self, c)
		}, func(p *kernel.Panic) {
			l.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_LISTENER, *l.id.Load(), &chivev1.ActorFailed{Reason: p.Reason()}))
			l.untrack(c)
			_ = c.Close()
			l.over(root, self)
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

// over tells the actor that a dialogue is, if it waits for that.
func (l *listener) over(root *actor.RootContext, self *actor.PID) {
	if l.ended.Load() {
		root.Send(self, &dialogueOver{})
	}
}

// untrack reports whether the dialogue still owns the socket.
func (l *listener) untrack(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, mine := l.open[c]
	delete(l.open, c)
	return mine
}

// close stops accepting.
func (l *listener) close(out chivev1.Outcome) {
	if l.ended.Swap(true) || l.l == nil {
		return
	}
	_ = l.l.Close() // it ends the accept loop; nothing is lost
	if l.udp != nil {
		l.udp.close()
	}
	l.emitClosed(out)
}

// cut ends the dialogues.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close() // in the middle of its dialogue
	}
	clear(l.open)
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
	root.Send(l.o.Circuits, &circuits.Request{Spec: spec, Recorder: l.o.Recorder})
}
