package journal

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chive/messages"
)

func someRecord(t *rapid.T) *record {
	name := rapid.StringMatching(`[a-z0-9-]{1,20}`)
	r := &record{
		state: rapid.Bool().Draw(t, "state"), aggregate: name.Draw(t, "aggregate"),
		before: rapid.Uint64Range(0, maxSequence-messages.MaxJournalEvents).Draw(t, "before"),
		millis: rapid.Uint64Range(0, maxMillis).Draw(t, "millis"), id: rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "id"),
	}
	n := 1
	if !r.state {
		n = rapid.IntRange(1, 20).Draw(t, "events")
	}
	r.sequence = r.before + uint64(n)
	for range n {
		r.events = append(r.events, messages.JournalEvent{
			Kind: name.Draw(t, "kind"), Version: rapid.Uint32Range(1, 1<<31).Draw(t, "version"), Data: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"),
		})
	}
	return r
}

func TestRecordsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := someRecord(t)
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		b := r.encode()
		got, err := decode(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v, %v\nwant %+v", got, err, r)
		}
		// No changed byte goes unnoticed, no part is taken for the whole.
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		changed := bytes.Clone(b)
		changed[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := decode(changed); err == nil {
			t.Fatalf("byte %d changed: %+v", at, got)
		}
		if got, err := decode(b[:at]); err == nil {
			t.Fatalf("%d bytes: %+v", at, got)
		}
		if got, err := decode(append(changed[:0:0], append(b, 0)...)); err == nil {
			t.Fatalf("one byte more: %+v", got)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, r := range []*record{
		{aggregate: "guards", id: "x", sequence: 1, events: []messages.JournalEvent{event("said", "a")}},
		{aggregate: "guards", state: true, before: 3, sequence: 9, events: []messages.JournalEvent{event("all", "abc")}},
	} {
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := decodePrefix(b)
		if err == nil {
			// Other bytes may say the same, as uvarints have long forms; the record is the same.
			again, err := decode(r.encode())
			if err != nil || !reflect.DeepEqual(again, r) || n > len(b) {
				t.Fatalf("%+v, %v\nwant %+v", again, err, r)
			}
		} else if !errors.Is(err, errRecord) && !errors.Is(err, messages.ErrJournalNewer) {
			t.Fatalf("%v is neither", err)
		}
		// The body alone, as no fuzzer finds checksums.
		if r, err := decodeBody(b); err == nil {
			if again, err := decode(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v, %v\nwant %+v", again, err, r)
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	r := (&record{aggregate: "guards", id: "x", sequence: 1, events: []messages.JournalEvent{event("said", "a")}}).encode()
	f.Add(append([]byte("before"), append(r, r[:20]...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &scanned{aggregates: map[string][]found{}}
		s.scan(b)
		for name, records := range s.aggregates {
			whole, highest := chain(records)
			if err := foldable(whole); err != nil {
				t.Fatal(err)
			}
			for _, r := range whole {
				if r.aggregate != name || r.sequence > highest || !bytes.Contains(b, r.raw) {
					t.Fatalf("%+v", r.record)
				}
			}
		}
	})
}

func FuzzHeads(f *testing.F) {
	f.Add(heads{"guards": 3, "config": 1}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if h := parseHeads(text); h != nil && !reflect.DeepEqual(parseHeads(h.String()), h) {
			t.Fatalf("%q", h)
		}
	})
}

// From any part of a history, the chain is a whole that leads as far as any whole does.
func TestChainLeadsFurthest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []found
		at := uint64(0)
		for range rapid.IntRange(1, 12).Draw(t, "records") {
			r := &record{aggregate: "a", id: "x", before: at, sequence: at + rapid.Uint64Range(1, 3).Draw(t, "step")}
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				r.state, r.sequence = true, at
			case 1:
				r.state = true
			}
			at = r.sequence
			all = append(all, found{record: r})
		}
		kept := slices.DeleteFunc(slices.Clone(all), func(found) bool { return rapid.IntRange(0, 4).Draw(t, "gone") == 0 })
		whole, highest := chain(kept)
		if err := foldable(whole); err != nil {
			t.Fatal(err)
		}
		want, top := uint64(0), uint64(0)
		for from := range kept { // all that is there, from any record to any gap
			top = max(top, kept[from].sequence)
			to := from + 1
			for to < len(kept) && kept[to].before == kept[to-1].sequence {
				to++
			}
			for end := from + 1; end <= to; end++ {
				if foldable(kept[from:end]) == nil {
					want = max(want, kept[end-1].sequence)
				}
			}
		}
		got := uint64(0)
		if len(whole) > 0 {
			got = whole[len(whole)-1].sequence
		}
		if got != want || highest != top {
			t.Fatalf("leads to %d of %d, want %d of %d", got, highest, want, top)
		}
		if len(kept) == len(all) && whole[0].before != 0 {
			t.Fatalf("begins at %d, and no record is missing", whole[0].before)
		}
	})
}

// A journal does what a map of lists would do, over restarts.
func TestJournalIsAMapOfLists(t *testing.T) {
	dirs := 0
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dirs++
		o := Options{Dir: fmt.Sprintf("%s/%d", root, dirs), Keep: 2, Timeout: patience}
		j, _, err := Open(o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = j.Close() }()
		model := map[string]string{} // the fold: all texts
		sequence := map[string]uint64{}
		ctx := testContext(t)
		names := rapid.SampledFrom([]string{"a", "b"})
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				name, n := names.Draw(t, "name"), rapid.IntRange(1, 5).Draw(t, "events")
				a := messages.JournalAppend{Aggregate: name, Expected: sequence[name], ID: fmt.Sprint(sequence[name])}
				for range n {
					a.Events = append(a.Events, event("said", rapid.StringN(0, 5, 20).Draw(t, "text")+";"))
					model[name] += string(a.Events[len(a.Events)-1].Data)
				}
				for range rapid.IntRange(1, 2).Draw(t, "times") {
					if got, err := j.Append(ctx, a); err != nil || got != sequence[name]+uint64(n) {
						t.Fatalf("%d, %v", got, err)
					}
				}
				sequence[name] += uint64(n)
			},
			"stale": func(t *rapid.T) {
				name := names.Draw(t, "name")
				a := messages.JournalAppend{Aggregate: name, Expected: sequence[name] + 1, ID: "stale", Events: []messages.JournalEvent{event("said", "x")}}
				if got, err := j.Append(ctx, a); !errors.Is(err, messages.ErrJournalConflict) {
					t.Fatalf("%d, %v", got, err)
				}
			},
			"snapshot": func(t *rapid.T) {
				name := names.Draw(t, "name")
				if err := j.Snapshot(ctx, name, sequence[name], event("all", model[name])); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				var rec Recovery
				if j, rec, err = Open(o); err != nil || rec.Err != nil {
					t.Fatal(err, rec.Err)
				}
			},
			"": func(t *rapid.T) {
				for name, want := range model {
					var got strings.Builder
					n, err := j.Load(ctx, name, nil, func(e messages.JournalEntry) error {
						if e.State {
							got.Reset()
						}
						got.Write(e.Event.Data)
						return nil
					})
					if err != nil || n != sequence[name] || got.String() != want {
						t.Fatalf("%d, %v, %q; want %d, %q", n, err, got.String(), sequence[name], want)
					}
				}
			},
		})
	})
}
