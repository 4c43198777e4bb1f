package chive

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"chive/actors/node"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// Service is an onion service that the program hosts. The zero Service has a new key, which
// nobody has when it is closed, and port 80.
type Service struct {
	// Folder has the keys, laid out as C tor's HiddenServiceDir is; it is made, with a new
	// key, if it is not there. Without one nothing of the service is ever on disk.
	Folder string
	// Key is the identity of a service without a Folder; nil: a new one. While the process
	// runs, the service is known again when it is listened on again.
	Key ed25519.PrivateKey
	// Ports are those that clients may connect to; none: 80.
	Ports []uint16
	// Clients are the X25519 keys of those who alone may find the service, together with
	// those of the Folder. nil: everybody may who knows its address, unless the Folder names
	// some.
	Clients []*ecdh.PublicKey
	// Backlog is how many connections wait to be accepted, 4096 at most; what is more is
	// refused. 0: 128.
	Backlog int
	// Lines are further options of the service as lines of a torrc, such as
	// "HiddenServiceMaxStreams 100" (docs/configuration.md).
	Lines []string
}

const (
	defaultPort    = 80
	defaultBacklog = 128
	mostBacklog    = 4096
)

// Listener is a net.Listener on an onion service. Its methods may be called from many
// goroutines.
type Listener struct {
	l    *node.Listener
	c    *Client
	addr Addr
}

var _ net.Listener = (*Listener)(nil)

// ErrAddressInUse: an onion service of that address is hosted by this process already.
var ErrAddressInUse error = syscall.EADDRINUSE

// Listen hosts an onion service whose connections the Listener gives to the program: none of
// them passes a port of this machine. It returns at once, and clients find the service
// when it is published, which Published waits for. A change of the configuration does not
// concern it. What is wrong with s is a *net.OpError that says what.
func (c *Client) Listen(ctx context.Context, s Service) (*Listener, error) {
	q, err := s.listen()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, listenError(err)
	}
	l, err := c.node.Listen(q)
	switch {
	case errors.Is(err, node.ErrTaken):
		return nil, listenError(fmt.Errorf("%w: %w", ErrAddressInUse, err))
	case errors.Is(err, node.ErrMany):
		return nil, listenError(errorOf(chivev1.Outcome_OUTCOME_OVERLOADED))
	case err != nil:
		return nil, listenError(c.explain(err))
	}
	return &Listener{l: l, c: c, addr: onionAddr(l.Host(), q.Service.Ports[0].Port)}, nil
}

func listenError(err error) error { return &net.OpError{Op: "listen", Net: "tcp", Err: err} }

// listen is the Service as the node takes it.
func (s *Service) listen() (node.Listen, error) {
	q := node.Listen{Key: s.Key, Clients: s.Clients, Backlog: s.Backlog}
	ports := s.Ports
	if len(ports) == 0 {
		ports = []uint16{defaultPort}
	}
	if q.Backlog == 0 {
		q.Backlog = defaultBacklog
	}
	var err error
	q.Service, err = config.ParseService(s.Lines)
	switch {
	case err != nil:
		return q, err
	case s.Folder != "" && s.Key != nil:
		return q, errors.New("a service has a Folder or a Key: a folder has its key")
	case s.Folder == "" && q.Service.DirGroupReadable:
		return q, errors.New("HiddenServiceDirGroupReadable: there is no Folder")
	case s.Folder == "" && q.Service.OnionBalance:
		return q, errors.New("HiddenServiceOnionBalanceInstance: there is no Folder that names the frontends")
	case q.Service.ExportCircuitID:
		return q, errors.New("HiddenServiceExportCircuitID: RemoteAddr of a connection tells its circuit")
	case q.Service.Shared:
		return q, errors.New("HiddenServiceShared: a service of the program is of one node")
	case s.Clients != nil && len(s.Clients) == 0:
		return q, errNobody
	case q.Backlog < 0 || q.Backlog > mostBacklog:
		return q, fmt.Errorf("a Backlog of %d: want 0 to %d", s.Backlog, mostBacklog)
	}
	q.Service.Dir = s.Folder
	return q, q.Service.SetPorts(ports)
}

var errNobody = errors.New("no Clients: nobody could find the service; nil lets everybody")

func onionAddr(host string, port uint16) Addr {
	return Addr(net.JoinHostPort(host, strconv.Itoa(int(port))))
}

// Addr is the address of the service, "<56 characters>.onion:port" with the first of its
// ports.
func (l *Listener) Addr() net.Addr { return l.addr }

// Accept waits for a client's connection, which is a *Conn. LocalAddr tells on which port it
// came. When the Listener or the Client is closed the error is net.ErrClosed, and of the
// Client also ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	s, err := l.l.Accept()
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: over(err)}
	}
	return &Conn{s: s.StreamConn, to: Addr(s.Circuit + ":0"), at: onionAddr(l.l.Host(), s.Port)}, nil
}

// over is why a Listener gives no more.
func over(err error) error {
	var refused *node.RefusedError
	if errors.As(err, &refused) {
		return &Error{Reason: messages.OutcomeName(refused.Outcome), kind: ErrClosed, cause: net.ErrClosed}
	}
	return err
}

// Published waits until clients can find the service: until a descriptor for each of the two
// periods is at one directory or more. The error is net.ErrClosed as Accept's, or an
// *Error that is ErrNotPublished and what ctx says.
func (l *Listener) Published(ctx context.Context) error {
	err := l.l.Published(ctx)
	var late *node.LateError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &late):
		err = &Error{Reason: "unpublished", kind: ErrNotPublished, cause: late}
	default:
		err = over(err)
	}
	return &net.OpError{Op: "publish", Net: "tcp", Addr: l.addr, Err: err}
}

// Allow changes Service.Clients while the service runs. Who is new can come at once. When
// somebody is left out, all clients are cut off, and the others find the service again
// within seconds. A service does not open to everybody again.
func (l *Listener) Allow(clients []*ecdh.PublicKey) error {
	err := errNobody
	if len(clients) > 0 {
		err = l.l.Allow(clients)
	}
	if err != nil {
		return &net.OpError{Op: "allow", Net: "tcp", Addr: l.addr, Err: err}
	}
	return nil
}

// Close ends the service. Connections that were accepted go on to their ends; those that
// were not are cut off. When it returns the address is free.
func (l *Listener) Close() error {
	if err := l.l.Close(); err != nil {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: err}
	}
	return nil
}
