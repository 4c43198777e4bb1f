package hosting

import (
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"chive/actors/stream"
	"chive/messages/chivev1"
	"chive/tor/handshake"
	"chive/tor/onion/host"
)

// Why an introduction is not answered, in C tor's words where it has one.
const (
	byAuthKey = iota
	byShape
	bySubcredential
	byReplay
	byProof
	byCrowd
	rejections // how many
)

var rejectionNames = [rejections]string{"bad_auth_key", "invalid_introduce2", "subcredential", "replay", "pow", "crowded"}

// Why a client was not met, in C tor's words.
const (
	byPoint  = iota // the circuit to the rendezvous point broke
	byPath          // none could be made
	byAnswer        // RENDEZVOUS1 could not be sent
	byKeys          // nothing could be agreed with the client
	byRetry         // the last of several circuits broke, too
	failures        // how many
)

var failureNames = [failures]string{"rp_conn_failure", "invalid_path", "rendezvous1", "e2e_circ", "retry"}

// BuildBuckets are the upper bounds of a Histogram's buckets: C tor's.
var BuildBuckets = [...]time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute}

// Histogram counts how long circuits took.
type Histogram struct {
	Counts [len(BuildBuckets) + 1]uint64 // by bucket, and those that took longer
	Sum    time.Duration
}

// Counts is what one service counted, since the node hosts it.
type Counts struct {
	Introductions  uint64 // that were answered, or are to be
	Rendezvous     uint64 // circuits to rendezvous points
	Rejected       map[string]uint64
	Failed         map[string]uint64
	ToIntroduction Histogram
	ToRendezvous   Histogram
	Ports          map[uint16]Traffic
}

// Traffic is the bytes of a port, with the application that serves it.
type Traffic struct{ To, From uint64 }

// meter counts for one service. It outlives the service's actor, should that be started
// anew; who counts is that actor, and the streams for bytes.
type meter struct {
	introductions, rendezvous    atomic.Uint64
	rejected                     [rejections]atomic.Uint64
	failed                       [failures]atomic.Uint64
	toIntroduction, toRendezvous histogram
	ports                        atomic.Pointer[map[uint16]*stream.Count] // a map is not changed
	targets                      targets
}

type histogram struct {
	counts [len(BuildBuckets) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(BuildBuckets) && d > BuildBuckets[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() (out Histogram) {
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
	}
	out.Sum = time.Duration(h.sum.Load())
	return out
}

// serve gives a counter to each port; those that had one keep it.
func (m *meter) serve(ports []uint16) map[uint16]*stream.Count {
	next := map[uint16]*stream.Count{}
	if had := m.ports.Load(); had != nil {
		maps.Copy(next, *had)
	}
	for _, p := range ports {
		if next[p] == nil {
			next[p] = new(stream.Count)
		}
	}
	m.ports.Store(&next)
	return next
}

func (m *meter) read() *Counts {
	out := &Counts{
		Introductions: m.introductions.Load(), Rendezvous: m.rendezvous.Load(), Rejected: map[string]uint64{}, Failed: map[string]uint64{},
		ToIntroduction: m.toIntroduction.read(), ToRendezvous: m.toRendezvous.read(), Ports: map[uint16]Traffic{},
	}
	for i, name := range rejectionNames {
		out.Rejected[name] = m.rejected[i].Load()
	}
	for i, name := range failureNames {
		out.Failed[name] = m.failed[i].Load()
	}
	if ports := m.ports.Load(); ports != nil {
		for port, c := range *ports {
			out.Ports[port] = Traffic{c.To.Load(), c.From.Load()}
		}
	}
	return out
}

// reject counts an introduction that is not answered. It reports whether the introduction
// was taken before, and gave way to others.
func (m *meter) reject(cause error) (taken bool) {
	why := byShape
	switch {
	case refusal(cause) == "proof":
		why = byProof
	case errors.Is(cause, host.ErrAuthKey):
		why = byAuthKey
	case errors.Is(cause, host.ErrReplay):
		why = byReplay
	case errors.Is(cause, host.ErrCrowded):
		why, taken = byCrowd, true
	case errors.Is(cause, handshake.ErrAuth):
		why = bySubcredential
	}
	m.rejected[why].Add(1)
	return taken
}

// lost counts a circuit to a rendezvous point that was of no use. ready: it was open; again:
// it was not the first.
func (m *meter) lost(out chivev1.Outcome, ready, again bool) {
	switch {
	case ready:
		m.failed[byAnswer].Add(1)
	case out == chivev1.Outcome_OUTCOME_NO_PATH || out == chivev1.Outcome_OUTCOME_NO_DIRECTORY:
		m.failed[byPath].Add(1)
	case again:
		m.failed[byRetry].Add(1)
	default:
		m.failed[byPoint].Add(1)
	}
}

// missed counts a client who was given up for another reason than the end of a circuit.
func (m *meter) missed(cause error) {
	var lost lostError
	switch {
	case errors.As(cause, &lost): // by lost
	case errors.Is(cause, host.ErrAbandoned):
		m.failed[byPoint].Add(1)
	default:
		m.failed[byKeys].Add(1)
	}
}

// Counts is what the service counted; nil if it was never one that is hosted.
func (s *Status) Counts() *Counts {
	if s.meter == nil {
		return nil
	}
	return s.meter.read()
}
