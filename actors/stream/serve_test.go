package stream

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

// serving is a stream that a client of ours began; its application answers when it is let.
func serving(t *testing.T, let chan error) *rig {
	t.Helper()
	return newRig(t, func(s *Spec) {
		conn := s.Conn
		s.Conn, s.Front, s.Target = nil, nil, ""
		s.Serve = func(ctx context.Context) (Conn, error) {
			select {
			case err := <-let:
				if err != nil {
					_ = conn.Close()
					return nil, err
				}
				return conn, nil
			case <-ctx.Done():
				_ = conn.Close()
				return nil, ctx.Err()
			}
		}
	})
}

func (r *rig) hear() any {
	r.t.Helper()
	for {
		m := told[any](r)
		if _, gone := m.(*actor.Terminated); !gone {
			return m
		}
	}
}

// However soon the application answers, the circuit is told by the number of the stream.
func TestServedAtOnce(t *testing.T) {
	attached := make(chan bool, 1)
	var r *rig
	built := make(chan struct{})
	r = newRig(t, func(s *Spec) {
		conn := s.Conn
		s.Conn, s.Front, s.Target = nil, nil, ""
		s.Serve = func(context.Context) (Conn, error) {
			<-built
			r.mu.Lock()
			defer r.mu.Unlock()
			attached <- slices.ContainsFunc(r.events, func(e *chivev1.Envelope) bool { return e.GetStreamAttached() != nil })
			return conn, nil
		}
	})
	close(built)
	if m, ok := r.hear().(*Accepted); !ok || m.Stream != 7 {
		t.Errorf("%+v", m)
	}
	if !<-attached {
		t.Error("the application is asked before the stream has a number")
	}
	r.tell(&CircuitGone{})
}

// What a client sends before the application is there comes first; what it answers goes
// back, and its end ends the stream at once.
func TestServed(t *testing.T) {
	let := make(chan error, 1)
	r := serving(t, let)
	r.data("early ", 1)
	let <- nil
	if m, ok := r.hear().(*Accepted); !ok || m.Stream != 7 {
		t.Fatalf("%T", m)
	}
	r.data("late", 1)
	got := make([]byte, len("early late"))
	if _, err := io.ReadFull(r.app, got); err != nil || string(got) != "early late" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := io.WriteString(r.app, "answer"); err != nil {
		t.Fatal(err)
	}
	if err := r.app.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	for {
		switch m := r.hear().(type) {
		case *block.Block:
			answer.Write(m.Bytes)
			m.Free()
			continue
		case *Finish:
			if !m.End || m.Back || m.Outcome != chivev1.Outcome_OUTCOME_OK || answer.String() != "answer" {
				t.Errorf("%+v after %q", m, answer.String())
			}
		default:
			t.Errorf("%T", m)
		}
		return
	}
}

// An application that is not there, and a client that does not wait.
func TestNotServed(t *testing.T) {
	let := make(chan error, 1)
	r := serving(t, let)
	r.data("early", 1)
	let <- &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	if m, ok := r.hear().(*Finish); !ok || !m.End || m.Back || m.Outcome != chivev1.Outcome_OUTCOME_TARGET_REFUSED {
		t.Errorf("%+v", m)
	}
	for _, full := range []error{ErrFull, &net.OpError{Op: "dial", Err: syscall.EMFILE}} {
		let := make(chan error, 1)
		let <- full
		if m, ok := serving(t, let).hear().(*Finish); !ok || !m.End || m.Outcome != chivev1.Outcome_OUTCOME_OVERLOADED {
			t.Errorf("%v: %+v", full, m)
		}
	}
	r = serving(t, make(chan error))
	r.tell(&Ended{Reason: cell.EndMisc})
	if m, ok := r.hear().(*Finish); !ok || m.End || m.Back || m.Outcome != chivev1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("%+v", m)
	}
	r = serving(t, make(chan error))
	r.tell(&CircuitGone{Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	if m, ok := r.hear().(*Finish); !ok || m.Back || m.Outcome != chivev1.Outcome_OUTCOME_DESTROYED {
		t.Errorf("a client's stream is tried on another circuit: %+v", m)
	}
}

// A client gives no reason for his end: it is an orderly one.
func TestClientEnds(t *testing.T) {
	let := make(chan error, 1)
	let <- nil
	r := serving(t, let)
	r.hear()
	r.tell(&Ended{Reason: cell.EndMisc})
	if got, err := io.ReadAll(r.app); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if m, ok := r.hear().(*Finish); !ok || m.Outcome != chivev1.Outcome_OUTCOME_OK {
		t.Errorf("%+v", m)
	}
}

// program is a Conn whose application says when it closes.
type program struct {
	*net.TCPConn
	closed chan struct{}
}

func (p program) Closed() <-chan struct{} { return p.closed }

// A program that has no more to send still reads what its client says, and the client is
// told at once when it closes; one that closes without more ado ends the stream at once.
func TestServedByAProgram(t *testing.T) {
	for name, half := range map[string]bool{"half-close": true, "close": false} {
		t.Run(name, func(t *testing.T) {
			let, over, attached := make(chan error, 1), make(chan struct{}), make(chan uint32, 1)
			r := newRig(t, func(s *Spec) {
				conn := program{s.Conn.(*net.TCPConn), over}
				s.Conn, s.Front, s.Target = nil, nil, ""
				s.Serve = func(context.Context) (Conn, error) {
					attached <- s.Attempt
					return conn, <-let
				}
			})
			if <-attached != 1 {
				t.Error("dialled before the stream was attached")
			}
			let <- nil
			if m, ok := r.hear().(*Accepted); !ok {
				t.Fatalf("%T", m)
			}
			if !half {
				close(over)
			}
			if err := r.app.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if half {
				r.data("late", 1)
				r.read("late")
				close(over)
			}
			r.finished(chivev1.Outcome_OUTCOME_OK, true, false)
		})
	}
}

// What a client sends before the application is there, a byte at a time, does not hold a block
// for each; and all of it comes, in its order, when the application does.
func TestEarlyPiecesShareBlocks(t *testing.T) {
	const pieces = 2000
	let := make(chan error, 1)
	r := serving(t, let)
	var want strings.Builder
	for i := range pieces {
		b := block.GetLarge(block.DataIn)
		b.Bytes, b.Cells = append(b.Buf[:0], byte(i), byte(i>>8)), 1
		want.Write(b.Bytes)
		r.tell(b)
	}
	r.handled()
	if n := block.Outstanding() - r.before; n != 1 {
		t.Errorf("%d bytes hold %d blocks", 2*pieces, n)
	}
	let <- nil
	told[*Accepted](r)
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(r.app, got); err != nil || string(got) != want.String() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if m := told[*Consumed](r); m.Cells != pieces || m.Bytes != 2*pieces {
		t.Errorf("%+v", m)
	}
	r.tell(&CircuitGone{})
}

// A stream whose application is not there yet keeps what its client sends, and lets go of it
// when memory is short.
func TestEarlyDataIsShed(t *testing.T) {
	const limit = 4 << 20
	block.LimitMemory(block.Memory() + limit)
	defer block.LimitMemory(0)
	r := serving(t, make(chan error))
	for range 2 * limit / block.LargeSize {
		b := block.GetLarge(block.DataIn)
		b.Bytes, b.Cells = b.Buf[:], 1
		r.tell(b)
	}
	if m, ok := r.hear().(*Finish); !ok || !m.End || !m.Drop || m.Back || m.Outcome != chivev1.Outcome_OUTCOME_OVERLOADED {
		t.Errorf("%+v", m)
	}
}

// What has to wait on when the application is there is let go of as well.
func TestEarlyDataThatWaitsOn(t *testing.T) {
	let := make(chan error, 1)
	r := serving(t, let)
	const blocks = 100 // more than the sockets take
	for range blocks {
		b := block.GetLarge(block.DataIn)
		b.Bytes, b.Cells = b.Buf[:], 1
		r.tell(b)
	}
	let <- nil
	told[*Accepted](r)
	r.handled()
	before := block.Memory()
	if before <= 0 || before > blocks*block.LargeSize {
		t.Errorf("%d bytes are kept", before)
	}
	block.LimitMemory(before / 2)
	defer block.LimitMemory(0)
	if m := told[*Finish](r); !m.Drop || m.Outcome != chivev1.Outcome_OUTCOME_OVERLOADED {
		t.Errorf("%+v", m)
	}
}
