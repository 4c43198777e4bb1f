package configuration

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"chive/messages"
)

// journalAggregate is the journal's name of the configuration's history.
const journalAggregate = "config"

// Kinds of its events.
const (
	kindRevision  = "config-revision"  // JSON of a Revision
	kindRevisions = "config-revisions" // the state: gzip of the JSON of all that are kept
	kindVersion   = 1
)

const (
	// storeTime bounds the wait for the journal.
	storeTime = 10 * time.Second
	// stateEvery is how many revisions are appended between two states.
	stateEvery = 16
)

// JournalStore keeps revisions in the journal, where nothing that was acknowledged is
// lost, and mirrors them in a file for the day on which the journal cannot be read. The
// one of the two that knows the later revision counts.
type JournalStore struct {
	journal messages.Journal
	file    *FileStore
	log     *slog.Logger
	at      uint64 // the aggregate's sequence
	fresh   int    // revisions since the last state
	kept    []Revision
}

// NewJournalStore is used by one goroutine at a time. A nil journal: only the file.
func NewJournalStore(j messages.Journal, file *FileStore, log *slog.Logger) *JournalStore {
	return &JournalStore{journal: j, file: file, log: log}
}

func revisionSchema() messages.JournalSchema {
	return messages.JournalSchema{kindRevision: {Version: kindVersion}, kindRevisions: {Version: kindVersion}}
}

// Load implements Store.
func (s *JournalStore) Load() ([]Revision, error) {
	mirrored, fileErr := s.file.Load()
	if s.journal == nil {
		s.kept = mirrored
		return mirrored, fileErr
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	var err error
	s.kept = nil
	s.at, err = s.journal.Load(ctx, journalAggregate, revisionSchema(), s.apply)
	if err != nil {
		s.log.Warn("the journal does not tell the history of configurations; its mirror does", "err", err)
		s.journal, s.kept = nil, mirrored
		return mirrored, fileErr
	}
	if fileErr != nil { // the journal has it
		s.log.Warn("the mirror of the configuration's history is of no use", "err", fileErr)
	}
	known := lastOf(s.kept)
	for _, r := range mirrored { // written by an earlier chive, or while there was no journal
		if r.Revision > known {
			s.kept = bounded(append(s.kept, r))
			s.append(ctx, r)
		}
	}
	s.file.kept = append([]Revision(nil), s.kept...)
	return append([]Revision(nil), s.kept...), nil
}

func lastOf(all []Revision) uint64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Revision
}

func bounded(all []Revision) []Revision {
	if len(all) > maxRevisions {
		all = append([]Revision(nil), all[len(all)-maxRevisions:]...)
	}
	return all
}

func (s *JournalStore) apply(e messages.JournalEntry) error {
	s.fresh++
	if e.Event.Kind == kindRevisions {
		s.fresh = 0
		all, err := unpackRevisions(e.Event.Data)
		s.kept = all
		return err
	}
	var r Revision
	if err := json.Unmarshal(e.Event.Data, &r); err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalCorrupt, err)
	}
	if r.Revision <= lastOf(s.kept) {
		return fmt.Errorf("%w: revision %d behind %d", messages.ErrJournalCorrupt, r.Revision, lastOf(s.kept))
	}
	s.kept = bounded(append(s.kept, r))
	return nil
}

// Append implements Store.
func (s *JournalStore) Append(r Revision) error {
	s.kept = bounded(append(s.kept, r))
	err := s.file.Append(r)
	if s.journal == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if s.append(ctx, r) {
		return nil // the mirror is a spare
	}
	return err
}

// append writes to the journal; from the first failure on the file alone counts, until
// the next start.
func (s *JournalStore) append(ctx context.Context, r Revision) bool {
	if s.journal == nil {
		return false
	}
	data, err := json.Marshal(r)
	if err == nil {
		s.at, err = s.journal.Append(ctx, messages.JournalAppend{
			Aggregate: journalAggregate, Expected: s.at, ID: fmt.Sprintf("revision-%d-%d", r.Revision, r.Time.UnixNano()),
			Events: []messages.JournalEvent{{Kind: kindRevision, Version: kindVersion, Data: data}},
		})
	}
	if err != nil {
		s.log.Warn("the journal does not take the configuration's revision; its mirror does", "revision", r.Revision, "err", err)
		s.journal = nil
		return false
	}
	if s.fresh++; s.fresh >= stateEvery {
		s.snapshot(ctx)
	}
	return true
}

// snapshot writes the state, so that what came before it may go.
func (s *JournalStore) snapshot(ctx context.Context) {
	data, err := packRevisions(s.kept)
	if err == nil {
		err = s.journal.Snapshot(ctx, journalAggregate, s.at, messages.JournalEvent{Kind: kindRevisions, Version: kindVersion, Data: data})
	}
	if err != nil {
		s.log.Debug("no state of the configuration's history", "err", err) // the events are there
		return
	}
	s.fresh = 0
}

// packRevisions compresses: revisions are much alike.
func packRevisions(all []Revision) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := errors.Join(json.NewEncoder(z).Encode(all), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpackRevisions(data []byte) ([]Revision, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", messages.ErrJournalCorrupt, err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxHistoryBytes+1))
	if err == nil && len(text) > maxHistoryBytes {
		err = errors.New("too large")
	}
	var all []Revision
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) > maxRevisions {
		return nil, fmt.Errorf("%w: the history's state: %w", messages.ErrJournalCorrupt, err)
	}
	return all, nil
}
