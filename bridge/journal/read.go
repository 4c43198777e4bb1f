package journal

import (
	"context"
	"fmt"

	"chive/messages"
)

// Load implements messages.Journal.
func (j *Journal) Load(ctx context.Context, name string, schema messages.JournalSchema, apply func(messages.JournalEntry) error) (uint64, error) {
	return j.replay(ctx, name, schema, false, apply)
}

// History implements messages.Journal.
func (j *Journal) History(ctx context.Context, name string, schema messages.JournalSchema, apply func(messages.JournalEntry) error) (uint64, error) {
	return j.replay(ctx, name, schema, true, apply)
}

func (j *Journal) replay(ctx context.Context, name string, schema messages.JournalSchema, all bool, apply func(messages.JournalEntry) error) (uint64, error) {
	records, sequence, err := j.records(ctx, name, all)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if err := r.entries(schema, apply); err != nil {
			return 0, err
		}
	}
	return sequence, nil
}

// records reads those of an aggregate, from its last state or from the oldest that is kept.
// apply is called without the turn, so that it may use the journal.
func (j *Journal) records(ctx context.Context, name string, all bool) ([]*record, uint64, error) {
	if err := j.take(ctx); err != nil {
		return nil, 0, err
	}
	defer j.give()
	of, err := j.aggregate(name)
	if err != nil || len(of.marks) == 0 {
		return nil, 0, err
	}
	from := of.marks[0].number
	if !all && of.state >= 0 {
		from = of.marks[of.state].number
	}
	records := make([]*record, 0, len(of.marks))
	err = j.open.store.read(name, from, func(number uint64, _ string, data []byte) error {
		r, err := decode(data)
		if err != nil {
			return fmt.Errorf("%w: %s, message %d: %w", messages.ErrJournalCorrupt, name, number, err)
		}
		records = append(records, r)
		return nil
	})
	if err == nil && (len(records) == 0 || records[len(records)-1].sequence != of.sequence) {
		err = fmt.Errorf("%w: %s was read up to another sequence than %d", messages.ErrJournalCorrupt, name, of.sequence)
	}
	if err != nil {
		j.failed(err) // the store is checked as a whole when it is opened anew
		return nil, 0, err
	}
	return records, of.sequence, nil
}

// entries calls apply for each event of a record, in the version that the schema names.
func (r *record) entries(schema messages.JournalSchema, apply func(messages.JournalEntry) error) error {
	for i, e := range r.events {
		sequence := r.before + uint64(i) + 1
		if r.state {
			sequence = r.sequence
		}
		up, err := upcast(schema, e)
		if err != nil {
			return fmt.Errorf("%s, event %d: %w", r.aggregate, sequence, err)
		}
		if err := apply(messages.JournalEntry{Sequence: sequence, Time: r.time(), State: r.state, Lost: r.lost(), Event: up}); err != nil {
			return err
		}
	}
	return nil
}

// upcast brings an event to the version in which its owner reads it. Without a schema it
// stays as it was written.
func upcast(schema messages.JournalSchema, e messages.JournalEvent) (messages.JournalEvent, error) {
	if schema == nil {
		return e, nil
	}
	kind, ok := schema[e.Kind]
	if !ok || e.Version > kind.Version {
		return e, fmt.Errorf("%w: %s in version %d, this program knows %d", messages.ErrJournalNewer, e.Kind, e.Version, kind.Version)
	}
	for e.Version < kind.Version {
		up := kind.Upcast[e.Version]
		if up == nil {
			return e, fmt.Errorf("%w: %s in version %d: nothing leads to version %d", messages.ErrJournalInvalid, e.Kind, e.Version, kind.Version)
		}
		data, err := up(e.Data)
		if err != nil {
			return e, fmt.Errorf("%w: %s from version %d: %w", messages.ErrJournalCorrupt, e.Kind, e.Version, err)
		}
		e.Data = data
		e.Version++
	}
	return e, nil
}
