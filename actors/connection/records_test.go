package connection

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// stream is a connection that is no socket: what it reads comes from a reader,
// and what is written is kept.
type stream struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.out.Write(p) }

func tlsRecord(n int) []byte {
	r := append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	for i := range n {
		r[tlsHeader+i] = byte(i)
	}
	return r
}

// However the bytes arrive, Read gives those of one record at a time, and
// `another` tells the truth about the next.
func TestReadKeepsToRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.IntRange(0, 18000), 1, 12).Draw(t, "lengths")
		var all []byte
		ends := map[int]bool{0: true}
		for _, n := range lengths {
			all = append(all, tlsRecord(n)...)
			ends[len(all)] = true
		}
		var in io.Reader = bytes.NewReader(all)
		switch rapid.IntRange(0, 2).Draw(t, "arrival") {
		case 1:
			in = iotest.HalfReader(in)
		case 2:
			in = iotest.OneByteReader(in)
		}
		r := newRecordConn(&stream{in: in})
		var got []byte
		p := make([]byte, rapid.IntRange(1, 20000).Draw(t, "read size"))
		for {
			start := len(got)
			if r.another() && !ends[start] {
				t.Fatalf("another record at byte %d, inside one", start)
			}
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			for at := start + 1; at < len(got); at++ {
				if ends[at] {
					t.Fatalf("one Read gave bytes on both sides of a record's end at %d", at)
				}
			}
			if err != nil {
				if err != io.EOF {
					t.Fatal(err)
				}
				break
			}
		}
		if !bytes.Equal(got, all) {
			t.Fatal("the bytes are not what came")
		}
	})
}

// A read that must not wait gives nothing rather than a part of a record.
func TestReadAtOnce(t *testing.T) {
	whole := tlsRecord(40)
	r := newRecordConn(&stream{in: bytes.NewReader(append(bytes.Clone(whole), whole[:20]...))})
	p := make([]byte, 100)
	if n, err := r.Read(p); err != nil || !bytes.Equal(p[:n], whole) {
		t.Fatalf("first record: %d bytes, %v", n, err)
	}
	r.atOnce = true
	_, err := r.Read(p)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, errNotNow) {
		t.Errorf("a part of a record: %v", err)
	}
	r.atOnce = false
	if n, err := io.ReadFull(r, p[:20]); err != nil || !bytes.Equal(p[:n], whole[:20]) {
		t.Errorf("the part is lost: %d bytes, %v", n, err)
	}
}

// Without a socket everything is kept until settle, in order.
func TestSettleSendsWhatWasKept(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	r := newRecordConn(here)
	r.writeAtOnce()
	for _, s := range []string{"one ", "two ", "three"} {
		if n, err := r.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if !r.backlog() {
		t.Fatal("nothing is kept")
	}
	got := make(chan string)
	go func() {
		p := make([]byte, 13)
		_, _ = io.ReadFull(there, p)
		got <- string(p)
	}()
	if err := r.settle(); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "one two three" {
		t.Errorf("the other end got %q", s)
	}
	if r.backlog() {
		t.Error("something is kept still")
	}
	there.Close()
	if _, err := r.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.settle(); err == nil {
		t.Error("settle on a closed connection ends without an error")
	}
}

// A socket gets what was written between hold and release at once, and what it does not
// take goes with settle, all in order.
func TestHeldRecordsGoTogether(t *testing.T) {
	here, there := sockets(t)
	r := newRecordConn(here)
	r.writeAtOnce()
	var want bytes.Buffer
	write := func(n int) {
		t.Helper()
		p := bytes.Repeat([]byte{byte(want.Len())}, n)
		want.Write(p)
		if got, err := r.Write(p); got != n || err != nil {
			t.Fatalf("Write: %d, %v", got, err)
		}
	}
	write(10)
	if r.backlog() {
		t.Error("a record alone is kept")
	}
	r.hold()
	write(1000)
	write(2000)
	if len(r.kept) != 3000 {
		t.Errorf("%d bytes are held, want 3000", len(r.kept))
	}
	write(mostHeld)
	if r.backlog() {
		t.Error("more is held than goes with one write")
	}
	write(5)
	if err := r.release(); err != nil || r.backlog() {
		t.Errorf("after release: %v, backlog %v", err, r.backlog())
	}
	r.hold()
	for !r.full {
		write(mostHeld / 3)
	}
	if err := r.release(); err != nil || !r.backlog() {
		t.Errorf("a full socket took all (%v)", err)
	}
	write(7)
	got := make(chan []byte)
	go func() {
		p := make([]byte, want.Len())
		n, _ := io.ReadFull(there, p)
		got <- p[:n]
	}()
	if err := r.settle(); err != nil || r.backlog() {
		t.Errorf("settle: %v, backlog %v", err, r.backlog())
	}
	if !bytes.Equal(<-got, want.Bytes()) {
		t.Error("the other end got something else")
	}
	here.Close()
	r.hold()
	write(1)
	if err := r.release(); err == nil {
		t.Error("release to a closed socket ends without an error")
	}
}

// sockets are both ends of a TCP connection.
func sockets(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
