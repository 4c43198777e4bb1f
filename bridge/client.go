package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"chive/messages"
	"chive/messages/chivev1"
)

// ErrNoNode means that no node runs with that data directory.
var ErrNoNode = errors.New("no chive runs with that DataDirectory")

// Client is the command line's connection to a running node.
type Client struct {
	nc     *nats.Conn
	prefix string // chive.v1.<fleet>.<node>
}

type unixDialer struct{ path string }

// Dial ignores the address: there is one node.
func (d unixDialer) Dial(_, _ string) (net.Conn, error) { return net.Dial("unix", d.path) }

// Connect reaches the node of a data directory.
func Connect(ctx context.Context, dataDir string) (*Client, error) {
	seed, err := os.ReadFile(filepath.Join(dataDir, controlSeed))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s)", ErrNoNode, dataDir)
	}
	if err != nil {
		return nil, err
	}
	user, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", controlSeed, err)
	}
	key, err := user.PublicKey()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect("nats://chive", nats.SetCustomDialer(unixDialer{filepath.Join(dataDir, controlSocket)}),
		nats.Nkey(key, user.Sign), nats.Timeout(3*time.Second), nats.NoReconnect(), nats.Name("chive command line"))
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNoNode, dataDir, err)
	}
	c := &Client{nc: nc}
	if err := c.discover(ctx); err != nil {
		nc.Close()
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
	m, err := c.nc.RequestWithContext(ctx, subject, nil)
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

// Request asks the node a verb.
func (c *Client) Request(ctx context.Context, verb string, request []byte) ([]byte, error) {
	m, err := c.nc.RequestWithContext(ctx, c.prefix+".ctl."+verb, request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return nil, fmt.Errorf("%s: %s", verb, text)
	}
	return m.Data, nil
}

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
// returned function is called.
func (c *Client) Follow(see func(*chivev1.Envelope)) (stop func() error, err error) {
	sub, err := c.nc.Subscribe(c.prefix+".evt.>", func(m *nats.Msg) {
		if e, err := messages.Decode(m.Data); err == nil {
			see(e)
		}
	})
	if err != nil {
		return nil, err
	}
	return sub.Unsubscribe, c.nc.Flush()
}

// Gone is closed when the node went away.
func (c *Client) Gone() <-chan struct{} {
	ch := make(chan struct{})
	c.nc.SetClosedHandler(func(*nats.Conn) { close(ch) })
	return ch
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }
