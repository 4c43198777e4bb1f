package connection

import (
	"crypto/tls"
	"encoding/binary"
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

// While the socket takes nothing, cells that come one by one share the blocks of their circuit,
// in their order, and a circuit's first few need no whole one.
func TestCellsThatWaitShareBlocks(t *testing.T) {
	const whole, small = block.Size, block.SmallSize
	for name, tt := range map[string]struct {
		circuits, cells int
		most            int64 // bytes
	}{
		"one circuit":   {1, 4 + 3*block.CellsPerBlock, small + 3*whole},
		"many circuits": {100, 400, 100 * small},
		"a few more":    {10, 50, 10 * (small + whole)},
	} {
		t.Run(name, func(t *testing.T) {
			before, blocks := block.Memory(), block.Outstanding()
			l := newLink("x", dialled{}, nil, time.Now())
			l.stuck = true
			for i := range tt.cells {
				l.Send(outgoing(cell.CircID(1+i%tt.circuits), i/tt.circuits, 1))
			}
			if held := block.Memory() - before; held > tt.most {
				t.Errorf("%d bytes are kept, want at most %d", held, tt.most)
			}
			next, came := map[cell.CircID]int{}, 0
			for b, ok := l.queue.Next(); ok; b, ok = l.queue.Next() {
				for rest := b.Bytes; len(rest) > 0; rest = rest[cell.FixedLen:] {
					id := cell.CircID(binary.BigEndian.Uint32(rest))
					if number(rest) != next[id] {
						t.Fatalf("circuit %d: cell %d where %d was due", id, number(rest), next[id])
					}
					next[id]++
					came++
				}
				b.Free()
			}
			if came != tt.cells || block.Outstanding() != blocks {
				t.Errorf("%d cells of %d, %d blocks are left", came, tt.cells, block.Outstanding()-blocks)
			}
		})
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
