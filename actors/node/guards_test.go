package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
	_, err := guard.ParseList(document)
	return err
}

// save has the events recorded that lead to a list.
func (h *guardHome) save(list ...guard.Guard) {
	h.t.Helper()
	if err := h.store.keep(between(h.store.kept, list)); err != nil {
		h.t.Fatal(err)
	}
	h.want(list...)
}

// between tells what happened between two lists.
func between(before, after guardFold) (out []guard.Event) {
	was := map[netdoc.Digest]guard.Guard{}
	for _, g := range before {
		was[g.Identity] = g
		if !slices.ContainsFunc(after, func(x guard.Guard) bool { return x.Identity == g.Identity }) {
			out = append(out, guard.Event{Kind: guard.Removed, Guard: g.Identity, Reason: guard.Expired})
		}
	}
	for _, g := range after {
		old, ok := was[g.Identity]
		if !ok {
			out = append(out, guard.Event{Kind: guard.Sampled, Guard: g.Identity, At: g.Sampled, Expires: g.Expires})
		}
		if !old.Confirmed.Equal(g.Confirmed) {
			out = append(out, guard.Event{Kind: guard.Confirmed, Guard: g.Identity, At: g.Confirmed, Expires: g.Expires})
		}
		switch {
		case old.Unlisted.Equal(g.Unlisted):
		case g.Unlisted.IsZero():
			out = append(out, guard.Event{Kind: guard.Listed, Guard: g.Identity})
		default:
			out = append(out, guard.Event{Kind: guard.Unlisted, Guard: g.Identity, At: g.Unlisted})
		}
	}
	return out
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
	h.save(a, b)
	b.Confirmed, b.Expires = aGuard(9).Sampled, aGuard(10).Expires
	h.save(a, b)
	a.Unlisted = aGuard(11).Sampled
	h.save(a, b, c)
	h.save(a, b, c) // nothing new
	want := []string{kindSampled, kindSampled, kindConfirmed, kindUnlisted, kindSampled}
	h.restart(nil)
	h.want(a, b, c)
	a.Unlisted = time.Time{}
	h.save(a, b)
	want = append(want, kindRemoved, kindListed)
	h.wantKinds(want...)
	h.restart(func() { _ = os.Remove(h.file()) }) // the journal is enough
	h.want(a, b)
	h.wantKinds(want...)
	h.restart(func() { _ = os.RemoveAll(filepath.Join(h.dir, journalFolder)) }) // and so is the mirror
	h.want(a, b)
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
	h.save(aGuard(1), aGuard(2), aGuard(3))
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
	h.save(aGuard(1))
	h.close()
	old, err := os.ReadFile(h.file())
	if err != nil {
		t.Fatal(err)
	}
	h.open()
	h.save(aGuard(1), aGuard(2))
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
	h.save(aGuard(1))
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
	h.save(aGuard(1), aGuard(2))
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
	h.save(aGuard(1))
	h.restart(nil)
	if err := h.store.lane.Record(messages.JournalEvent{Kind: "guard-vanished", Version: 3, Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	h.restart(nil)
	h.wantTrouble(messages.ErrJournalNewer)
	h.want(aGuard(1))
	h.save(aGuard(1), aGuard(2))
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
			h.save(aGuard(1))
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
	h.save(aGuard(1))
	h.store.lane.Close()
	h.save(aGuard(1), aGuard(2))
	h.wantTrouble(messages.ErrJournalClosed)
	h.restart(nil)
	h.want(aGuard(1), aGuard(2))
	h.wantTrouble(nil)
}

// What a set decides over a year leads, through the journal's encoding, to its list.
func TestGuardEventsLeadThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list guard.List
		var folded guardFold
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				kind := guard.Kind(rapid.IntRange(int(guard.Sampled), int(guard.Retriable)).Draw(t, "kind"))
				e := guard.Event{Kind: kind, Selection: rapid.SampledFrom([]string{guard.Default, guard.Restricted}).Draw(t, "selection")}
				if kind == guard.Sampled || len(list) == 0 {
					n++
					e.Guard = aGuard(n).Identity
				} else {
					g := list[rapid.IntRange(0, len(list)-1).Draw(t, "guard")]
					e.Guard, e.Selection = g.Identity, g.Selection
				}
				e.At, e.Expires = aGuard(rapid.IntRange(1, 9).Draw(t, "at")).Sampled, aGuard(10).Expires
				switch kind {
				case guard.Listed, guard.Removed:
					e.At, e.Expires = time.Time{}, time.Time{}
				case guard.Unlisted:
					e.Expires = time.Time{}
				}
				if list.Apply(e) != nil || !e.Kept() {
					return // no set decides it
				}
				if err := folded.apply(messages.JournalEntry{Event: journalled(e)}); err != nil {
					t.Fatal(err)
				}
				if same, err := folded.equal(guardFold(list)); !same || err != nil {
					t.Fatalf("%v: got %v, want %v", err, folded, list)
				}
			},
		})
	})
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
