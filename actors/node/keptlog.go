package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chive/messages"
	"chive/supervisor/retry"
)

// Aggregates of the journal besides the guards' and the configuration's. What is in them
// makes a restart gentler or safer; a node without it starts all the same.
const (
	breakerAggregate   = "breakers"
	directoryAggregate = "directory"
)

// Kinds of their events; the data is JSON.
const (
	kindBreaker   = "breaker"            // one relay's: breakerRecord
	kindBreakers  = "breakers"           // all: []breakerRecord, the state
	kindConsensus = "consensus-verified" // consensusRecord, also the state
	keptVersion   = 1
)

const (
	// maxBreakers are kept, those that opened last, and for so long.
	maxBreakers = 256
	breakerLife = time.Hour
)

// breakerRecord is one relay's breaker that is not closed; Closed tells that it is.
type breakerRecord struct {
	Relay  string    `json:"relay"` // its identity, in hex
	Opened time.Time `json:"opened,omitzero"`
	Half   bool      `json:"half,omitempty"`
	Closed bool      `json:"closed,omitempty"`
}

// breakerLog keeps relays' breakers. It implements connections.Keeper.
type breakerLog struct {
	now func() time.Time
	log *slog.Logger

	mu   sync.Mutex // protects the fields below
	lane messages.JournalLane
	all  []breakerRecord // oldest first
}

// openBreakers loads them; without a journal they are those of this boot.
func openBreakers(j messages.Journal, log *slog.Logger, now func() time.Time) *breakerLog {
	b := &breakerLog{now: now, log: log}
	b.lane = openKept(j, log, breakerAggregate, b.apply, b.state, kindBreaker, kindBreakers)
	return b
}

// openKept opens a lane; nil if there is none, with a word about it.
func openKept(j messages.Journal, log *slog.Logger, aggregate string, apply func(messages.JournalEntry) error, state func() (messages.JournalEvent, error), kinds ...string) messages.JournalLane {
	if j == nil {
		return nil
	}
	schema := messages.JournalSchema{}
	for _, k := range kinds {
		schema[k] = messages.JournalKind{Version: keptVersion}
	}
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	lane, err := j.OpenLane(ctx, messages.JournalLaneOptions{Aggregate: aggregate, Schema: schema, Snapshot: state}, apply)
	if err != nil {
		log.Warn("the journal does not tell what was known", "of", aggregate, "err", err)
		return nil
	}
	return lane
}

func (b *breakerLog) apply(e messages.JournalEntry) error {
	if e.Event.Kind == kindBreakers {
		b.all = nil
		return corrupt(e, json.Unmarshal(e.Event.Data, &b.all))
	}
	var r breakerRecord
	if err := json.Unmarshal(e.Event.Data, &r); err != nil {
		return corrupt(e, err)
	}
	b.put(r)
	return nil
}

func corrupt(e messages.JournalEntry, err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", messages.ErrJournalCorrupt, e.Event.Kind, err)
	}
	return err
}

// put replaces what was known of a relay.
func (b *breakerLog) put(r breakerRecord) {
	b.all = slices.DeleteFunc(b.all, func(o breakerRecord) bool { return o.Relay == r.Relay })
	if r.Closed {
		return
	}
	b.all = append(b.all, r)
	if len(b.all) > maxBreakers {
		b.all = slices.Delete(b.all, 0, len(b.all)-maxBreakers)
	}
}

func (b *breakerLog) state() (messages.JournalEvent, error) {
	data, err := json.Marshal(b.all)
	return messages.JournalEvent{Kind: kindBreakers, Version: keptVersion, Data: data}, err
}

// Breaker implements connections.Keeper.
func (b *breakerLog) Breaker(relay [20]byte) (retry.Snapshot, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := hex.EncodeToString(relay[:])
	at := slices.IndexFunc(b.all, func(r breakerRecord) bool { return r.Relay == name })
	if at < 0 || b.now().Sub(b.all[at].Opened) > breakerLife {
		return retry.Snapshot{}, false
	}
	s := retry.Snapshot{State: retry.Open, OpenedAt: b.all[at].Opened}
	if b.all[at].Half {
		s.State = retry.HalfOpen
	}
	return s, true
}

// KeepBreaker implements connections.Keeper.
func (b *breakerLog) KeepBreaker(relay [20]byte, s retry.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := breakerRecord{Relay: hex.EncodeToString(relay[:]), Opened: s.OpenedAt.UTC(), Half: s.State == retry.HalfOpen, Closed: s.State == retry.Closed}
	b.put(r)
	data, err := json.Marshal(r)
	if err == nil && b.lane != nil {
		err = b.lane.Record(messages.JournalEvent{Kind: kindBreaker, Version: keptVersion, Data: data})
	}
	if err != nil {
		b.log.Debug("a breaker is not kept", "err", err)
	}
}

// consensusRecord is the newest consensus that was verified.
type consensusRecord struct {
	ValidAfter time.Time `json:"valid_after"`
	Digest     string    `json:"sha256"` // of its text
}

// directoryLog remembers it. It implements directory.Memory.
type directoryLog struct {
	log *slog.Logger

	mu     sync.Mutex // protects the fields below
	lane   messages.JournalLane
	newest consensusRecord
}

func openDirectory(j messages.Journal, log *slog.Logger) *directoryLog {
	d := &directoryLog{log: log}
	d.lane = openKept(j, log, directoryAggregate, func(e messages.JournalEntry) error {
		return corrupt(e, json.Unmarshal(e.Event.Data, &d.newest))
	}, d.state, kindConsensus)
	return d
}

func (d *directoryLog) state() (messages.JournalEvent, error) {
	data, err := json.Marshal(d.newest)
	return messages.JournalEvent{Kind: kindConsensus, Version: keptVersion, Data: data}, err
}

// NewestConsensus implements directory.Memory.
func (d *directoryLog) NewestConsensus() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest.ValidAfter
}

// ConsensusVerified implements directory.Memory.
func (d *directoryLog) ConsensusVerified(validAfter time.Time, digest [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newest = consensusRecord{validAfter.UTC(), hex.EncodeToString(digest[:])}
	e, err := d.state()
	if err == nil && d.lane != nil {
		err = d.lane.Record(e)
	}
	if err != nil {
		d.log.Debug("the newest consensus is not remembered", "err", err)
	}
}

// flushTime is how long all that only makes a restart gentler may take to reach the disk.
const flushTime = 5 * time.Second

// closeLane ends a lane; what does not reach the disk until ctx ends is lost.
func closeLane(ctx context.Context, lane messages.JournalLane, log *slog.Logger) {
	if lane == nil {
		return
	}
	if err := lane.Flush(ctx); err != nil {
		log.Info("something is not kept over the restart", "err", err)
	}
	lane.Close()
}
