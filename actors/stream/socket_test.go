package stream

import (
	"io"
	"net"
	"runtime"
	"slices"
	"testing"

	"chive/actors/block"
)

// sent is what an application has sent before anybody reads, and its end.
func sent(t *testing.T, bytes int) *socket {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	app, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	_ = ours.(*net.TCPConn).SetReadBuffer(1 << 20)
	if _, err := app.Write(make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(ours.(*net.TCPConn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An application that sends faster than one block at a time is read in large ones, as long
// as the circuit takes them at once.
func TestFastApplicationIsReadInLargeBlocks(t *testing.T) {
	const size = block.MaxData + block.MaxLargeData + 1000
	s := sent(t, size)
	var sizes []int
	err := s.read(func(b *block.Block) {
		sizes = append(sizes, len(b.Bytes))
		b.Free()
	})
	if want := []int{block.MaxData, block.MaxLargeData, 1000}; err != io.EOF || !slices.Equal(sizes, want) {
		t.Errorf("blocks of %v bytes (%v), want %v", sizes, err, want)
	}
}

// What the circuit does not take is kept in small blocks, and no more than the credit.
func TestSlowCircuitKeepsSmallBlocks(t *testing.T) {
	s := sent(t, 4*block.LargeSize)
	posted := make(chan *block.Block, 10)
	ended := make(chan error)
	go func() { ended <- s.read(func(b *block.Block) { posted <- b }) }()
	kept := []*block.Block{<-posted, <-posted}
	for s.blocked.Load() == 0 {
		if len(posted) > 0 {
			t.Fatal("a third block came without credit")
		}
		runtime.Gosched()
	}
	close(s.stop)
	if err := <-ended; err != net.ErrClosed {
		t.Errorf("ended with %v", err)
	}
	for _, b := range kept {
		if len(b.Bytes) != block.MaxData || len(b.Buf) != block.Size {
			t.Errorf("a block of %d bytes, %d in use", len(b.Buf), len(b.Bytes))
		}
		b.Free()
	}
}
