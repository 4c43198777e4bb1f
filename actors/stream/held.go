package stream

import (
	"sync/atomic"

	"chive/actors/block"
)

// holding tells the memory account what a stream keeps: what the application does
// not read, and what the circuit may not send. It implements block.Holder.
type holding struct {
	shed func()
	// up is since when the reader waits for credit; 0 or nil: it does not.
	up    atomic.Pointer[atomic.Int64]
	bytes atomic.Int64 // of the queue
	since atomic.Int64 // when the queue was last empty, or moved
}

func moment() int64 { return block.Moment() }

// keep counts a block that was queued.
func (h *holding) keep(bytes int) {
	if h.bytes.Add(int64(bytes)) == int64(bytes) {
		h.since.Store(moment())
	}
}

// letGo is called when the application has taken the first block: what follows is
// counted anew if it has to wait too.
func (h *holding) letGo() { h.bytes.Store(0) }

// upload is what a stream's credit lets it keep on the way to the circuit.
const upload = block.LargeSize + block.Size

// Held implements block.Holder.
func (h *holding) Held() (bytes, since int64) {
	bytes, since = h.bytes.Load(), h.since.Load()
	var up int64
	if reader := h.up.Load(); reader != nil {
		up = reader.Load()
	}
	if up != 0 {
		if bytes == 0 || up < since {
			since = up
		}
		bytes += upload
	}
	return bytes, since
}

// Shed implements block.Holder.
func (h *holding) Shed() { h.shed() }
