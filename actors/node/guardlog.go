package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"chive/messages"
	"chive/tor/guard"
	"chive/tor/netdoc"
)

// guardAggregate is the journal's name of the guards' history.
const guardAggregate = "guards"

// Kinds of the events of that history, and of its state. They tell what guard.Guard keeps
// on disk; that a guard cannot be reached just now is not told.
const (
	kindGuards         = "guards"          // the whole list: the state
	kindGuardsImported = "guards-imported" // the whole list, from a file
	kindSampled        = "guard-sampled"
	kindConfirmed      = "guard-confirmed"
	kindUnlisted       = "guard-unlisted"
	kindListed         = "guard-listed"
	kindRemoved        = "guard-removed"
	guardEventVersion  = 1
)

func guardSchema() messages.JournalSchema {
	s := messages.JournalSchema{}
	for _, kind := range []string{kindGuards, kindGuardsImported, kindSampled, kindConfirmed, kindUnlisted, kindListed, kindRemoved} {
		s[kind] = messages.JournalKind{Version: guardEventVersion}
	}
	return s
}

// guardEvent is the data of the events that tell of one guard; what a kind does not speak
// of is missing.
type guardEvent struct {
	Identity netdoc.Digest `json:"identity"`
	At       time.Time     `json:"at,omitzero"`
	Expires  time.Time     `json:"expires,omitzero"`
}

// guardFold is the list of guards that events lead to.
type guardFold []guard.Guard

// guardDocument is what guard.Set writes and reads; Sequence is of the mirror alone.
type guardDocument struct {
	Version  int           `json:"version"`
	Sequence uint64        `json:"sequence,omitzero"` // the journal's, up to which it tells
	Guards   []guard.Guard `json:"guards"`
}

const guardDocumentVersion = 1

func (f guardFold) document(sequence uint64) ([]byte, error) {
	if f == nil {
		f = guardFold{}
	}
	return json.MarshalIndent(guardDocument{guardDocumentVersion, sequence, f}, "", " ")
}

// apply changes the list by one entry of the history.
func (f *guardFold) apply(e messages.JournalEntry) error {
	if e.Event.Kind == kindGuards || e.Event.Kind == kindGuardsImported {
		var d guardDocument
		if err := json.Unmarshal(e.Event.Data, &d); err != nil {
			return fmt.Errorf("%w: %s: %w", messages.ErrJournalCorrupt, e.Event.Kind, err)
		}
		*f = d.Guards
		return nil
	}
	var g guardEvent
	if err := json.Unmarshal(e.Event.Data, &g); err != nil {
		return fmt.Errorf("%w: %s: %w", messages.ErrJournalCorrupt, e.Event.Kind, err)
	}
	at := slices.IndexFunc(*f, func(x guard.Guard) bool { return x.Identity == g.Identity })
	if at < 0 != (e.Event.Kind == kindSampled) {
		return fmt.Errorf("%w: %s of a guard that the history before does not allow", messages.ErrJournalCorrupt, e.Event.Kind)
	}
	switch e.Event.Kind {
	case kindSampled:
		*f = append(*f, guard.Guard{Identity: g.Identity, Sampled: g.At, Expires: g.Expires})
	case kindConfirmed:
		(*f)[at].Confirmed, (*f)[at].Expires = g.At, g.Expires
		f.order()
	case kindUnlisted:
		(*f)[at].Unlisted = g.At
	case kindListed:
		(*f)[at].Unlisted = time.Time{}
	case kindRemoved:
		*f = slices.Delete(*f, at, at+1)
	}
	return nil
}

// order puts confirmed guards first, in the order of their confirmation.
func (f guardFold) order() {
	slices.SortStableFunc(f, func(a, b guard.Guard) int {
		switch {
		case a.Confirmed.IsZero() || b.Confirmed.IsZero():
			return boolInt(a.Confirmed.IsZero()) - boolInt(b.Confirmed.IsZero())
		default:
			return a.Confirmed.Compare(b.Confirmed)
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// guardEvents tells what happened between two lists: applied to the one they give the other.
func guardEvents(before, after guardFold) ([]messages.JournalEvent, error) {
	var out []messages.JournalEvent
	add := func(kind string, g guardEvent) {
		data, _ := json.Marshal(g) // arrays and times: always possible
		out = append(out, messages.JournalEvent{Kind: kind, Version: guardEventVersion, Data: data})
	}
	was := map[netdoc.Digest]guard.Guard{}
	for _, g := range before {
		was[g.Identity] = g
		if !slices.ContainsFunc(after, func(x guard.Guard) bool { return x.Identity == g.Identity }) {
			add(kindRemoved, guardEvent{Identity: g.Identity})
		}
	}
	for _, g := range after {
		old, ok := was[g.Identity]
		if !ok {
			add(kindSampled, guardEvent{g.Identity, g.Sampled, g.Expires})
		}
		if !old.Confirmed.Equal(g.Confirmed) {
			add(kindConfirmed, guardEvent{g.Identity, g.Confirmed, g.Expires})
		}
		switch {
		case old.Unlisted.Equal(g.Unlisted):
		case g.Unlisted.IsZero():
			add(kindListed, guardEvent{Identity: g.Identity})
		default:
			add(kindUnlisted, guardEvent{Identity: g.Identity, At: g.Unlisted})
		}
	}
	if leads, err := before.leadTo(after, out); err != nil || leads {
		return out, err
	}
	// Nothing that guard.Set does comes here; the list is what counts.
	data, err := after.document(0)
	return []messages.JournalEvent{{Kind: kindGuardsImported, Version: guardEventVersion, Data: data}}, err
}

// leadTo says whether the events, applied to f, give after.
func (f guardFold) leadTo(after guardFold, events []messages.JournalEvent) (bool, error) {
	got := slices.Clone(f)
	for _, e := range events {
		if got.apply(messages.JournalEntry{Event: e}) != nil {
			return false, nil
		}
	}
	return got.equal(after)
}

// equal compares what is kept on disk.
func (f guardFold) equal(other guardFold) (bool, error) {
	a, err := f.document(0)
	if err != nil {
		return false, err
	}
	b, err := other.document(0)
	return bytes.Equal(a, b), err
}
