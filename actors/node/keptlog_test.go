package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/actors/configuration"
	"chive/bridge/journal"
	"chive/config"
	"chive/messages"
	"chive/supervisor/retry"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openTestJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, _, err := journal.Open(journal.Options{Dir: dir, Log: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func closeJournal(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func revision(n uint64) configuration.Revision {
	return configuration.Revision{
		ConfigRevision: messages.ConfigRevision{Revision: n, Time: time.Unix(int64(n), 0).UTC(), Source: messages.ConfigFromFile},
		Values:         map[string][]string{"LogLevel": {fmt.Sprint("level", n)}},
		Fleet:          []config.Live{{Name: "MaxCircuitDirtiness", Values: []string{"5 minutes"}, Origin: config.FromFleet}},
	}
}

func loaded(t *testing.T, s *configuration.JournalStore) (first, last uint64) {
	t.Helper()
	all, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		return 0, 0
	}
	for i, r := range all {
		if r.Revision != all[0].Revision+uint64(i) || r.Values["LogLevel"][0] != fmt.Sprint("level", r.Revision) || len(r.Fleet) != 1 {
			t.Fatalf("revision %d is %+v", i, r)
		}
	}
	return all[0].Revision, all[len(all)-1].Revision
}

// The history of configurations survives restarts in the journal, and in the file when
// the journal cannot be read; whichever knows more counts.
func TestConfigurationHistoryInTheJournal(t *testing.T) {
	dir, jdir := t.TempDir(), t.TempDir()
	store := func(j messages.Journal) *configuration.JournalStore {
		return configuration.NewJournalStore(j, configuration.NewFileStore(dir), quiet())
	}
	appendTo := func(s *configuration.JournalStore, from, to uint64) {
		for n := from; n <= to; n++ {
			if err := s.Append(revision(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := store(nil) // an earlier chive's
	loaded(t, file)
	appendTo(file, 1, 3)

	j := openTestJournal(t, jdir)
	s := store(j)
	if first, last := loaded(t, s); first != 1 || last != 3 {
		t.Fatalf("taken over: %d to %d", first, last)
	}
	appendTo(s, 4, 100)
	closeJournal(t, j)

	if err := os.Remove(filepath.Join(dir, "config-history.json")); err != nil { // the mirror is lost
		t.Fatal(err)
	}
	j = openTestJournal(t, jdir)
	s = store(j)
	if first, last := loaded(t, s); first != 37 || last != 100 {
		t.Fatalf("from the journal: %d to %d", first, last)
	}
	appendTo(s, 101, 101)
	closeJournal(t, j)

	file = store(nil) // the journal is away
	if _, last := loaded(t, file); last != 101 {
		t.Fatalf("from the mirror: to %d", last)
	}
	appendTo(file, 102, 103)

	j = openTestJournal(t, jdir) // and there again
	s = store(j)
	if _, last := loaded(t, s); last != 103 {
		t.Fatalf("after a time without the journal: to %d", last)
	}
	appendTo(s, 104, 104)
	closeJournal(t, j)
	if err := s.Append(revision(105)); err != nil { // it closed under the store: the mirror has it
		t.Fatal(err)
	}
	if _, last := loaded(t, store(nil)); last != 105 {
		t.Errorf("to %d", last)
	}
}

func TestBreakersOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(time.Second)
	clock := func() time.Time { return now }
	j := openTestJournal(t, dir)
	b := openBreakers(j, quiet(), clock)
	one, two, three := [20]byte{1}, [20]byte{2}, [20]byte{3}
	b.KeepBreaker(one, retry.Snapshot{State: retry.Open, OpenedAt: now})
	b.KeepBreaker(two, retry.Snapshot{State: retry.Open, OpenedAt: now})
	b.KeepBreaker(three, retry.Snapshot{State: retry.Open, OpenedAt: now})
	b.KeepBreaker(two, retry.Snapshot{State: retry.Closed, OpenedAt: now})
	b.KeepBreaker(three, retry.Snapshot{State: retry.HalfOpen, OpenedAt: now})
	closeLane(t.Context(), b.lane, quiet())
	closeJournal(t, j)

	j = openTestJournal(t, dir)
	defer closeJournal(t, j)
	b = openBreakers(j, quiet(), clock)
	defer b.lane.Close()
	if s, ok := b.Breaker(one); !ok || s.State != retry.Open || !s.OpenedAt.Equal(now) {
		t.Errorf("open: %+v, %v", s, ok)
	}
	if s, ok := b.Breaker(two); ok {
		t.Errorf("closed: %+v", s)
	}
	if s, ok := b.Breaker(three); !ok || s.State != retry.HalfOpen {
		t.Errorf("half-open: %+v, %v", s, ok)
	}
	now = now.Add(breakerLife + time.Second)
	if s, ok := b.Breaker(one); ok {
		t.Errorf("long ago: %+v", s)
	}
	for i := range 3 * maxBreakers {
		b.KeepBreaker([20]byte{9, byte(i), byte(i >> 8)}, retry.Snapshot{State: retry.Open, OpenedAt: now})
	}
	if len(b.all) != maxBreakers {
		t.Errorf("%d are kept", len(b.all))
	}
	if without := openBreakers(nil, quiet(), clock); without.lane != nil {
		t.Error("a lane without a journal")
	} else {
		without.KeepBreaker(one, retry.Snapshot{State: retry.Open, OpenedAt: now})
		if _, ok := without.Breaker(one); !ok {
			t.Error("without a journal it is forgotten in the same boot")
		}
	}
}

func TestNewestConsensusIsRemembered(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	j := openTestJournal(t, dir)
	d := openDirectory(j, quiet())
	if !d.NewestConsensus().IsZero() {
		t.Error("there is one before any was verified")
	}
	for i := range 300 { // over the queue's room, and past a state
		d.ConsensusVerified(at.Add(time.Duration(i)*time.Hour), [32]byte{byte(i)})
	}
	closeLane(t.Context(), d.lane, quiet())
	closeJournal(t, j)
	j = openTestJournal(t, dir)
	defer closeJournal(t, j)
	d = openDirectory(j, quiet())
	defer d.lane.Close()
	if got, want := d.NewestConsensus(), at.Add(299*time.Hour); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What is in the journal and cannot be read is no reason not to start.
func TestUnreadableKeptState(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	defer closeJournal(t, j)
	for _, aggregate := range []string{breakerAggregate, directoryAggregate} {
		kind := map[string]string{breakerAggregate: kindBreaker, directoryAggregate: kindConsensus}[aggregate]
		_, err := j.Append(t.Context(), messages.JournalAppend{
			Aggregate: aggregate, ID: "x", Events: []messages.JournalEvent{{Kind: kind, Version: keptVersion, Data: []byte("{")}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if b := openBreakers(j, quiet(), time.Now); b.lane != nil {
		t.Error("breakers: a lane behind what cannot be read")
	}
	if d := openDirectory(j, quiet()); d.lane != nil {
		t.Error("directory: a lane behind what cannot be read")
	}
	if err := corrupt(messages.JournalEntry{}, errors.New("x")); !errors.Is(err, messages.ErrJournalCorrupt) {
		t.Error(err)
	}
}
