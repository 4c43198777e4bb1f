package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"chive/tor/cell"
)

// Floors: what the standard library takes for the arithmetic, and the kernel for the bytes,
// that a cell cannot do without. In ns a cell, as package main's layers read them.

const (
	recordCells = 31
	recordSize  = recordCells * cell.FixedLen
	socketSize  = 64 << 10
	socketCells = socketSize / float64(cell.FixedLen)
)

func perCell(b *testing.B, cells float64) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/cells, "ns/cell")
}

func newAES(b *testing.B) cipher.Block {
	b.Helper()
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	return block
}

// BenchmarkStandardTor1 is three AES-128-CTR layers and the running SHA-1 digest by the
// standard library.
func BenchmarkStandardTor1(b *testing.B) {
	var streams [3]cipher.Stream
	for i := range streams {
		streams[i] = cipher.NewCTR(newAES(b), make([]byte, aes.BlockSize))
	}
	digest := sha1.New()
	body, sum := make([]byte, cell.BodyLen), make([]byte, 0, sha1.Size)
	for b.Loop() {
		for _, s := range streams {
			s.XORKeyStream(body, body)
		}
		_, _ = digest.Write(body)
		sum = digest.Sum(sum[:0])
	}
}

func newGCM(b *testing.B) cipher.AEAD {
	b.Helper()
	gcm, err := cipher.NewGCM(newAES(b))
	if err != nil {
		b.Fatal(err)
	}
	return gcm
}

// BenchmarkFloorTLS is a record's AES-128-GCM.
func BenchmarkFloorTLS(b *testing.B) {
	gcm := newGCM(b)
	record, nonce := make([]byte, recordSize, recordSize+gcm.Overhead()), make([]byte, gcm.NonceSize())
	for b.Loop() {
		gcm.Seal(record[:0], nonce, record, nil)
	}
	perCell(b, recordCells)
}

// memory is a connection of which both ends are here; a read of nothing is an end.
type memory struct {
	net.Conn
	in *[]byte
}

func (m memory) Read(p []byte) (int, error) {
	if len(*m.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, *m.in)
	*m.in = (*m.in)[n:]
	return n, nil
}

func (m memory) SetDeadline(time.Time) error      { return nil }
func (m memory) SetWriteDeadline(time.Time) error { return nil }

// sink takes what is written and keeps it if it is told to.
type sink struct {
	memory
	keep bool
	out  *[]byte
}

func (s sink) Write(p []byte) (int, error) {
	if s.keep {
		*s.out = append(*s.out, p...)
	}
	return len(p), nil
}

// tlsPair is both ends of a TLS connection after the handshake: what the server writes is
// in wire, and the client reads it from there.
func tlsPair(b *testing.B) (server, client *tls.Conn, wire *[]byte) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := net.Pipe()
	wire = new([]byte)
	a, z := &swap{Conn: ours}, &swap{Conn: theirs}
	server = tls.Server(a, &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		SessionTicketsDisabled: true,
	})
	client = tls.Client(z, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // both ends are here
	failed := make(chan error, 1)
	go func() { failed <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-failed; err != nil {
		b.Fatal(err)
	}
	a.Conn, z.Conn = sink{out: wire, keep: true}, memory{in: wire}
	return server, client, wire
}

// swap is a connection whose other end can be replaced.
type swap struct{ net.Conn }

// BenchmarkTLSWrite is a record through crypto/tls, to nowhere.
func BenchmarkTLSWrite(b *testing.B) {
	server, _, wire := tlsPair(b)
	record := make([]byte, recordSize)
	for b.Loop() {
		*wire = (*wire)[:0]
		if _, err := server.Write(record); err != nil {
			b.Fatal(err)
		}
	}
	perCell(b, recordCells)
}

// BenchmarkTLSRead is a record through crypto/tls, from memory.
func BenchmarkTLSRead(b *testing.B) {
	server, client, wire := tlsPair(b)
	record, buf := make([]byte, recordSize), make([]byte, socketSize)
	const ahead = 64 // records that are written while the clock stands
	for i := range b.N {
		if i%ahead == 0 {
			b.StopTimer()
			*wire = make([]byte, 0, ahead*(recordSize+64))
			for range ahead {
				if _, err := server.Write(record); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
		for got := 0; got < recordSize; {
			n, err := client.Read(buf)
			if got += n; err != nil {
				b.Fatal(err)
			}
		}
	}
	perCell(b, recordCells)
}

// BenchmarkFloorBatchHop is a batch through two goroutines, by channels.
func BenchmarkFloorBatchHop(b *testing.B) {
	first, second, arrived := make(chan *[recordCells]int, 1), make(chan *[recordCells]int, 1), make(chan struct{}, 1)
	go func() {
		defer close(second)
		for m := range first {
			second <- m
		}
	}()
	go func() {
		for range second {
			arrived <- struct{}{}
		}
	}()
	defer close(first)
	m := &[recordCells]int{}
	for b.Loop() {
		first <- m
		<-arrived
	}
	perCell(b, recordCells)
}

// BenchmarkFloorSocketRead and BenchmarkFloorSocketWrite are the kernel's part, on loopback:
// who writes pays for the way to the receiver's queue, who reads copies from there.
func BenchmarkFloorSocketRead(b *testing.B)  { benchmarkSocket(b, false) }
func BenchmarkFloorSocketWrite(b *testing.B) { benchmarkSocket(b, true) }

func benchmarkSocket(b *testing.B, write bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	from, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, socketSize)
	var took time.Duration
	for range b.N {
		begin := time.Now()
		if _, err := from.Write(buf); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := io.ReadFull(to, buf); err != nil {
			b.Fatal(err)
		}
		if write {
			took += middle.Sub(begin)
		} else {
			took += time.Since(middle)
		}
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/socketCells, "ns/cell")
}
