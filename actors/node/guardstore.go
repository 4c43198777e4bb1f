package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"chive/internal/safego"
	"chive/messages"
	"chive/tor/guard"
)

// guardStore keeps the list of guards. Its history is in the journal; beside it, guards.json
// mirrors the list and says how much of the history it tells. To choose other guards because
// a disk failed is what an attacker waits for, so either of the two is enough: what starts
// without the one goes on from the other, and the one that tells more counts.
type guardStore struct {
	log     *slog.Logger
	trouble func(err error) // of the journal: an event

	lane   messages.JournalLane // nil: without the journal
	kept   guardFold            // as it was recorded last
	mirror mirror
}

// openWait bounds the wait for the journal at the start.
const openWait = 10 * time.Second

// openGuards loads the list: valid says whether it can be one.
func openGuards(j messages.Journal, dataDir string, log *slog.Logger, trouble func(error), valid func(document []byte) error) *guardStore {
	s := &guardStore{log: log, trouble: trouble, mirror: mirror{path: filepath.Join(dataDir, "guards.json"), log: log}}
	file, fileAt, found := s.readMirror(valid)
	var at uint64
	if j != nil {
		at = s.openLane(j, valid)
	}
	same, err := s.kept.equal(file)
	switch {
	case s.lane == nil, found && fileAt > at:
		if s.lane != nil && at > 0 {
			log.Warn("the journal knows less of the guards than their mirror: it counts", "journal", at, "mirror", fileAt)
		}
		s.kept = file
		s.imported(found)
	case !found && len(s.kept) == 0:
	case !found || err == nil && same || fileAt > 0:
		// The journal counts: the mirror is older, or missing, or the same.
		s.write()
	default:
		// Written without the journal: by an earlier chive, or while there was none.
		s.kept = file
		s.imported(found)
	}
	return s
}

// readMirror reads guards.json; one that cannot be a list of guards is kept aside.
func (s *guardStore) readMirror(valid func([]byte) error) (list guardFold, at uint64, found bool) {
	b, err := os.ReadFile(s.mirror.path)
	var d guardDocument
	if err == nil {
		if err = valid(b); err == nil {
			err = json.Unmarshal(b, &d)
		}
	}
	switch {
	case err == nil:
		return d.Guards, d.Sequence, true
	case !errors.Is(err, fs.ErrNotExist):
		aside := s.mirror.path + ".broken"
		s.log.Warn("the guard state cannot be read; without a journal that has it, new guards are chosen", "err", err, "kept", aside)
		if err := os.Rename(s.mirror.path, aside); err != nil {
			s.log.Warn("cannot keep the broken guard state", "err", err)
		}
	}
	return nil, 0, false
}

// openLane folds the history, and returns how far it goes.
func (s *guardStore) openLane(j messages.Journal, valid func([]byte) error) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	var list guardFold
	lane, err := j.OpenLane(ctx, messages.JournalLaneOptions{
		Aggregate: guardAggregate, Schema: guardSchema(), Snapshot: s.snapshot,
	}, list.apply)
	if err == nil {
		var document []byte
		if document, err = list.document(0); err == nil {
			err = valid(document)
		}
		if err != nil {
			lane.Close()
		}
	}
	if err != nil {
		s.without(fmt.Errorf("the guards' history: %w", err))
		return 0
	}
	s.lane, s.kept = lane, list
	return lane.Recorded()
}

// without goes on with the mirror alone.
func (s *guardStore) without(err error) {
	s.lane = nil
	s.log.Warn("guards are kept without the journal, in guards.json alone", "err", err)
	s.trouble(err)
}

func (s *guardStore) snapshot() (messages.JournalEvent, error) {
	data, err := s.kept.document(0)
	return messages.JournalEvent{Kind: kindGuards, Version: guardEventVersion, Data: data}, err
}

// imported records the whole list, unless there is none.
func (s *guardStore) imported(found bool) {
	if !found {
		return
	}
	data, err := s.kept.document(0)
	if err != nil {
		s.log.Warn("cannot save the guard state", "err", err)
		return
	}
	s.record(messages.JournalEvent{Kind: kindGuardsImported, Version: guardEventVersion, Data: data})
}

// keep records what happened, as far as it is kept. It does not wait for the disk.
func (s *guardStore) keep(happened []guard.Event) error {
	var events []messages.JournalEvent
	for _, e := range happened {
		if !e.Kept() {
			continue
		}
		if err := (*guard.List)(&s.kept).Apply(e); err != nil {
			return err
		}
		events = append(events, journalled(e))
	}
	if len(events) > 0 {
		s.record(events...)
	}
	return nil
}

// replace records the whole list.
func (s *guardStore) replace(list guard.List) {
	s.kept = guardFold(list)
	s.imported(true)
}

func (s *guardStore) record(events ...messages.JournalEvent) {
	if s.lane != nil {
		if err := s.lane.Record(events...); err != nil {
			s.without(err)
		}
	}
	s.write()
}

// write has the mirror written.
func (s *guardStore) write() {
	at := uint64(0) // without the journal: this list counts at the next start
	if s.lane != nil {
		at = s.lane.Recorded()
	}
	b, err := s.kept.document(at)
	if err != nil {
		s.log.Warn("cannot save the guard state", "err", err)
		return
	}
	s.mirror.write(b)
}

// close returns when all is on disk, or ctx is done.
func (s *guardStore) close(ctx context.Context) error {
	err := s.mirror.wait(ctx)
	if s.lane != nil {
		err = errors.Join(err, s.lane.Flush(ctx))
		s.lane.Close()
	}
	return err
}

// mirror is a file that is replaced as a whole, by a goroutine that is there while there is
// something to write.
type mirror struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex // protects the fields below
	next []byte
	done chan struct{} // closed when all is written; nil: nothing is being written
}

func (m *mirror) write(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = b
	if m.done != nil {
		return
	}
	m.done = make(chan struct{})
	safego.Go("guards' mirror", m.run, func(p safego.Panic) { m.log.Error("guards' mirror", "panic", p.Reason()) })
}

func (m *mirror) run() {
	for {
		m.mu.Lock()
		b := m.next
		m.next = nil
		if b == nil {
			close(m.done)
			m.done = nil
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		tmp := m.path + ".new"
		err := writeSynced(tmp, b)
		if err == nil {
			err = os.Rename(tmp, m.path)
		}
		if err != nil {
			m.log.Warn("cannot save the guard state", "err", err)
		}
	}
}

func (m *mirror) wait(ctx context.Context) error {
	m.mu.Lock()
	done := m.done
	m.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("guards.json: %w", ctx.Err())
	}
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
