package hosting

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"chive/actors/stream"
)

// allowance bounds the sockets to applications that clients of all services of this process
// have at once. One client may begin tens of thousands of streams, and without files
// that may be opened there are neither guards nor listeners.
type allowance struct {
	most int64
	used atomic.Int64
}

// sockets is what the system allows, but for a quarter that is the node's own.
var sockets = sync.OnceValue(func() *allowance {
	const enough = 1 << 20 // where it allows any number
	a := &allowance{most: enough}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		a.most = int64(min(uint64(files.Cur), enough)) / 4 * 3
	}
	return a
})

// dial takes one for a connection, until that is closed. Error: stream.ErrFull, and those of
// the connection.
func (a *allowance) dial(connect func() (net.Conn, error)) (stream.Conn, error) {
	if a.used.Add(1) > a.most {
		a.used.Add(-1)
		return nil, stream.ErrFull
	}
	c, err := connect()
	if err != nil {
		a.used.Add(-1)
		return nil, err
	}
	free := sync.OnceFunc(func() { a.used.Add(-1) })
	if unix, ok := c.(*net.UnixConn); ok {
		return &unixSocket{unix, free}, nil
	}
	return &tcpSocket{c.(*net.TCPConn), free}, nil
}

type (
	tcpSocket struct {
		*net.TCPConn
		free func()
	}
	unixSocket struct {
		*net.UnixConn
		free func()
	}
)

// Close implements net.Conn.
func (s *tcpSocket) Close() error {
	defer s.free()
	return s.TCPConn.Close()
}

// Close implements net.Conn.
func (s *unixSocket) Close() error {
	defer s.free()
	return s.UnixConn.Close()
}
