package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/directory"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
)

// dirDialer opens BEGIN_DIR streams over one-hop circuits. The stream actor's
// end and the caller's are the two ends of a socket pair, so that directory
// streams take the same path as all others.
type dirDialer struct {
	n    *Node
	node *actor.PID
}

// dirFront hears how the stream fared.
type dirFront struct {
	once   sync.Once
	result chan chivev1.Outcome
}

func (f *dirFront) Connected(netip.Addr) []byte {
	f.once.Do(func() { f.result <- chivev1.Outcome_OUTCOME_OK })
	return nil
}

// Resolved never happens: directory streams ask for no names.
func (f *dirFront) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) {
	return f.Refused(chivev1.Outcome_OUTCOME_INTERNAL), chivev1.Outcome_OUTCOME_INTERNAL
}

func (f *dirFront) Refused(o chivev1.Outcome) []byte {
	f.once.Do(func() { f.result <- o })
	return nil
}

// DialDir implements directory.Dialer.
func (d *dirDialer) DialDir(ctx context.Context, t directory.Target) (net.Conn, error) {
	hop := &circuit.Hop{RSA: t.Identity, Ed25519: t.Ed25519, NtorKey: t.NtorKey, IPv4: t.IPv4, IPv6: t.IPv6}
	return d.dial(ctx, chivev1.Purpose_PURPOSE_DIRECTORY, func(spec *stream.Spec) any {
		return &circuits.Request{Spec: spec, Directory: hop, Recorder: d.n.recorder}
	})
}

// dial opens a stream that request has put on a circuit.
func (d *dirDialer) dial(ctx context.Context, purpose chivev1.Purpose, request func(*stream.Spec) any) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", &directory.DialError{Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED}, err)
	}
	front := &dirFront{result: make(chan chivev1.Outcome, 1)}
	spec := &stream.Spec{
		ID: messages.RandomID(), Conn: theirs, Purpose: purpose,
		Front: front, Requested: d.n.o.Now(),
	}
	spec.Cause = d.n.recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{
		Purpose: spec.Purpose, Isolation: spec.Isolation.Name(),
	}), "", spec.ID))
	d.n.system.Root.Send(d.node, request(spec))
	select {
	case o := <-front.result:
		if o == chivev1.Outcome_OUTCOME_OK {
			return ours, nil
		}
		_ = ours.Close()
		return nil, &directory.DialError{Outcome: o}
	case <-ctx.Done():
		_ = ours.Close() // the stream ends when it notices
		return nil, ctx.Err()
	}
}

// carried sends a request to the directory at the end of an owner's circuit, and reads what
// it answers.
func carried[T any](ctx context.Context, d *dirDialer, purpose chivev1.Purpose, on *circuits.Carry, request []byte, read func(io.Reader) (T, error)) (answer T, err error) {
	conn, err := d.dial(ctx, purpose, func(spec *stream.Spec) any {
		on.Spec = spec
		return on
	})
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(request); err != nil {
		return answer, fmt.Errorf("ask a directory: %w", errors.Join(ctx.Err(), err))
	}
	if answer, err = read(conn); err != nil {
		return answer, errors.Join(ctx.Err(), err)
	}
	return answer, nil
}

func socketPair() (ours, theirs *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, failed := net.FileConn(f)
		_ = f.Close() // FileConn has its own copy
		if failed != nil {
			err = errors.Join(err, failed)
			continue // the other end is to be closed, too
		}
		conns[i] = c.(*net.UnixConn)
	}
	if err != nil {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return conns[0], conns[1], nil
}
