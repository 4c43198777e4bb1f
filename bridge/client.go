package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"chive/internal/safego"
	"chive/messages"
	"chive/messages/chivev1"
)

// ErrNoNode means that no node runs with that data directory.
var ErrNoNode = errors.New("no chive runs with that DataDirectory")

// Client is the command line's connection to a running node.
type Client struct {
	nc        *nats.Conn
	prefix    string        // chive.v1.<fleet>.<node>
	closed    chan struct{} // the connection is gone
	gone      chan struct{} // and what it brought was followed to the end
	followers sync.WaitGroup
}

// followRoom is how many events may wait for a follower before they are lost
// to it.
const followRoom = 8192

type unixDialer struct{ path string }

// Dial ignores the address: there is one node.
func (d unixDialer) Dial(_, _ string) (net.Conn, error) { return net.Dial("unix", d.path) }

// Connect reaches the node of a data directory.
func Connect(ctx context.Context, dataDir string) (*Client, error) {
	user, key, err := readSeed(filepath.Join(dataDir, controlSeed))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s)", ErrNoNode, dataDir)
	}
	if err != nil {
		return nil, err
	}
	c := &Client{closed: make(chan struct{}), gone: make(chan struct{})}
	c.nc, err = nats.Connect("nats://chive", append(credential(user, key), nats.SetCustomDialer(unixDialer{filepath.Join(dataDir, controlSocket)}),
		nats.Timeout(10*time.Second), nats.NoReconnect(), nats.Name("chive command line"),
		nats.ClosedHandler(func(*nats.Conn) {
			close(c.closed)
			c.followers.Wait()
			close(c.gone)
		}))...)
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNoNode, dataDir, err)
	}
	if err := c.discover(ctx); err != nil {
		c.nc.Close()
		return nil, err
	}
	return c, nil
}

// discover asks the node's service for the node's name.
func (c *Client) discover(ctx context.Context) error {
	subject, err := micro.ControlSubject(micro.InfoVerb, "chive", "")
	if err != nil {
		return err
	}
	m, err := c.ask(ctx, subject, nil, askAgain)
	if err != nil {
		return fmt.Errorf("ask the node for its name: %w", err)
	}
	var info micro.Info
	if err := unmarshalInfo(m.Data, &info); err != nil {
		return err
	}
	c.prefix = strings.TrimSuffix(messages.ControlSubject(info.Metadata["fleet"], info.Metadata["node"], "x"), ".ctl.x")
	return nil
}

// A node that starts takes verbs up one after the other.
const (
	startingTries = 250
	startingWait  = 20 * time.Millisecond
)

// askAgain is how long an answer may take before what only asks is asked again: on a machine that
// is very busy the node's own connection to its server may break, and what is on its way is lost.
const askAgain = 3 * time.Second

// ask waits, for 5 s in all, for a node that does not answer this subject yet. If there is no
// answer it asks again after some time; 0: never, as the question may have been understood.
func (c *Client) ask(ctx context.Context, subject string, request []byte, again time.Duration) (*nats.Msg, error) {
	for try := 1; ; try++ {
		m, err := c.once(ctx, subject, request, again)
		lost := again > 0 && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		if !lost && !errors.Is(err, nats.ErrNoResponders) || try == startingTries {
			return m, err
		}
		select {
		case <-time.After(startingWait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// once asks once, and waits so long; 0: for as long as ctx.
func (c *Client) once(ctx context.Context, subject string, request []byte, limit time.Duration) (*nats.Msg, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return c.nc.RequestWithContext(ctx, subject, request)
}

// Request asks the node a verb.
func (c *Client) Request(ctx context.Context, verb string, request []byte) ([]byte, error) {
	m, err := c.ask(ctx, c.prefix+".ctl."+verb, request, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return nil, &Refusal{Verb: verb, Reason: text}
	}
	return m.Data, nil
}

// Refusal is the answer of a node that does not do what it was asked.
type Refusal struct{ Verb, Reason string }

func (r *Refusal) Error() string { return r.Verb + ": " + r.Reason }

// History is the recent events, oldest first.
func (c *Client) History(ctx context.Context) ([]*chivev1.Envelope, error) {
	b, err := c.Request(ctx, "history", nil)
	if err != nil {
		return nil, err
	}
	var out []*chivev1.Envelope
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-4 {
			return nil, errors.New("history: cut short")
		}
		e, err := messages.Decode(b[4 : 4+n])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		b = b[4+n:]
	}
	return out, nil
}

// Follow calls see for every event from now on, from one goroutine, until the
// returned function is called or the node stops. A see that is too slow misses
// events; their sequence numbers show it.
func (c *Client) Follow(see func(*chivev1.Envelope)) (stop func() error, err error) {
	arrived := make(chan *nats.Msg, followRoom)
	sub, err := c.nc.ChanSubscribe(c.prefix+".evt.>", arrived)
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", err)
	}
	stopped := make(chan struct{})
	c.followers.Add(1)
	safego.Go("event follower", func() {
		defer c.followers.Done()
		follow(arrived, stopped, c.closed, see)
	}, nil)
	unsubscribe := func() error {
		close(stopped)
		return sub.Unsubscribe()
	}
	if err := c.nc.Flush(); err != nil { // from here on nothing is missed
		return nil, errors.Join(fmt.Errorf("follow events: %w", err), unsubscribe())
	}
	return sync.OnceValue(unsubscribe), nil
}

// follow passes on what arrives; when the connection has closed, what arrived
// before is passed on too.
func follow(arrived <-chan *nats.Msg, stopped, closed <-chan struct{}, see func(*chivev1.Envelope)) {
	pass := func(m *nats.Msg) {
		if e, err := messages.Decode(m.Data); err == nil { // a newer node's event may not decode
			see(e)
		}
	}
	for {
		select {
		case m := <-arrived:
			pass(m)
		case <-stopped:
			return
		case <-closed:
			for {
				select {
				case m := <-arrived:
					pass(m)
				default:
					return
				}
			}
		}
	}
}

// Gone is closed when the node went away and every follower has seen its last
// event.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }
