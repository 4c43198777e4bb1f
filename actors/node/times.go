package node

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/messages"
	"chive/tor/cbt"
)

// timesAggregate is the journal's name of the circuits' build times.
const timesAggregate = "build-times"

// Kinds of its events; the data is JSON.
const (
	kindTimes      = "build-times-measured" // []cbt.Event
	kindTimesKnown = "build-times"          // cbt.History, the state
	maxTimesAtOnce = 1000                   // events in one entry: some 50 KB
)

// timesLog keeps how long circuits took. It implements circuits.Times.
type timesLog struct {
	log *slog.Logger

	mu   sync.Mutex // protects the fields below
	lane messages.JournalLane
	h    cbt.History
}

// openTimes loads them; without a journal they are those of this boot.
func openTimes(j messages.Journal, log *slog.Logger) *timesLog {
	t := &timesLog{log: log}
	t.lane = openKept(j, log, timesAggregate, t.apply, t.state, kindTimes, kindTimesKnown)
	return t
}

func (t *timesLog) apply(e messages.JournalEntry) error {
	if e.Event.Kind == kindTimesKnown {
		var h cbt.History
		err := json.Unmarshal(e.Event.Data, &h)
		if err == nil {
			err = h.Check()
		}
		if err == nil {
			t.h = h
		}
		return corrupt(e, err)
	}
	var events []cbt.Event
	if err := json.Unmarshal(e.Event.Data, &events); err != nil {
		return corrupt(e, err)
	}
	for _, ev := range events {
		if err := t.h.Apply(ev); err != nil {
			return corrupt(e, err)
		}
	}
	return nil
}

func (t *timesLog) state() (messages.JournalEvent, error) {
	data, err := json.Marshal(t.h)
	return messages.JournalEvent{Kind: kindTimesKnown, Version: keptVersion, Data: data}, err
}

// TimeoutsForgetAnswer is the answer to the verb timeouts-forget.
type TimeoutsForgetAnswer struct {
	Circuits int `json:"circuits"` // from whose times the timeouts were learned
}

// errNoCircuits: nothing was forgotten.
var errNoCircuits = errors.New("the part of the node that learns failed and is being started anew: nothing is forgotten; ask again")

// answerTimeoutsForget drops what was learned of circuits' build times, on disk too.
func (n *Node) answerTimeoutsForget([]byte) ([]byte, error) {
	known, err := askRoot(n, func(reply kernel.Reply[int]) any { return &circuits.ForgetTimes{Reply: reply} })
	if err != nil {
		return nil, err
	}
	if known < 0 {
		return nil, errNoCircuits
	}
	return json.Marshal(TimeoutsForgetAnswer{known})
}

// History implements circuits.Times.
func (t *timesLog) History() cbt.History {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.h.Clone()
}

// Keep implements circuits.Times.
func (t *timesLog) Keep(events []cbt.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(events) > 0 {
		some := events[:min(len(events), maxTimesAtOnce)]
		events = events[len(some):]
		data, err := json.Marshal(some)
		for _, ev := range some {
			if err == nil {
				err = t.h.Apply(ev)
			}
		}
		if err == nil && t.lane != nil {
			err = t.lane.Record(messages.JournalEvent{Kind: kindTimes, Version: keptVersion, Data: data})
		}
		if err != nil {
			t.log.Debug("build times are not kept", "err", err)
		}
	}
}
