package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chive/messages"
)

// Recovery is what Open, or a later attempt to write again, found to be wrong with the
// store. The zero value: nothing.
type Recovery struct {
	// Err says what was wrong: it is ErrJournalCorrupt, and names the files and the remedy.
	Err error
	// Aside is where the store is kept as it was; "" when there was none.
	Aside string
	// Kept and Lost are how many events were carried over, and at least how many were not.
	Kept, Lost uint64
}

// keepAside is how many damaged stores are kept at most.
const keepAside = 3

// indexed is an open store that was read as a whole.
type indexed struct {
	store      *store
	aggregates map[string]*aggregate
}

// openWhole opens the store of a folder, or, if it is damaged, a new one with what can be
// verified of it.
func openWhole(o Options) (*indexed, Recovery, error) {
	m, err := readMarker(o.Dir)
	if err != nil {
		return nil, Recovery{}, err
	}
	files := filepath.Join(o.Dir, storeFolder)
	if m.rebuild != "" {
		return resume(o, m.rebuild)
	}
	before, err := scanStore(files)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	had, err := hasStream(o.Dir)
	if err != nil {
		return rebuild(o, before, fmt.Errorf("%w: %w", messages.ErrJournalCorrupt, err))
	}
	if !had && m.existed {
		return rebuild(o, before, fmt.Errorf("%w: %s is missing or empty", messages.ErrJournalCorrupt, files))
	}
	x, err := openIndexed(o)
	if err == nil {
		err = x.compare(before)
		if err == nil {
			err = x.behind(readHeads(o.Dir))
		}
		if err == nil {
			err = errors.Join(writeMarker(o.Dir, ""), writeHeads(o.Dir, x.heads()))
		}
		if err == nil {
			return x, Recovery{}, nil
		}
		x.store.close()
	}
	if !errors.Is(err, messages.ErrJournalCorrupt) {
		return nil, Recovery{}, err
	}
	return rebuild(o, before, fmt.Errorf("%w (in %s)", err, files))
}

// openIndexed opens the store and reads it.
func openIndexed(o Options) (*indexed, error) {
	s, err := openStore(o.Dir, o.MaxBytes, o.Timeout, o.Log)
	if err != nil {
		if !errors.Is(err, messages.ErrJournalCorrupt) {
			err = fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
		}
		return nil, err
	}
	x := &indexed{store: s, aggregates: map[string]*aggregate{}}
	if err := x.read("*"); err != nil {
		s.close()
		return nil, err
	}
	return x, nil
}

// read indexes one aggregate, or "*", anew, and checks that nothing is missing.
func (x *indexed) read(name string) error {
	all := map[string][]found{}
	fresh := map[string]*aggregate{}
	err := x.store.read(name, 1, func(number uint64, of string, data []byte) error {
		r, err := decode(data)
		if err != nil && !errors.Is(err, messages.ErrJournalNewer) {
			err = fmt.Errorf("%w: message %d: %w", messages.ErrJournalCorrupt, number, err)
		}
		if err != nil {
			return err
		}
		if r.aggregate != of {
			return fmt.Errorf("%w: message %d is of %s, under %s", messages.ErrJournalCorrupt, number, r.aggregate, of)
		}
		if fresh[of] == nil {
			fresh[of] = newAggregate()
		}
		fresh[of].add(number, r)
		r.events = nil // foldable needs the places alone
		all[of] = append(all[of], found{record: r})
		return nil
	})
	for _, records := range all {
		if err == nil {
			err = foldable(records)
		}
	}
	if err != nil {
		return err
	}
	if name != "*" {
		delete(x.aggregates, name)
	}
	for of, a := range fresh {
		x.aggregates[of] = a
	}
	return nil
}

// compare looks for records that were in the files and that the server did not give: it
// drops what it finds damaged, and all that follows in the same file, without a word.
func (x *indexed) compare(before *scanned) error {
	if before.damaged > 0 {
		return fmt.Errorf("%w: %d damaged records", messages.ErrJournalCorrupt, before.damaged)
	}
	var missing []found
	for name, records := range before.aggregates {
		a := x.aggregates[name]
		if a == nil {
			a = newAggregate()
		}
		whole, _ := chain(records)
		for _, r := range whole {
			if r.before >= a.sequence && r.sequence > a.sequence {
				missing = append(missing, r)
			}
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		// Killed between a record and the server's own end of it. It was never
		// acknowledged, and is written now: it may have been tried again.
		if err := x.carry(missing); err != nil {
			return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
		}
		return nil
	}
	return fmt.Errorf("%w: %d records are in the files and cannot be read", messages.ErrJournalCorrupt, len(missing))
}

// carry writes records of one aggregate as they are.
func (x *indexed) carry(records []found) error {
	for _, r := range records {
		a := x.aggregates[r.aggregate]
		if a == nil {
			a = newAggregate()
			x.aggregates[r.aggregate] = a
		}
		number, err := x.store.append(r.aggregate, a.number, "", r.raw)
		if err != nil {
			return err
		}
		a.add(number, r.record)
	}
	return nil
}

// rebuild moves a store aside and carries what can be verified of it into a new one. The
// marker says so meanwhile: who is killed in between goes on with resume.
func rebuild(o Options, before *scanned, why error) (*indexed, Recovery, error) {
	aside, err := asideName(o)
	if err == nil {
		err = writeMarker(o.Dir, aside)
	}
	if err == nil {
		err = os.Rename(filepath.Join(o.Dir, storeFolder), filepath.Join(o.Dir, aside))
		if errors.Is(err, os.ErrNotExist) {
			aside, err = "", nil
		}
	}
	if err == nil {
		err = errors.Join(syncFolder(o.Dir), dropAside(o.Dir))
	}
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("%w: %w; it cannot be moved aside: %w", messages.ErrJournalUnavailable, why, err)
	}
	return refill(o, before, aside, why)
}

// resume does again what a rebuild did not end.
func resume(o Options, aside string) (*indexed, Recovery, error) {
	path := filepath.Join(o.Dir, aside)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := writeMarker(o.Dir, ""); err != nil { // it was not moved yet
			return nil, Recovery{}, err
		}
		return openWhole(o)
	}
	before, err := scanStore(path)
	if err == nil {
		err = os.RemoveAll(filepath.Join(o.Dir, storeFolder)) // a part of a copy
	}
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	return refill(o, before, aside, fmt.Errorf("%w: a recovery was cut short and is done again", messages.ErrJournalCorrupt))
}

// refill makes a new store of what was read.
func refill(o Options, before *scanned, aside string, why error) (*indexed, Recovery, error) {
	rec := Recovery{}
	if aside != "" {
		rec.Aside = filepath.Join(o.Dir, aside)
	}
	x, err := openIndexed(o)
	if err != nil {
		return nil, rec, err
	}
	had := readHeads(o.Dir)
	for name := range had {
		before.aggregates[name] = slices.Clip(before.aggregates[name]) // also one of which nothing is left
	}
	for _, name := range slices.Sorted(maps.Keys(before.aggregates)) {
		whole, highest := chain(before.aggregates[name])
		highest = max(highest, had[name])
		last := uint64(0)
		if len(whole) > 0 {
			last = whole[len(whole)-1].sequence
			rec.Kept += last - whole[0].before
		}
		rec.Lost += highest - last
		if err := x.carry(whole); err != nil {
			x.store.close()
			return nil, rec, err
		}
	}
	rec.Lost = max(rec.Lost, uint64(before.damaged))
	rec.Err = recoveryError(o, rec, why)
	if err := errors.Join(writeHeads(o.Dir, x.heads()), writeMarker(o.Dir, "")); err != nil {
		x.store.close()
		return nil, rec, err
	}
	return x, rec, nil
}

func recoveryError(o Options, rec Recovery, why error) error {
	kept := "there was nothing to keep"
	if rec.Aside != "" {
		kept = "it is kept as " + rec.Aside
	}
	return fmt.Errorf("%w; %s; %d events were verified and carried over, at least %d are lost: to have them back, stop chive and put a backup in the place of %s",
		why, kept, rec.Kept, rec.Lost, filepath.Join(o.Dir, storeFolder))
}

// asidePrefix begins the names of the folders that damaged stores are kept in.
const asidePrefix = "damaged-"

func asideName(o Options) (string, error) {
	name := asidePrefix + o.Now().UTC().Format("20060102t150405")
	for range 100 {
		if _, err := os.Lstat(filepath.Join(o.Dir, name)); errors.Is(err, os.ErrNotExist) {
			return name, nil
		}
		name += "-"
	}
	return "", fmt.Errorf("%s exists", filepath.Join(o.Dir, name))
}

// dropAside removes the oldest damaged stores beyond keepAside.
func dropAside(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries { // sorted
		if strings.HasPrefix(e.Name(), asidePrefix) {
			names = append(names, e.Name())
		}
	}
	for ; len(names) > keepAside; names = names[1:] {
		if err := os.RemoveAll(filepath.Join(dir, names[0])); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
