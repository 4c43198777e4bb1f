package configuration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"chive/config"
	"chive/messages"
)

// Revision is a configuration that was in force.
type Revision struct {
	messages.ConfigRevision
	// Values is what each option was, as torrc lines would say it. An option that
	// is missing did not exist then.
	Values map[string][]string `json:"values"`
	// Fleet is what the fleet had set.
	Fleet []config.Live `json:"fleet,omitempty"`
	// Added is the onion services that were added to stay.
	Added []config.Live `json:"added,omitempty"`
	// Passing is those that were added for that run.
	Passing []config.Live `json:"passing,omitempty"`
}

// Store keeps revisions over restarts. Append returns when the revision is
// durable; an error says that it may not be.
type Store interface {
	// Load gives the revisions that are kept, oldest first.
	Load() ([]Revision, error)
	Append(r Revision) error
}

const (
	// maxRevisions is how many revisions are kept.
	maxRevisions = 64
	// maxHistoryBytes is how much of a history file is read.
	maxHistoryBytes = 8 << 20
	historyFormat   = 1
)

// FileStore keeps the last revisions in a file, which is replaced as a whole.
type FileStore struct {
	path string
	kept []Revision
}

type historyFile struct {
	Format    int        `json:"format"`
	Revisions []Revision `json:"revisions"`
}

// NewFileStore keeps them in config-history.json of a folder.
func NewFileStore(folder string) *FileStore {
	return &FileStore{path: filepath.Join(folder, "config-history.json")}
}

// Load implements Store. A file that cannot be understood is kept aside.
func (s *FileStore) Load() ([]Revision, error) {
	s.kept = nil
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration history: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHistoryBytes+1))
	if err != nil {
		return nil, fmt.Errorf("configuration history: %w", err)
	}
	revisions, err := decodeHistory(text)
	if err != nil {
		aside := s.path + ".broken"
		return nil, errors.Join(fmt.Errorf("configuration history: %w; it is kept as %s and a new one begins", err, aside), os.Rename(s.path, aside))
	}
	s.kept = revisions
	return append([]Revision(nil), revisions...), nil
}

// decodeHistory reads a history file and checks what the rest relies on.
func decodeHistory(text []byte) ([]Revision, error) {
	if len(text) > maxHistoryBytes {
		return nil, fmt.Errorf("more than %d bytes", maxHistoryBytes)
	}
	var h historyFile
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	if h.Format != historyFormat {
		return nil, fmt.Errorf("format %d, want %d", h.Format, historyFormat)
	}
	if len(h.Revisions) > maxRevisions {
		return nil, fmt.Errorf("%d revisions, at most %d", len(h.Revisions), maxRevisions)
	}
	var last uint64
	for _, r := range h.Revisions {
		if r.Revision <= last {
			return nil, fmt.Errorf("revision %d behind %d", r.Revision, last)
		}
		last = r.Revision
	}
	return h.Revisions, nil
}

// Append implements Store.
func (s *FileStore) Append(r Revision) error {
	kept := append(s.kept, r)
	if len(kept) > maxRevisions {
		kept = append([]Revision(nil), kept[len(kept)-maxRevisions:]...)
	}
	text, err := json.Marshal(historyFile{Format: historyFormat, Revisions: kept})
	for err == nil && len(text) > maxHistoryBytes && len(kept) > 1 {
		kept = kept[(len(kept)+1)/2:]
		text, err = json.Marshal(historyFile{Format: historyFormat, Revisions: kept})
	}
	if err != nil {
		return fmt.Errorf("configuration history: %w", err)
	}
	s.kept = kept // in memory it is remembered all the same
	if err := replace(s.path, text); err != nil {
		return fmt.Errorf("configuration history: %w", err)
	}
	return nil
}

// replace writes a file as a whole: after a crash there is the old or the new.
func replace(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// stamp is when, to the second: the history is for people.
func stamp(now time.Time) time.Time { return now.UTC().Truncate(time.Second) }
