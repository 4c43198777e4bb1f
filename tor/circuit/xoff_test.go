package circuit

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"testing"
	"time"

	"chive/tor/cell"
)

// judges are the far ends that may get our XOFFs and XONs, each with its own idea of how many
// explain what it sent (proposal 324 §4.1.4).
type judges struct {
	chive stops
	sent  int // bytes; of C tor's halved now and then
	ctor  struct{ bytes, xoffs, xons int }
	xoffs int
}

func (j *judges) data(bytes int) {
	j.chive.sent(bytes)
	j.sent += bytes
	if j.ctor.bytes >= 10<<20-bytes {
		j.halve()
	}
	j.ctor.bytes += bytes
}

func (j *judges) halve() {
	j.ctor.bytes, j.ctor.xoffs, j.ctor.xons = j.ctor.bytes/2, j.ctor.xoffs/2, j.ctor.xons/2
}

// hears passes judgement on a command.
func (j *judges) hears(command cell.RelayCommand) error {
	if command == cell.RelayXoff {
		return j.xoff()
	}
	return j.xon()
}

func (j *judges) xoff() error {
	if err := j.chive.xoff(testFlow); err != nil {
		return err
	}
	if j.xoffs++; j.xoffs > j.sent/(500*488/2) {
		return fmt.Errorf("Arti: %d XOFFs for %d bytes", j.xoffs, j.sent)
	}
	if j.ctor.xoffs == 200 {
		j.halve()
	}
	if j.ctor.xoffs++; j.ctor.bytes < 500*488*j.ctor.xoffs {
		return fmt.Errorf("C tor: %d XOFFs for %d bytes", j.ctor.xoffs, j.ctor.bytes)
	}
	return nil
}

func (j *judges) xon() error {
	if err := j.chive.xon(testFlow); err != nil {
		return err
	}
	if j.ctor.xons == 200 {
		j.halve()
	}
	if j.ctor.xons++; j.ctor.bytes < 500*488*j.ctor.xons { // the lower of its two numbers
		return fmt.Errorf("C tor: %d XONs for %d bytes", j.ctor.xons, j.ctor.bytes)
	}
	return nil
}

// wide is a set whose legs have much on their way.
type wide struct{ set }

func (*wide) OnTheirWay() int { return 10_000 }

func (w *wide) carry(t *testing.T, p FlowParams) (*Circuit, cell.StreamID) {
	t.Helper()
	c, err := Over(w, p, func() time.Duration { return 0 }, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, id, err := c.Begin(nil, "target.test:80", 0)
	if err == nil {
		_, err = c.Deliver(cell.RelayConnected, id, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.sent = nil
	return c, id
}

// reader is an application that takes what came in its own time, and the far end that stops
// when it is told.
type reader struct {
	t       *testing.T
	c       *Circuit
	id      cell.StreamID
	out     wide
	far     judges
	waiting []int // cells, by size
	bytes   int   // of them
	stopped bool
}

// takes is so many cells, or all that there are.
func (r *reader) takes(cells int) {
	cells = min(cells, len(r.waiting))
	bytes := 0
	for _, n := range r.waiting[:cells] {
		bytes += n
	}
	r.waiting, r.bytes = r.waiting[cells:], r.bytes-bytes
	r.c.Consumed(nil, r.id, cells, bytes)
	r.judge()
}

func (r *reader) gets(size int) {
	r.far.data(size)
	if _, err := r.c.Deliver(cell.RelayData, r.id, make([]byte, size)); err != nil {
		r.t.Fatalf("%d bytes wait: %v", r.bytes, err)
	}
	r.waiting, r.bytes = append(r.waiting, size), r.bytes+size
	r.judge()
}

func (r *reader) judge() {
	for _, command := range r.out.sent {
		r.stopped = command == cell.RelayXoff
		if err := r.far.hears(command); err != nil {
			r.t.Fatalf("%v after %d bytes: %v", command, r.far.sent, err)
		}
	}
	r.out.sent = r.out.sent[:0]
}

// However the far end cuts its data, and however slowly the application reads, no far end
// takes our XOFFs and XONs for more than its data explains; and it never stops for ever.
func TestXoffsAreAlwaysEarned(t *testing.T) {
	const most = 1_500_000 // bytes
	random := mrand.New(mrand.NewPCG(1, 2))
	sizes := map[string]func() int{"mixed": func() int { return 1 + random.IntN(cell.MaxRelayData) }}
	for _, n := range []int{1, 13, 50, 100, 200, 487, cell.MaxRelayDataV1, cell.MaxRelayData} {
		sizes[fmt.Sprint(n)] = func() int { return n }
	}
	left := map[string]func(waiting int) int{ // cells that are left when the application reads
		"none":           func(int) int { return 0 },
		"as few as told": func(int) int { return 24 }, // see ackCells in actors/stream
		"any":            func(waiting int) int { return random.IntN(waiting + 1) },
	}
	for size, next := range sizes {
		for name, keep := range left {
			for _, late := range []int{0, 1, 700} { // cells that come after XOFF
				t.Run(fmt.Sprintf("%s/%s/%d", size, name, late), func(t *testing.T) {
					r := &reader{t: t}
					r.c, r.id = r.out.carry(t, testFlow)
					for r.far.sent < most {
						for !r.stopped && r.far.sent < most {
							r.gets(next())
						}
						for range late {
							r.gets(next())
						}
						r.takes(len(r.waiting) - keep(len(r.waiting)))
						for r.stopped { // as it is not told yet
							if len(r.waiting) < 25 {
								t.Fatalf("%d cells wait, and the far end may not go on", len(r.waiting))
							}
							r.takes(25)
						}
					}
					if r.far.xoffs < 3 {
						t.Errorf("%d XOFFs", r.far.xoffs)
					}
				})
			}
		}
	}
}

// A network that has streams stopped for a few cells stops them for as many as are told of at
// once: what is left untold keeps none stopped.
func TestXoffForFewCells(t *testing.T) {
	p := testFlow
	p.XoffClient = 1
	s := &wide{}
	c, id := s.carry(t, p)
	n := 0
	for ; len(s.sent) == 0; n++ {
		if _, err := c.Deliver(cell.RelayData, id, make([]byte, cell.MaxRelayData)); err != nil {
			t.Fatal(err)
		}
	}
	c.Consumed(nil, id, n-24, (n-24)*cell.MaxRelayData)
	if len(s.sent) != 2 || s.sent[0] != cell.RelayXoff || s.sent[1] != cell.RelayXon {
		t.Errorf("sent %v with 24 of %d cells untold", s.sent, n)
	}
}
