package circuit

import (
	"testing"
	"time"

	"chive/actors/block"
	"chive/tor/cell"
	"chive/tor/conflux"
)

// hoarder is somebody else who keeps memory, which grows until there is too much.
type hoarder struct {
	since int64
	shed  chan struct{}
}

const hoard = 32 << 20 // bytes

func (h *hoarder) Held() (bytes, since int64) { return hoard, h.since }
func (h *hoarder) Shed()                      { h.shed <- struct{}{} }

// presses has a hoarder, that began to keep his memory at since, bring it over the limit, and
// says whether he was told to let go, and how many were.
func presses(t *testing.T, since int64) (shed bool, all int) {
	t.Helper()
	h := &hoarder{since: since, shed: make(chan struct{}, 10)}
	told := make(chan block.MemoryChange, 10)
	defer block.WatchMemory(func(c block.MemoryChange) { told <- c })()
	block.Join(h)
	block.LimitMemory(hoard / 2)
	defer block.LimitMemory(0)
	defer block.Keep(-hoard)
	defer block.Leave(h)
	block.Keep(hoard)
	for timeout := time.After(patience); ; {
		select {
		case c := <-told:
			return len(h.shed) > 0, c.Shed
		case <-timeout:
			t.Fatal("nobody is told of the pressure")
		}
	}
}

// A set whose messages were out of order once, or are now and then, has nothing that waited
// long: who came later and lets nothing go is shed before it.
func TestASetThatDeliversIsNotShedFirst(t *testing.T) {
	for name, after := range map[string]func(r *setRig, data func(string) conflux.Message){
		"nothing waits": func(r *setRig, data func(string) conflux.Message) {
			r.over(0, data("4"))
		},
		"something else waits": func(r *setRig, data func(string) conflux.Message) {
			r.over(1, skip(2), data("8"))
			r.over(0, data("4"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := linked(t)
			r.first()
			app, id := r.application()
			data := func(text string) conflux.Message {
				return conflux.Message{Command: cell.RelayData, Stream: id, Data: []byte(text)}
			}
			r.over(1, skip(2), data("3"), skip(1), data("5")) // 1 and 2 are missing, and 4
			r.settled()
			began := block.Moment()
			r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id}, data("2"), skip(1))
			r.reads(app, "connected\n23")
			after(r, data)
			r.reads(app, "45")
			r.settled()
			if shed, all := presses(t, began); !shed || all != 1 {
				t.Errorf("%d were shed, who lets nothing go among them: %v", all, shed)
			}
			r.settled()
			if how, _ := r.ends(); how != "" {
				t.Fatalf("the set %s", how)
			}
			r.over(0, skip(1), data("6"))
			r.reads(app, "6")
		})
	}
}

// A set in which nothing had its turn since before the hoarder came is shed.
func TestASetThatWaitsLongestIsShedFirst(t *testing.T) {
	r := linked(t)
	r.first()
	_, id := r.application()
	r.over(1, skip(5), conflux.Message{Command: cell.RelayData, Stream: id, Data: make([]byte, cell.MaxRelayData)})
	r.settled()
	began := block.Moment()
	r.over(1, conflux.Message{Command: cell.RelayData, Stream: id, Data: make([]byte, cell.MaxRelayData)})
	r.settled()
	if _, all := presses(t, began); all != 2 { // what a set has is not enough
		t.Errorf("%d were shed", all)
	}
	if how := r.gone(); how != "closed overloaded" {
		t.Errorf("the set %s", how)
	}
}
