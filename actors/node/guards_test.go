package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/bridge/journal"
	"chive/messages"
	"chive/tor/guard"
	"chive/tor/netdoc"
)

const guardPatience = time.Minute // only bounds a failure

func guardContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), guardPatience)
	t.Cleanup(cancel)
	return ctx
}

// aGuard is one that a set could have, told apart by n.
func aGuard(n int) guard.Guard {
	at := time.Date(2026, 1, 1, n, 0, 0, 0, time.UTC)
	return guard.Guard{Identity: netdoc.Digest{byte(n), byte(n >> 8), 1}, Sampled: at, Expires: at.Add(120 * 24 * time.Hour)}
}

// guardHome is a data directory with a journal.
type guardHome struct {
	t       *testing.T
	dir     string
	journal *journal.Journal
	store   *guardStore
	trouble []error
}

func (h *guardHome) valid(document []byte) error {
	return guard.New(rand.New(rand.NewPCG(1, 1))).Unmarshal(document)
}

func (h *guardHome) open() *guardStore {
	h.t.Helper()
	j, _, err := journal.Open(journal.Options{Dir: filepath.Join(h.dir, journalFolder), Timeout: guardPatience})
	var durable messages.Journal
	if err == nil {
		h.journal, durable = j, j
	}
	h.trouble = nil
	h.store = openGuards(durable, h.dir, slog.New(slog.DiscardHandler), func(err error) { h.trouble = append(h.trouble, err) }, h.valid)
	return h.store
}

func (h *guardHome) close() {
	h.t.Helper()
	if err := h.store.close(guardContext(h.t)); err != nil {
		h.t.Error(err)
	}
	if h.journal != nil {
		if err := h.journal.Close(); err != nil {
			h.t.Error(err)
		}
		h.journal = nil
	}
}

// restart closes the home and has the disk changed before it is opened again.
func (h *guardHome) restart(change func()) *guardStore {
	h.t.Helper()
	h.close()
	if change != nil {
		change()
	}
	return h.open()
}

func newGuardHome(t *testing.T) *guardHome {
	h := &guardHome{t: t, dir: t.TempDir()}
	h.open()
	t.Cleanup(func() { h.close() })
	return h
}

func (h *guardHome) file() string { return filepath.Join(h.dir, "guards.json") }

func (h *guardHome) want(list ...guard.Guard) {
	h.t.Helper()
	got, err := h.store.kept.document(0)
	if err != nil {
		h.t.Fatal(err)
	}
	want, err := guardFold(list).document(0)
	if err != nil {
		h.t.Fatal(err)
	}
	if !slices.Equal(got, want) && len(h.store.kept)+len(list) > 0 {
		h.t.Errorf("got %s\nwant %s", got, want)
	}
}

func (h *guardHome) kinds() []string {
	h.t.Helper()
	if err := h.store.lane.Flush(guardContext(h.t)); err != nil {
		h.t.Fatal(err)
	}
	var out []string
	if _, err := h.journal.History(guardContext(h.t), guardAggregate, nil, func(e messages.JournalEntry) error {
		out = append(out, e.Event.Kind)
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *guardHome) wantKinds(want ...string) {
	h.t.Helper()
	if got := h.kinds(); !slices.Equal(got, want) {
		h.t.Errorf("got %q, want %q", got, want)
	}
}

func (h *guardHome) wantTrouble(want error) {
	h.t.Helper()
	switch {
	case want == nil && len(h.trouble) > 0:
		h.t.Errorf("trouble: %v", h.trouble)
	case want != nil && (len(h.trouble) == 0 || !errors.Is(h.trouble[0], want)):
		h.t.Errorf("trouble: %v, want %v", h.trouble, want)
	}
}

func TestGuardsAreTheFoldOfTheirHistory(t *testing.T) {
	h := newGuardHome(t)
	h.want()
	if _, err := os.Lstat(h.file()); err == nil {
		t.Error("a mirror of nothing")
	}
	a, b, c := aGuard(1), aGuard(2), aGuard(3)
	h.store.save([]guard.Guard{a, b})
	b.Confirmed, b.Expires = aGuard(9).Sampled, aGuard(10).Expires
	h.store.save([]guard.Guard{b, a})
	a.Unlisted = aGuard(11).Sampled
	h.store.save([]guard.Guard{b, a, c})
	h.store.save([]guard.Guard{b, a, c}) // nothing new
	want := []string{kindSampled, kindSampled, kindConfirmed, kindUnlisted, kindSampled}
	h.restart(nil)
	h.want(b, a, c)
	a.Unlisted = time.Time{}
	h.store.save([]guard.Guard{b, a})
	want = append(want, kindRemoved, kindListed)
	h.wantKinds(want...)
	h.restart(func() { _ = os.Remove(h.file()) }) // the journal is enough
	h.want(b, a)
	h.wantKinds(want...)
	h.restart(func() { _ = os.RemoveAll(filepath.Join(h.dir, journalFolder)) }) // and so is the mirror
	h.want(b, a)
	h.wantKinds(kindGuardsImported)
	h.wantTrouble(nil)
}

func TestGuardsOfAnEarlierChiveMoveIn(t *testing.T) {
	h := newGuardHome(t)
	earlier := func(list ...guard.Guard) func() {
		return func() {
			b, err := guardFold(list).document(0)
			if err == nil {
				err = os.WriteFile(h.file(), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	h.restart(earlier(aGuard(1), aGuard(2)))
	h.want(aGuard(1), aGuard(2))
	h.wantKinds(kindGuardsImported)
	h.store.save([]guard.Guard{aGuard(1), aGuard(2), aGuard(3)})
	h.restart(nil)
	h.want(aGuard(1), aGuard(2), aGuard(3))
	h.wantKinds(kindGuardsImported, kindSampled)
	// An earlier chive runs in between, and changes them.
	h.restart(earlier(aGuard(2)))
	h.want(aGuard(2))
	h.wantKinds(kindGuardsImported, kindSampled, kindGuardsImported)
	h.restart(earlier(aGuard(2)))
	h.wantKinds(kindGuardsImported, kindSampled, kindGuardsImported)
}

func TestTheOneThatTellsMoreCounts(t *testing.T) {
	h := newGuardHome(t)
	h.store.save([]guard.Guard{aGuard(1)})
	h.close()
	old, err := os.ReadFile(h.file())
	if err != nil {
		t.Fatal(err)
	}
	h.open()
	h.store.save([]guard.Guard{aGuard(1), aGuard(2)})
	h.restart(func() { // killed before the mirror was written
		if err := os.WriteFile(h.file(), old, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	h.want(aGuard(1), aGuard(2))
	h.wantKinds(kindSampled, kindSampled)
	ahead, err := guardFold{aGuard(1), aGuard(2), aGuard(3)}.document(7)
	if err != nil {
		t.Fatal(err)
	}
	h.restart(func() { // the journal lost its end
		if err := os.WriteFile(h.file(), ahead, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	h.want(aGuard(1), aGuard(2), aGuard(3))
	h.wantKinds(kindSampled, kindSampled, kindGuardsImported)
	h.restart(func() { _ = os.WriteFile(h.file(), []byte("{"), 0o600) })
	h.want(aGuard(1), aGuard(2), aGuard(3))
	if b, err := os.ReadFile(h.file() + ".broken"); err != nil || string(b) != "{" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestGuardsWithoutAJournal(t *testing.T) {
	h := newGuardHome(t)
	h.store.save([]guard.Guard{aGuard(1)})
	folder := filepath.Join(h.dir, journalFolder)
	h.restart(func() { // nothing can be a folder there
		if err := errors.Join(os.Rename(folder, folder+".kept"), os.WriteFile(folder, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	})
	if h.journal != nil {
		t.Fatal("there is a journal")
	}
	h.want(aGuard(1))
	h.store.save([]guard.Guard{aGuard(1), aGuard(2)})
	h.restart(nil)
	h.want(aGuard(1), aGuard(2))
	h.restart(func() { // the journal is back, and knows less
		if err := errors.Join(os.Remove(folder), os.Rename(folder+".kept", folder)); err != nil {
			t.Fatal(err)
		}
	})
	h.want(aGuard(1), aGuard(2))
	h.wantKinds(kindSampled, kindGuardsImported)
}

func TestGuardsOfANewerChive(t *testing.T) {
	h := newGuardHome(t)
	h.store.save([]guard.Guard{aGuard(1)})
	h.restart(nil)
	if err := h.store.lane.Record(messages.JournalEvent{Kind: "guard-vanished", Version: 3, Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	h.restart(nil)
	h.wantTrouble(messages.ErrJournalNewer)
	h.want(aGuard(1))
	h.store.save([]guard.Guard{aGuard(1), aGuard(2)})
	h.restart(nil)
	h.want(aGuard(1), aGuard(2))
}

func TestAGuardHistoryThatCannotBe(t *testing.T) {
	for name, e := range map[string]messages.JournalEvent{
		"no JSON":             {Kind: kindSampled, Version: 1, Data: []byte("{")},
		"a list of no JSON":   {Kind: kindGuards, Version: 1, Data: []byte("[")},
		"removed before":      {Kind: kindRemoved, Version: 1, Data: []byte("{}")},
		"an impossible guard": {Kind: kindSampled, Version: 1, Data: []byte(`{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newGuardHome(t)
			h.store.save([]guard.Guard{aGuard(1)})
			if err := h.store.lane.Record(e); err != nil {
				t.Fatal(err)
			}
			h.restart(nil)
			if len(h.trouble) == 0 {
				t.Error("no trouble")
			}
			h.want(aGuard(1)) // of the mirror
		})
	}
}

func TestALaneThatEndsLeavesTheMirror(t *testing.T) {
	h := newGuardHome(t)
	h.store.save([]guard.Guard{aGuard(1)})
	h.store.lane.Close()
	h.store.save([]guard.Guard{aGuard(1), aGuard(2)})
	h.wantTrouble(messages.ErrJournalClosed)
	h.restart(nil)
	h.want(aGuard(1), aGuard(2))
	h.wantTrouble(nil)
}

// Whatever happens to a list, its events lead from the one to the other.
func TestGuardEventsLeadThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list, folded guardFold
		hours := 0
		t.Repeat(map[string]func(*rapid.T){
			"sample": func(t *rapid.T) {
				hours++
				list = append(slices.Clone(list), aGuard(hours))
			},
			"confirm": func(t *rapid.T) {
				i := pickGuard(t, list)
				list = slices.Clone(list)
				if list[i].Confirmed.IsZero() {
					list[i].Confirmed = aGuard(rapid.IntRange(0, 3).Draw(t, "at") + hours).Sampled
					list[i].Expires = list[i].Confirmed.Add(time.Hour)
					list.order()
				}
			},
			"list": func(t *rapid.T) {
				i := pickGuard(t, list)
				list = slices.Clone(list)
				if list[i].Unlisted.IsZero() {
					list[i].Unlisted = time.Now()
				} else {
					list[i].Unlisted = time.Time{}
				}
			},
			"remove": func(t *rapid.T) {
				i := pickGuard(t, list)
				list = slices.Delete(slices.Clone(list), i, i+1)
			},
			"": func(t *rapid.T) {
				if rapid.IntRange(0, 2).Draw(t, "wait") > 0 {
					return
				}
				events, err := guardEvents(folded, list)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					if e.Kind == kindGuardsImported {
						t.Fatal("the events did not lead there")
					}
					if err := folded.apply(messages.JournalEntry{Event: e}); err != nil {
						t.Fatal(err)
					}
				}
				if same, err := folded.equal(list); !same || err != nil {
					t.Fatalf("%v: got %v, want %v", err, folded, list)
				}
				folded = slices.Clone(folded)
			},
		})
	})
}

func pickGuard(t *rapid.T, list guardFold) int {
	if len(list) == 0 {
		t.Skip("no guards")
	}
	return rapid.IntRange(0, len(list)-1).Draw(t, "guard")
}

func FuzzGuardHistory(f *testing.F) {
	whole, _ := guardFold{aGuard(1), aGuard(2)}.document(0)
	one, _ := json.Marshal(guardEvent{Identity: aGuard(1).Identity})
	f.Add(kindGuards, whole)
	f.Add(kindConfirmed, one)
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		list := guardFold{aGuard(1), aGuard(2)}
		_ = list.apply(messages.JournalEntry{Event: messages.JournalEvent{Kind: kind, Version: 1, Data: data}}) // must not panic
		if len(list) > 3+len(data) {
			t.Errorf("%d guards", len(list))
		}
	})
}
