package node

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	crand "crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"chive/actors/hosting"
	"chive/actors/keystore"
	"chive/actors/stream"
	"chive/config"
	"chive/messages/chivev1"
	"chive/tor/onion"
	"chive/tor/onion/keyfile"
)

// An onion service of the program that the node runs in: what is a target to other services
// is a Listener here, and the two ends of a stream are those of a socket pair, as with
// Connect.

// Listen is a service that the program asks for.
type Listen struct {
	// Service says how it is hosted; its ports have no targets. Without a Dir nothing of it
	// is written anywhere.
	Service config.OnionService
	Key     ed25519.PrivateKey // without a Dir; nil: a new one, that is forgotten in the end
	Clients []*ecdh.PublicKey  // who alone may find it, beside those of the folder; none: everybody, unless that names some
	Backlog int                // how many streams wait to be accepted
}

// Served is a client's stream. Streams of one Circuit, its id in events, are of one client.
type Served struct {
	*StreamConn
	Port    uint16
	Circuit string

	node *nodeEnd
}

// Listener takes the streams of clients. Its methods may be called from many goroutines.
type Listener struct {
	n       *Node
	own     *hosting.Own
	backlog chan *Served

	mu     sync.Mutex    // orders what comes to the backlog, and its end
	closed chan struct{} // by shut
}

// What a Listen can fail of, beside what is wrong with a folder, and a *RefusedError.
var (
	ErrTaken  = hosting.ErrTaken
	ErrMany   = hosting.ErrMany
	ErrKey    = errors.New("not an ed25519 key whose two parts belong together")
	ErrClient = errors.New("not an X25519 public key, or one that would let everybody in")
)

// Listen hosts a service, until the Listener is closed or the node stops.
func (n *Node) Listen(q Listen) (*Listener, error) {
	if n.deaf.Load() || n.leaving.Load() {
		return nil, &RefusedError{chivev1.Outcome_OUTCOME_SHUTDOWN}
	}
	clients, err := publicKeys(q.Clients)
	if err != nil {
		return nil, err
	}
	own := &hosting.Own{Service: q.Service}
	if err := identify(own, q.Key); err != nil {
		return nil, err
	}
	l := &Listener{n: n, own: own, backlog: make(chan *Served, max(q.Backlog, 1)), closed: make(chan struct{})}
	own.Accept = l.take
	own.Allow(clients)
	if err := n.own.Add(own); err != nil {
		if errors.Is(err, hosting.ErrOver) {
			err = &RefusedError{chivev1.Outcome_OUTCOME_SHUTDOWN}
		}
		return nil, err
	}
	if n.configured(own.Address) {
		n.own.Withdraw(own)
		return nil, ErrTaken
	}
	if !n.listens.add(l) {
		n.own.Withdraw(own)
		return nil, &RefusedError{chivev1.Outcome_OUTCOME_SHUTDOWN}
	}
	n.look()
	return l, nil
}

// publicKeys are the clients' keys as descriptors need them. One of low order, with which
// everybody could read a descriptor, is refused.
func publicKeys(clients []*ecdh.PublicKey) ([][32]byte, error) {
	out := make([][32]byte, len(clients))
	for i, c := range clients {
		if c == nil || c.Curve() != ecdh.X25519() {
			return nil, ErrClient
		}
		copy(out[i][:], c.Bytes())
		if _, err := keyfile.ParseClient(keyfile.FormatClient(out[i])); err != nil {
			return nil, ErrClient
		}
	}
	return out, nil
}

// identify opens the folder of a service, or makes a key for one that has neither.
func identify(own *hosting.Own, key ed25519.PrivateKey) error {
	s := &own.Service
	switch {
	case s.Dir != "":
		dir, err := filepath.Abs(s.Dir)
		if err != nil {
			return err
		}
		s.Dir = dir
		folder, err := keystore.OpenService(dir, s.DirGroupReadable, crand.Reader)
		if err != nil {
			return err
		}
		if folder.Key == nil && folder.Delegation == nil {
			return keystore.ErrNoKeys
		}
		own.Address, own.Forget = folder.Address, true // what is to be remembered is in the folder
	case key == nil:
		made, err := onion.GenerateSecretKey(crand.Reader)
		if err != nil {
			return err
		}
		own.Key, own.Address, own.Forget = made, made.Address(), true
	case len(key) != ed25519.PrivateKeySize:
		return ErrKey
	default:
		own.Key = onion.SecretKeyOfSeed([32]byte(key[:ed25519.SeedSize]))
		if public := own.Key.PublicKey(); !bytes.Equal(public[:], key[ed25519.SeedSize:]) {
			return ErrKey
		}
		own.Address = own.Key.Address()
	}
	return nil
}

// configured says whether the configuration has a service of this address.
func (n *Node) configured(a onion.Address) bool {
	c := n.Config()
	for i := range c.OnionServices {
		s := &c.OnionServices[i]
		folder, err := keystore.OpenService(s.Dir, s.DirGroupReadable, crand.Reader)
		if err == nil && folder.Address == a { // one that cannot be opened is hosted by nobody
			return true
		}
	}
	return false
}

// listensOn refuses a service of the configuration that the program listens on.
func (n *Node) listensOn(s *config.OnionService) error {
	folder, err := keystore.OpenService(s.Dir, s.DirGroupReadable, crand.Reader)
	if err == nil && n.own.Has(folder.Address) {
		return fmt.Errorf("%s: the program that runs this node listens on this service already", s.Dir)
	}
	return nil // one that cannot be opened is refused for that
}

// look has the actor that hosts services look at those of the program.
func (n *Node) look() { n.system.Root.Send(n.root, &hosting.Look{}) }

// take puts a stream into the backlog. It implements hosting.Accept.
func (l *Listener) take(circuit string, port uint16) (stream.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() || len(l.backlog) == cap(l.backlog) {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs, err := programPair()
	if err != nil {
		return nil, err
	}
	l.backlog <- &Served{ours, port, circuit, theirs}
	return theirs, nil
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Accept waits for a stream. The error is net.ErrClosed, or a *RefusedError when the node
// has ended.
func (l *Listener) Accept() (*Served, error) {
	select {
	case <-l.closed: // also if streams are left
	case s := <-l.backlog:
		return s, nil
	}
	return nil, l.ended()
}

// ended is why it takes no more.
func (l *Listener) ended() error {
	select {
	case <-l.n.ending:
		return &RefusedError{chivev1.Outcome_OUTCOME_SHUTDOWN}
	default:
		return net.ErrClosed
	}
}

// Host is the service's name.
func (l *Listener) Host() string { return l.own.Address.Host() }

// Allow changes who may find the service, as Listen.Clients says it.
func (l *Listener) Allow(clients []*ecdh.PublicKey) error {
	keys, err := publicKeys(clients)
	if err == nil {
		l.own.Allow(keys)
		l.n.look()
	}
	return err
}

// LateError says that ctx ended before a service was published.
type LateError struct {
	Problem string // what the service says of itself; empty: nothing
	Cause   error
}

func (e *LateError) Error() string {
	if e.Problem == "" {
		return e.Cause.Error()
	}
	return e.Problem + ": " + e.Cause.Error()
}

// Unwrap gives what ctx says.
func (e *LateError) Unwrap() error { return e.Cause }

// Published waits until a descriptor for each period is at one directory or more. Errors
// are a *LateError and those of Accept.
func (l *Listener) Published(ctx context.Context) error {
	for {
		s, changed := l.own.Status()
		if s.Published() && !l.isClosed() {
			return nil
		}
		select {
		case <-changed:
		case <-l.closed:
			return l.ended() // not Accept, which may give a stream that is about to be cut off
		case <-ctx.Done():
			problem := s.Problem
			for _, p := range s.Periods {
				if problem == "" {
					problem = p.Problem
				}
			}
			return &LateError{problem, ctx.Err()}
		}
	}
}

// closeTime bounds how long Close waits for what there is of the service.
const closeTime = 5 * time.Second

// Close ends the service: nobody finds it any more, and streams that were not accepted are
// cut off. Those that were go on. When it returns the address is free.
func (l *Listener) Close() error {
	if !l.shut() {
		return net.ErrClosed
	}
	l.n.listens.remove(l)
	l.n.own.Remove(l.own)
	l.n.look()
	patience := time.NewTimer(closeTime)
	defer patience.Stop()
	select {
	case <-l.own.Over():
	case <-l.n.stopped:
	case <-patience.C: // the part of the node that would tell is being started anew
	}
	return nil
}

// shut has the Listener take no more streams; false: it did before.
func (l *Listener) shut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return false
	}
	close(l.closed)
	for {
		select {
		case s := <-l.backlog:
			_ = s.node.Close() // the client is told that it was cut off
			_ = s.Close()
		default:
			return true
		}
	}
}

// listens are the Listeners that are open.
type listens struct {
	mu   sync.Mutex
	all  map[*Listener]struct{}
	over bool
}

func (o *listens) add(l *Listener) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	if o.all == nil {
		o.all = map[*Listener]struct{}{}
	}
	o.all[l] = struct{}{}
	return true
}

func (o *listens) remove(l *Listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, l)
}

// end gives all that are open, of which there will be no more.
func (o *listens) end() []*Listener {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	var out []*Listener
	for l := range o.all {
		out = append(out, l)
	}
	return out
}

// CloseListeners closes all Listeners; there will be no more.
func (n *Node) CloseListeners() {
	var wait sync.WaitGroup
	for _, l := range n.listens.end() {
		wait.Go(func() { _ = l.Close() }) // somebody else may have
	}
	wait.Wait()
}
