package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"

	"chive/internal/safego"
	"chive/messages"
)

// maxSocketPath is the kernel's limit for the path of a unix socket, in bytes.
const maxSocketPath = 107

// listenControl serves the command line: every connection to the socket is
// joined to an in-process connection of the server, which asks it for its key.
func (b *Bridge) listenControl() error {
	path := filepath.Join(b.o.DataDir, controlSocket)
	if len(path) > maxSocketPath {
		return fmt.Errorf("DataDirectory is too long for the control socket %s (%d bytes, at most %d): choose a shorter one",
			path, len(path), maxSocketPath)
	}
	// The data directory is locked by this node, so a socket here is stale.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	b.socket = l
	safego.Go("control socket", func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			safego.Go("control connection", func() { b.splice(c) }, b.panicked)
		}
	}, b.panicked)
	return nil
}

// splice joins c to the server until either side closes. What the server sent
// before it closed still reaches c.
func (b *Bridge) splice(c net.Conn) {
	defer c.Close()
	if !b.admit(c) {
		return
	}
	defer b.dismiss(c)
	in, err := b.server.InProcessConn()
	if err != nil {
		return
	}
	defer in.Close()
	answered := make(chan struct{})
	safego.Go("control answers", func() {
		defer close(answered)
		_, _ = io.Copy(c, in) // either end closing ends both
		_ = c.Close()
	}, b.panicked)
	_, _ = io.Copy(in, c)
	_ = in.Close()
	<-answered
}

func (b *Bridge) admit(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.splices[c] = struct{}{}
	b.spliced.Add(1)
	return true
}

func (b *Bridge) dismiss(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.splices, c)
	b.spliced.Done()
}

// endControl ends the control connections once the server has closed its side:
// by themselves, or cut when a peer does not read.
func (b *Bridge) endControl(ctx context.Context) {
	done := make(chan struct{})
	safego.Go("control end", func() { b.spliced.Wait(); close(done) }, b.panicked)
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	b.mu.Lock()
	for c := range b.splices {
		_ = c.Close() // the command line sees the end
	}
	b.mu.Unlock()
	<-done
}

// answerHistory gives the recent events, each behind its length (4 bytes, big
// endian), newest last, as many as fit one message.
func (b *Bridge) answerHistory([]byte) ([]byte, error) {
	const room = 900 << 10
	b.mu.Lock()
	events := slices.Clone(b.history)
	b.mu.Unlock()
	var wires [][]byte // newest first
	size := 0
	for _, e := range slices.Backward(events) {
		wire, err := messages.Encode(nil, e)
		if err != nil {
			continue // publish told
		}
		if size += len(wire) + 4; size > room {
			break
		}
		wires = append(wires, wire)
	}
	out := make([]byte, 0, min(size, room))
	for _, w := range slices.Backward(wires) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(w)))
		out = append(out, w...)
	}
	return out, nil
}
