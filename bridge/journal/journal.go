package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"chive/messages"
)

// Options is what a journal is made of.
type Options struct {
	// Dir is the journal's own folder, made if missing. One process at a time uses it.
	Dir string
	// MaxBytes is how large the store may become, with all it needs to tell where things
	// are; 0: 16 MiB. Beyond it nothing is written.
	MaxBytes int64
	// Keep is how many events of an aggregate stay behind its last state, for History;
	// 0: 1024. All go when the store is full.
	Keep uint64
	// Timeout is how long one write may take; 0: 5 s.
	Timeout time.Duration
	// OnState is told that nothing can be written and why, and that it can again. It must
	// be quick and must not call the journal.
	OnState func(messages.JournalState, error)
	// OnRecovery is told of a damaged store, when it is found later than by Open.
	OnRecovery func(Recovery)
	Log        *slog.Logger
	Now        func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	if o.Keep == 0 {
		o.Keep = 1024
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.OnState == nil {
		o.OnState = func(messages.JournalState, error) {}
	}
	if o.OnRecovery == nil {
		o.OnRecovery = func(Recovery) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Journal is an open journal; it implements messages.Journal.
type Journal struct {
	o    Options
	lock *os.File

	turn chan struct{} // holds a token: who took it owns the fields below
	open *indexed      // nil: to be opened anew, not before retry
	next time.Time
	wait time.Duration

	mu     sync.Mutex // protects the fields below
	state  messages.JournalState
	why    error
	lanes  map[string]*lane
	closed chan struct{}
	work   sync.WaitGroup // lanes
}

var _ messages.Journal = (*Journal)(nil)

// Between two attempts to open a store that cannot be written.
const (
	minRetry = time.Second
	maxRetry = time.Minute
)

// Open opens the journal of a folder. A damaged store is not an error: it is moved aside
// and Recovery tells what of it could be verified. Errors are ErrJournalUnavailable (the
// folder is in use, or cannot be written) and ErrJournalNewer; nothing was changed then.
func Open(o Options) (*Journal, Recovery, error) {
	j := &Journal{
		o: o.withDefaults(), turn: make(chan struct{}, 1), state: messages.JournalReady,
		lanes: map[string]*lane{}, closed: make(chan struct{}), wait: minRetry,
	}
	if err := os.MkdirAll(j.o.Dir, 0o700); err != nil {
		return nil, Recovery{}, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	var err error
	if j.lock, err = lockFolder(j.o.Dir); err != nil {
		return nil, Recovery{}, err
	}
	var rec Recovery
	if j.open, rec, err = openWhole(j.o); err != nil {
		return nil, rec, errors.Join(err, j.lock.Close())
	}
	j.turn <- struct{}{}
	return j, rec, nil
}

func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s is in use: %w", messages.ErrJournalUnavailable, dir, err), f.Close())
	}
	return f, nil
}

// take waits for the turn. Who got it calls give.
func (j *Journal) take(ctx context.Context) error {
	select {
	case <-j.closed:
		return messages.ErrJournalClosed
	default:
	}
	select {
	case <-j.turn:
		return nil
	case <-j.closed:
		return messages.ErrJournalClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, ctx.Err())
	}
}

func (j *Journal) give() { j.turn <- struct{}{} }

// ready opens the store anew if it was given up.
func (j *Journal) ready() error {
	if j.open != nil {
		return nil
	}
	now := j.o.Now()
	if now.Before(j.next) {
		_, why := j.State()
		return fmt.Errorf("%w; tried again in %v", why, j.next.Sub(now).Round(time.Millisecond))
	}
	x, rec, err := openWhole(j.o)
	if err != nil {
		j.later()
		j.say(messages.JournalDegraded, err)
		return err
	}
	j.open = x
	if rec.Err != nil {
		j.o.OnRecovery(rec)
	}
	return nil
}

func (j *Journal) later() {
	j.next = j.o.Now().Add(j.wait)
	j.wait = min(2*j.wait, maxRetry)
}

// failed gives up the store: what is on disk is not known until it is read anew.
func (j *Journal) failed(err error) {
	j.open.store.close()
	j.open = nil
	j.later()
	j.say(messages.JournalDegraded, err)
}

// say tells of a state that is new.
func (j *Journal) say(s messages.JournalState, why error) {
	j.mu.Lock()
	changed := j.state != s && j.state != messages.JournalClosed
	if changed || j.state == s {
		j.state, j.why = s, why
	}
	j.mu.Unlock()
	if changed {
		j.o.OnState(s, why)
	}
}

// State implements messages.Journal.
func (j *Journal) State() (messages.JournalState, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state, j.why
}

// Append implements messages.Journal. ctx bounds how long it waits for its turn; a write
// that began is waited for.
func (j *Journal) Append(ctx context.Context, a messages.JournalAppend) (uint64, error) {
	r := &record{
		aggregate: a.Aggregate, id: a.ID, events: a.Events,
		before: a.Expected, sequence: a.Expected + uint64(len(a.Events)), millis: j.millis(),
	}
	if err := r.check(); err != nil {
		return 0, fmt.Errorf("%w: %w", messages.ErrJournalInvalid, err)
	}
	if err := j.take(ctx); err != nil {
		return 0, err
	}
	defer j.give()
	of, err := j.aggregate(a.Aggregate)
	if err != nil {
		return 0, err
	}
	if was, ok, err := of.known(a.ID, a.Events); ok || err != nil {
		return was, err
	}
	if of.sequence != a.Expected {
		return 0, fmt.Errorf("%w: %s is at %d, not at %d", messages.ErrJournalConflict, a.Aggregate, of.sequence, a.Expected)
	}
	return r.sequence, j.write(of, r)
}

func (j *Journal) millis() uint64 { return uint64(max(j.o.Now().UnixMilli(), 0)) }

// aggregate is what the store has of one. The turn is the caller's.
func (j *Journal) aggregate(name string) (*aggregate, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%w: aggregate %q: lower case, digits and dashes, at most %d", messages.ErrJournalInvalid, name, maxName)
	}
	if err := j.ready(); err != nil {
		return nil, err
	}
	of := j.open.aggregates[name]
	if of == nil {
		of = newAggregate()
		j.open.aggregates[name] = of
	}
	return of, nil
}

// write appends a record that fits.
func (j *Journal) write(of *aggregate, r *record) error {
	data := r.encode()
	number, err := j.open.store.append(r.aggregate, of.number, r.messageID(), data)
	if errors.Is(err, messages.ErrJournalFull) && j.makeRoom() {
		number, err = j.open.store.append(r.aggregate, of.number, r.messageID(), data)
	}
	switch {
	case err == nil && number > of.number:
		of.add(number, r)
		j.wait = minRetry
		j.say(messages.JournalReady, nil)
		return nil
	case err == nil:
		err = fmt.Errorf("%w: the server took a record for one that it has", messages.ErrJournalUnavailable)
	case errors.Is(err, messages.ErrJournalFull):
		err = fmt.Errorf("%w: %s has %d MiB, no more", err, j.o.Dir, j.o.MaxBytes>>20)
		j.say(messages.JournalDegraded, err)
		return err
	case errors.Is(err, messages.ErrJournalConflict):
		// Nobody but this journal writes there: what is known is wrong.
		err = fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	j.failed(err)
	return err
}

// messageID is for the server, which answers a message that came twice with the first. A
// state may well be written twice.
func (r *record) messageID() string {
	if r.state {
		return ""
	}
	return fmt.Sprintf("%d-%s", r.sequence, r.id)
}

// makeRoom drops all that no fold needs.
func (j *Journal) makeRoom() bool {
	some := false
	for name, of := range j.open.aggregates {
		dropped, err := j.trim(name, of, 0)
		if err != nil {
			j.o.Log.Warn("journal: old events cannot be dropped", "err", err)
			return some
		}
		some = some || dropped
	}
	return some
}

// trim drops what stands before the last state, except its last events.
func (j *Journal) trim(name string, of *aggregate, keep uint64) (bool, error) {
	number := of.drop(keep)
	if number == 0 {
		return false, nil
	}
	if err := j.open.store.purge(name, number); err != nil {
		return false, err
	}
	of.dropped(number)
	return true, nil
}

// Snapshot implements messages.Journal.
func (j *Journal) Snapshot(ctx context.Context, name string, sequence uint64, state messages.JournalEvent) error {
	return j.writeState(ctx, &record{
		state: true, aggregate: name, before: sequence, sequence: sequence, events: []messages.JournalEvent{state},
	})
}

// writeState writes a state, unless that very one is there, and drops what retention does
// not keep.
func (j *Journal) writeState(ctx context.Context, r *record) error {
	r.millis = j.millis()
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalInvalid, err)
	}
	if err := j.take(ctx); err != nil {
		return err
	}
	defer j.give()
	of, err := j.aggregate(r.aggregate)
	if err != nil {
		return err
	}
	if of.sequence == r.sequence && r.before < r.sequence && of.state == len(of.marks)-1 && of.state >= 0 &&
		of.marks[of.state].before == r.before {
		return nil // it was tried before, and written
	}
	if of.sequence != r.before {
		return fmt.Errorf("%w: %s is at %d, not at %d", messages.ErrJournalConflict, r.aggregate, of.sequence, r.before)
	}
	if r.before == r.sequence {
		r.id = of.lastID
	}
	if err := j.write(of, r); err != nil {
		return err
	}
	if _, err := j.trim(r.aggregate, of, j.o.Keep); err != nil {
		j.o.Log.Warn("journal: old events cannot be dropped", "err", err) // the state is written
	}
	return nil
}

// Close ends lanes, what they have not written yet lost, and the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.state == messages.JournalClosed {
		j.mu.Unlock()
		return nil
	}
	j.state, j.why = messages.JournalClosed, messages.ErrJournalClosed
	close(j.closed)
	j.mu.Unlock()
	j.work.Wait()
	<-j.turn // for good: who wants it sees closed
	var err error
	if j.open != nil {
		j.open.store.close()
		err = writeHeads(j.o.Dir, j.open.heads())
		j.open = nil
	}
	return errors.Join(err, j.lock.Close())
}
