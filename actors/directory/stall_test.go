package directory

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// stalled answers half of the first document and then says nothing more; after
// that it is a good network.
type stalled struct {
	*network
	dials int
}

// DialDir implements Dialer.
func (s *stalled) DialDir(ctx context.Context, t Target) (net.Conn, error) {
	s.dials++
	if s.dials > 1 {
		return s.network.DialDir(ctx, t)
	}
	ours, theirs := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		if _, err := theirs.Read(buf); err != nil {
			return
		}
		_, _ = theirs.Write(append([]byte("HTTP/1.0 200 OK\r\n\r\n"), s.docs.Consensus[:len(s.docs.Consensus)/2]...))
		_, _ = theirs.Read(buf) // until the other end has had enough
		_ = theirs.Close()
	}()
	return ours, nil
}

// A directory that stalls in the middle of a document is given up when its time
// is over, told as a timeout, and another one is asked.
func TestStalledDownload(t *testing.T) {
	docs := documents()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &stalled{network: &network{docs: docs}}
		b := newBench(t, s.network, dir, duringValidity(docs))
		b.o.Dialer = s
		begin := time.Now()
		if err := b.once(t); err == nil || b.consensus != nil {
			t.Fatalf("err %v, accepted %v", err, b.consensus != nil)
		}
		if took := time.Since(begin); took != fetchTime {
			t.Errorf("given up after %v, want %v", took, fetchTime)
		}
		if got := b.rejected(); len(got) != 1 || got[0] != "timeout" {
			t.Errorf("rejected as %v, want timeout", got)
		}
		if shunned := len(b.shunned); shunned != 1 {
			t.Errorf("%d directories are not asked again soon, want 1", shunned)
		}
		if err := b.once(t); err != nil || !b.enough() {
			t.Errorf("another directory afterwards: %v", err)
		}
	})
}
