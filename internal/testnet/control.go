package testnet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A control speaks tor's control protocol over the unix socket in a data
// directory that only this user can enter, so without authentication.
type control struct {
	conn net.Conn
	r    *bufio.Reader
}

const maxControlReply = 1 << 20

func dialControl(ctx context.Context, path string) (*control, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c := &control{conn: conn, r: bufio.NewReader(io.LimitReader(conn, maxControlReply))}
	if _, err := c.command("AUTHENTICATE"); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *control) Close() error { return c.conn.Close() }

func (c *control) line() (string, error) {
	l, err := c.r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("control socket: %w", err)
	}
	return strings.TrimRight(l, "\r\n"), nil
}

// command sends one line and gives the reply's lines without their codes. Events
// that come between are dropped.
func (c *control) command(line string) ([]string, error) {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var out []string
	for {
		l, err := c.line()
		if err != nil {
			return nil, err
		}
		if len(l) < 4 {
			return nil, fmt.Errorf("control socket: short line %q", l)
		}
		if strings.HasPrefix(l, "650") {
			continue
		}
		if l[0] != '2' {
			return nil, fmt.Errorf("control command %q: %s", line, l)
		}
		out = append(out, l[4:])
		switch l[3] {
		case ' ':
			return out, nil
		case '+':
			for l != "." {
				if l, err = c.line(); err != nil {
					return nil, err
				}
				out = append(out, l)
			}
		}
	}
}

// event waits up to the given time for one of the events asked for.
func (c *control) event(within time.Duration) (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	for {
		l, err := c.line()
		if err != nil {
			return "", err
		}
		if e, ok := strings.CutPrefix(l, "650 "); ok {
			return e, nil
		}
	}
}

// info is GETINFO for a value of one line.
func (c *control) info(key string) (string, error) {
	out, err := c.command("GETINFO " + key)
	if err != nil {
		return "", err
	}
	v, ok := strings.CutPrefix(out[0], key+"=")
	if !ok {
		return "", fmt.Errorf("control command GETINFO %s: answer %q", key, out[0])
	}
	return v, nil
}
