package main

import (
	"context"
	"fmt"
	"io"
	"net"
)

// targetPort is where every target of the collapsed network listens.
const targetPort = 80

// carry moves size bytes over one stream of a SOCKS user to a target of the collapsed
// network, without what HTTP would cost.
func carry(ctx context.Context, socks, user, target string, size int64, up bool) error {
	c, err := socksDial(ctx, socks, user, target)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	buf := make([]byte, 256<<10)
	if up {
		return upload(c, size, buf)
	}
	var got int64
	for {
		n, err := c.Read(buf)
		got += int64(n)
		switch {
		case err == io.EOF && got == size:
			return nil
		case err != nil:
			return fmt.Errorf("%d of %d bytes: %w", got, size, err)
		}
	}
}

// upload ends when the far end says that it has all.
func upload(c net.Conn, size int64, buf []byte) error {
	for left := size; left > 0; {
		n, err := c.Write(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	_, err := io.ReadFull(c, buf[:1])
	return err
}

// socksDial asks a SOCKS port for a stream (RFC 1928, RFC 1929).
func socksDial(ctx context.Context, socks, user, name string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", socks)
	if err != nil {
		return nil, err
	}
	const version, password = 5, 2
	credentials := append([]byte{1, byte(len(user))}, user...)
	request := append([]byte{version, 1, 0, 3, byte(len(name))}, name...)
	for _, step := range []struct {
		say    []byte
		answer int // bytes; the second is 0, or in the first the method
	}{
		{[]byte{version, 1, password}, 2},
		{append(credentials, 1, 'x'), 2},
		{append(request, 0, targetPort), 10}, // with an IPv4 address
	} {
		var reply [10]byte
		if _, err = c.Write(step.say); err == nil {
			_, err = io.ReadFull(c, reply[:step.answer])
		}
		if err == nil && reply[1] != 0 && reply[1] != password {
			err = fmt.Errorf("SOCKS reply %d", reply[1])
		}
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("stream to %s: %w", name, err)
		}
	}
	return c, nil
}
