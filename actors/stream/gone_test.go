package stream

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"chive/actors/block"
	"chive/internal/rawio"
	"chive/messages/chivev1"
)

// reset has the application go with a reset, and waits until that has arrived.
func (r *rig) reset() {
	r.t.Helper()
	raw, err := r.ours.SyscallConn()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.app.SetLinger(0); err != nil {
		r.t.Fatal(err)
	}
	if err := r.app.Close(); err != nil {
		r.t.Fatal(err)
	}
	for gone := false; !gone; {
		if raw.Control(func(fd uintptr) { gone = rawio.Look(fd) == rawio.Gone }) != nil {
			return // closed here already
		}
	}
}

// An application that ends its connection, whatever it is that finds out, has cancelled its
// stream: its socket did not fail.
func TestApplicationGoesWhileItIsWrittenTo(t *testing.T) {
	// unread is a stream whose reader waits for the circuit, so that the writer is first to know.
	unread := func(t *testing.T) *rig {
		r := newRig(t, nil)
		r.connect()
		for range credits {
			if _, err := r.app.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(told[*block.Block](r).Free)
		}
		return r
	}
	t.Run("when it is told that it is connected", func(t *testing.T) {
		r := newRig(t, nil)
		r.reset()
		r.tell(&Connected{})
		r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
	})
	t.Run("at the next data", func(t *testing.T) {
		r := unread(t)
		r.reset()
		r.data("answer", 1)
		r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
	})
	t.Run("while it reads nothing", func(t *testing.T) {
		r := unread(t)
		for range 2000 { // more than there is room for
			r.data(strings.Repeat("x", 498), 1)
		}
		r.handled()
		r.reset()
		r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
	})
	t.Run("before what it serves has come", func(t *testing.T) {
		let := make(chan error, 1)
		r := serving(t, let)
		r.data("early", 1)
		r.handled()
		r.reset()
		let <- nil
		r.finished(chivev1.Outcome_OUTCOME_CANCELLED, true, false)
	})
}

// What an error of the application's socket means for its stream.
func TestSocketEnd(t *testing.T) {
	const cancelled, failed = chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_CLIENT_IO
	for _, tt := range []struct {
		err  error
		want chivev1.Outcome
	}{
		{syscall.EPIPE, cancelled},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ECONNRESET)}, cancelled},
		{fmt.Errorf("read: %w", net.ErrClosed), cancelled},
		{syscall.ETIMEDOUT, failed},
		{syscall.ENOTCONN, failed},
		{io.ErrShortWrite, failed},
	} {
		if got := socketEnd(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
