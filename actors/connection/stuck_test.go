package connection

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/tor/cell"
)

// A relay that takes little, but something, keeps its connection, however much waits; one that
// takes nothing loses it.
func TestSettleWaitsForASlowRelay(t *testing.T) {
	for name, tt := range map[string]struct {
		reads bool
		takes time.Duration
	}{
		"takes little": {true, 5 * writeTimeout}, "takes nothing": {false, writeTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			r := newRecordConn(ours)
			r.writeAtOnce()
			const rate = 16 << 10 // bytes a second
			all := make([]byte, int(tt.takes/time.Second)*rate)
			if _, err := r.Write(all); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			if !tt.reads {
				close(done)
			} else {
				go func() {
					defer close(done)
					buf := make([]byte, rate)
					for {
						if _, err := io.ReadFull(theirs, buf); err != nil {
							return
						}
						time.Sleep(time.Second) // in synctest: no real time
					}
				}()
			}
			start := time.Now()
			err := r.settle()
			if (err == nil) != tt.reads {
				t.Errorf("%s: after %v: %v", name, time.Since(start), err)
			}
			_ = ours.Close()
			<-done
		})
	}
}

// While the socket takes nothing, cells that come one by one share blocks, in their order.
func TestCellsThatWaitShareBlocks(t *testing.T) {
	before := block.Outstanding()
	l := newLink("x", dialled{}, nil, time.Now())
	l.stuck = true
	const cells = 100
	for i := range cells {
		b := block.Get(block.CellsOut)
		b.Bytes = cell.AppendFixed(b.Buf[:0], cell.CircID(i), cell.Relay, nil)
		l.Send(b)
	}
	next := 0
	for _, b := range l.queue {
		for rest := b.Bytes; len(rest) > 0; rest = rest[cell.FixedLen:] {
			id, _, _, n, err := cell.Next(rest)
			if n != cell.FixedLen || err != nil || id != cell.CircID(next) {
				t.Fatalf("cell %d is of circuit %d: %v", next, id, err)
			}
			next++
		}
	}
	if most := int64(cells/block.CellsPerBlock + 1); next != cells || block.Outstanding()-before > most {
		t.Errorf("%d cells in %d blocks, want at most %d", next, block.Outstanding()-before, most)
	}
	for _, b := range l.queue {
		b.Free()
	}
}

// A connection that is made when nobody wants it any more is closed: its actor has ended.
func TestDialledTooLate(t *testing.T) {
	ours, theirs := net.Pipe()
	records := newRecordConn(ours)
	system := kernel.NewSystem(nil)
	pid := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
	if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(records, &tls.Config{InsecureSkipVerify: true})
	system.Root.Send(pid, &dialDone{res: dialled{conn: conn, records: records}})
	_ = theirs.SetDeadline(time.Now().Add(time.Minute)) // bounds a test that fails
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it is still open: %v", err)
	}
	kernel.Shutdown(system)
}
