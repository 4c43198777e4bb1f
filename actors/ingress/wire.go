package ingress

import (
	"io"
	"syscall"

	"chive/actors/stream"
	"chive/internal/rawio"
)

// wire is an application's socket during its dialogue. Its calls wait in the runtime's
// poller only: a dialogue is a few bytes at a time, for each of which an ordinary system
// call would wake the runtime's watching thread. The socket's deadlines hold.
type wire struct {
	raw         syscall.RawConn
	p           []byte
	done        int
	err         error
	read, write func(fd uintptr) (done bool) // made once
}

func newWire(c stream.Conn) (*wire, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{raw: raw}
	w.read = func(fd uintptr) bool {
		w.done, w.err = rawio.Read(fd, w.p)
		return w.err != syscall.EAGAIN
	}
	w.write = func(fd uintptr) bool {
		var n int
		n, w.err = rawio.Write(fd, w.p[w.done:])
		w.done += n
		return w.err != syscall.EAGAIN && (w.err != nil || w.done == len(w.p))
	}
	return w, nil
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	w.p, w.done, w.err = p, 0, nil
	if err := w.raw.Read(w.read); err != nil {
		return 0, err
	}
	if w.done == 0 && w.err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return w.done, w.err
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	w.p, w.done, w.err = p, 0, nil
	if err := w.raw.Write(w.write); err != nil {
		return w.done, err
	}
	return w.done, w.err
}
