package node

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/ingress"
	"chive/actors/kernel"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// What the program asks for that the node runs in takes the path of all other requests: the
// application's end of a stream is one end of a socket pair, whose other end the program
// has.

// Request is what the program asks for.
type Request struct {
	Host       string // a name, which is never resolved here, or an IP literal
	Port       uint16 // to connect to
	IPv4, IPv6 bool   // what an exit may use; at least one
	// Viewed requests share circuits only with those of the same View, and others only with
	// others. View is an identity's name to Renew.
	Viewed bool
	View   string
}

// RefusedError says that a request came to nothing.
type RefusedError struct{ Outcome chivev1.Outcome }

func (e *RefusedError) Error() string { return "refused: " + messages.OutcomeName(e.Outcome) }

// Connect opens a stream. It waits for the network, until ctx ends (the error is
// ctx.Err(), and nobody goes on) or SocksTimeout is over. Other errors are a *RefusedError,
// or of the system that has no socket.
func (n *Node) Connect(ctx context.Context, q Request) (*StreamConn, error) {
	ours, theirs, err := programPair()
	if err != nil {
		return nil, err
	}
	_, err = n.ask(ctx, &ingress.Ask{
		Kind: ingress.AskConnect, Host: q.Host, Port: q.Port, IPv4: q.IPv4, IPv6: q.IPv6, Viewed: q.Viewed, View: q.View,
		Conn: theirs,
	})
	if err != nil {
		ours.end.gone.Store(true)
		_ = ours.Close() // nothing was said on it
		return nil, err
	}
	return ours, nil
}

// Resolve asks an exit for the addresses of a host. Errors are as Connect's.
func (n *Node) Resolve(ctx context.Context, q Request) ([]netip.Addr, error) {
	a, err := n.ask(ctx, &ingress.Ask{Kind: ingress.AskResolve, Host: q.Host, IPv4: q.IPv4, IPv6: q.IPv6, Viewed: q.Viewed, View: q.View})
	return a.Addrs, err
}

// ResolveAddr asks an exit for the names of an address. Errors are as Connect's.
func (n *Node) ResolveAddr(ctx context.Context, q Request) ([]string, error) {
	a, err := n.ask(ctx, &ingress.Ask{Kind: ingress.AskReverse, Host: q.Host, IPv4: true, IPv6: true, Viewed: q.Viewed, View: q.View})
	return a.Names, err
}

// Renew has the circuits of a View take no new streams; those that are open go on. It
// gives how many there were.
func (n *Node) Renew(ctx context.Context, view string) (int, error) {
	return kernel.Ask(ctx, n.system, n.root, func(reply kernel.Reply[int]) any { return &renew{RenewAsk{User: view}, reply} })
}

func (n *Node) ask(ctx context.Context, q *ingress.Ask) (ingress.Answer, error) {
	answers := make(chan ingress.Answer, 1)
	q.ID, q.Tell = messages.RandomID(), func(a ingress.Answer) { answers <- a }
	n.system.Root.Send(n.root, &programAsk{q})
	select {
	case a := <-answers:
		return told(a)
	case <-ctx.Done():
		n.system.Root.Send(n.root, &withdrawn{q.ID})
		return ingress.Answer{}, ctx.Err()
	case <-n.stopped:
		select { // it may have been told before
		case a := <-answers:
			return told(a)
		default:
			return ingress.Answer{}, &RefusedError{chivev1.Outcome_OUTCOME_SHUTDOWN}
		}
	}
}

func told(a ingress.Answer) (ingress.Answer, error) {
	if a.Outcome != chivev1.Outcome_OUTCOME_OK {
		return ingress.Answer{}, &RefusedError{a.Outcome}
	}
	return a, nil
}

// programAsk is a request on its way to the node's actor.
type programAsk struct{ *ingress.Ask }

// Drop implements kernel.Droppable: there is no node any more.
func (m *programAsk) Drop() { m.Refuse(chivev1.Outcome_OUTCOME_SHUTDOWN) }

// withdrawn says that nobody waits for a stream any more.
type withdrawn struct{ stream string }

// withdrawn tells the circuits, by way of this actor's own mailbox: the request for the
// stream, if it is not there yet, is in it.
func (r *rootActor) withdrawn(ctx actor.Context, m *withdrawn) {
	ctx.Send(ctx.Self(), &circuits.Cancel{Stream: m.stream})
}

// beginProgram takes requests of the program.
func (r *rootActor) beginProgram(ctx actor.Context) {
	r.programRules.Store(programRules(r.n.Config()))
	r.names.Move(virtualNetworks(r.n.Config()))
	r.program = ingress.NewProgram(ingress.Options{
		Rules: &r.programRules, IsolationKey: r.isolationKey, Names: r.names, Circuits: ctx.Self(), Recorder: r.n.recorder,
		Log: r.n.o.Log, Now: r.n.o.Now, Limits: &r.n.limits,
	})
}

// programAsk serves a request, unless the node takes none.
func (r *rootActor) programAsk(ctx actor.Context, m *programAsk) {
	if r.down != nil || r.n.deaf.Load() {
		m.Refuse(chivev1.Outcome_OUTCOME_SHUTDOWN)
		return
	}
	served := false
	defer func() { // also when that fails
		if !served {
			m.Refuse(chivev1.Outcome_OUTCOME_INTERNAL)
		}
	}()
	r.program.Serve(ctx.ActorSystem().Root, m.Ask)
	served = true
}

// programRules are those of a listener without flags, for the program: views always
// isolate, and all else as the options of all listeners say.
func programRules(c *config.Config) *ingress.Rules {
	return &ingress.Rules{
		Port: config.SocksPort{
			SessionGroup: -1, IsolateSOCKSAuth: true, IsolateClientProtocol: c.IsolateClientProtocol,
			IsolateDestAddr: c.IsolateDestinations, IsolateDestPort: c.IsolateDestinations, IsolateClientPort: c.IsolateClientPort,
			IPv4Traffic: true, IPv6Traffic: true, DNSRequest: true, OnionTraffic: true,
		},
		Group: "program", RejectInternal: c.ClientRejectInternalAddresses, RejectAnswers: c.ClientDNSRejectInternalAddresses,
		Mapping: hostMapping(c),
	}
}

// ending is what the two ends of a stream's socket pair tell each other beside the bytes.
type ending struct {
	whole atomic.Bool // the program gets all there was
	cut   atomic.Bool // something is missing
	gone  atomic.Bool // the program wants it no more

	closed chan struct{} // one of the ends is
	once   sync.Once     // closes it
}

func (e *ending) close() { e.once.Do(func() { close(e.closed) }) }

// programPair makes the two ends of a stream.
func programPair() (*StreamConn, *nodeEnd, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	end := &ending{closed: make(chan struct{})}
	return &StreamConn{ours, end}, &nodeEnd{theirs, end}, nil
}

// nodeEnd is the end of a stream actor. It implements stream.Closer.
type nodeEnd struct {
	*net.UnixConn
	end *ending
}

// SyscallConn is how the stream actor begins to use its end: not for a program that left.
func (c *nodeEnd) SyscallConn() (syscall.RawConn, error) {
	if c.end.gone.Load() {
		return nil, net.ErrClosed
	}
	return c.UnixConn.SyscallConn()
}

// CloseWrite ends what the program reads, in order.
func (c *nodeEnd) CloseWrite() error {
	c.end.whole.Store(true)
	return c.UnixConn.CloseWrite()
}

// Close without CloseWrite before is a stream that was cut off, which a unix socket
// cannot tell from one that ended.
func (c *nodeEnd) Close() error {
	if !c.end.whole.Load() {
		c.end.cut.Store(true)
	}
	c.end.close()
	return c.UnixConn.Close()
}

// Closed tells a program that closed its end from one that has no more to send.
func (c *nodeEnd) Closed() <-chan struct{} { return c.end.closed }

// StreamConn is the program's end of a stream. Its addresses are those of a socket pair:
// none.
type StreamConn struct {
	*net.UnixConn
	end *ending
}

// Close ends the stream; what was written before is sent.
func (c *StreamConn) Close() error {
	c.end.close() // before the node reads of it
	return c.UnixConn.Close()
}

// Read gives io.EOF only at the end that the far side made; a stream that was cut off
// gives syscall.ECONNRESET.
func (c *StreamConn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	if err == io.EOF && c.end.cut.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}
