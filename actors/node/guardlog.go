package node

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	// guardEventVersion: since 2 an event may name a selection. Chives of both versions had the
	// confirmed first in a list, by their times and then by their events; the order of sampling,
	// which is what counts, is that of the events all the same, and in a list of theirs that of
	// the list (guard.ParseList).
	guardEventVersion = 2
)

func guardSchema() messages.JournalSchema {
	s := messages.JournalSchema{}
	for _, kind := range []string{kindGuards, kindGuardsImported, kindSampled, kindConfirmed, kindUnlisted, kindListed, kindRemoved} {
		s[kind] = messages.JournalKind{
			Version: guardEventVersion, Upcast: map[uint32]func([]byte) ([]byte, error){1: sameGuardEvent},
		}
	}
	return s
}

func sameGuardEvent(data []byte) ([]byte, error) { return data, nil }

// guardEvent is the data of the events that tell of one guard; what a kind does not speak
// of is missing.
type guardEvent struct {
	Identity  netdoc.Digest `json:"identity"`
	Selection string        `json:"selection,omitzero"`
	At        time.Time     `json:"at,omitzero"`
	Expires   time.Time     `json:"expires,omitzero"`
	Reason    guard.Reason  `json:"reason,omitzero"`
}

var guardKinds = map[guard.Kind]string{
	guard.Sampled: kindSampled, guard.Confirmed: kindConfirmed, guard.Unlisted: kindUnlisted,
	guard.Listed: kindListed, guard.Removed: kindRemoved,
}

// journalled is the event as the journal keeps it; e is Kept.
func journalled(e guard.Event) messages.JournalEvent {
	data, _ := json.Marshal(guardEvent{ // texts, arrays and times: always possible
		Identity: e.Guard, Selection: e.Selection, At: e.At, Expires: e.Expires, Reason: e.Reason,
	})
	return messages.JournalEvent{Kind: guardKinds[e.Kind], Version: guardEventVersion, Data: data}
}

// guardFold is the list of guards that events lead to, with its form on disk.
type guardFold guard.List

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
	event := guard.Event{Guard: g.Identity, Selection: g.Selection, At: g.At, Expires: g.Expires, Reason: g.Reason}
	for kind, name := range guardKinds {
		if name == e.Event.Kind {
			event.Kind = kind
		}
	}
	if err := (*guard.List)(f).Apply(event); err != nil {
		return fmt.Errorf("%w: %s: %w", messages.ErrJournalCorrupt, e.Event.Kind, err)
	}
	return nil
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
