package supervisor

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Input is a message whose handling may be tried again, by the same or another
// actor. InputKey says what kind of input it is (for events: no content) and a
// key that is the same whenever the same input comes; an empty key is none. A
// key that would tell a target or a relay is to be hashed with a secret of this
// boot.
type Input interface{ InputKey() (kind, key string) }

func inputOf(message any) (kind, key string) {
	if in, ok := message.(Input); ok {
		return in.InputKey()
	}
	return "", ""
}

// QuarantineConfig says when input is set aside; a zero field takes its
// default.
type QuarantineConfig struct {
	Crashes int              // so many crashes of the same input set it aside; 3
	Within  time.Duration    // of one another: a crash after a longer pause is the first again; 1 h
	For     time.Duration    // how long it is set aside; 1 h
	Keep    int              // inputs remembered; the one that crashed longest ago goes first; 1024
	Now     func() time.Time // time.Now
	// OnSetAside, if not nil, is told when input is set aside, with no lock held.
	OnSetAside func(SetAside)
}

// WithDefaults fills in the zero fields.
func (c QuarantineConfig) WithDefaults() QuarantineConfig {
	setDefault(&c.Crashes, 3)
	setDefault(&c.Within, time.Hour)
	setDefault(&c.For, time.Hour)
	setDefault(&c.Keep, 1024)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (c QuarantineConfig) Validate() error {
	if c = c.WithDefaults(); c.Crashes < 1 || c.Within < 0 || c.For < 0 || c.Keep < 1 {
		return fmt.Errorf("%w: quarantine after %d crashes within %v for %v, %d kept", ErrConfig, c.Crashes, c.Within, c.For, c.Keep)
	}
	return nil
}

// SetAside reports that input is in quarantine now.
type SetAside struct {
	Kind, Key string
	By        string // what it crashed last
	Crashes   int
	For       time.Duration
}

// ErrPoison is matched by every refusal of a Quarantine.
var ErrPoison = errors.New("input in quarantine")

// PoisonError refuses input that crashed what handled it too often.
type PoisonError struct {
	Kind    string
	Crashes int
	Until   time.Time
}

func (e *PoisonError) Error() string {
	return fmt.Sprintf("%s set aside after %d crashes", e.Kind, e.Crashes)
}

// Is matches ErrPoison.
func (e *PoisonError) Is(target error) bool { return target == ErrPoison }

// Quarantine sets aside input that crashes what handles it again and again: an
// actor started anew would only meet it anew. It outlives the actors. Safe for
// concurrent use.
type Quarantine struct {
	config QuarantineConfig

	mu     sync.Mutex // protects inputs
	inputs map[inputID]*suspect
}

type inputID struct{ kind, key string }

type suspect struct {
	crashes int
	last    time.Time
	until   time.Time // set aside; zero if not
}

// NewQuarantine holds nothing. It panics if config.Validate fails: call that
// first for settings that come from outside.
func NewQuarantine(config QuarantineConfig) *Quarantine {
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return &Quarantine{config: config.WithDefaults(), inputs: map[inputID]*suspect{}}
}

// Admit returns a *PoisonError for input that is set aside.
func (q *Quarantine) Admit(kind, key string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := inputID{kind, key}
	s := q.inputs[id]
	if s == nil || s.until.IsZero() {
		return nil
	}
	// Left over from before the clock was set back, it is free as well.
	if left := s.until.Sub(q.config.Now()); left <= 0 || left > q.config.For {
		delete(q.inputs, id)
		return nil
	}
	return &PoisonError{Kind: kind, Crashes: s.crashes, Until: s.until}
}

// Crashed counts a crash of what handled the input (by); it reports whether
// that set the input aside.
func (q *Quarantine) Crashed(kind, key, by string) bool {
	report, aside := q.count(inputID{kind, key})
	if aside && q.config.OnSetAside != nil {
		report.By = by
		q.config.OnSetAside(report)
	}
	return aside
}

func (q *Quarantine) count(id inputID) (SetAside, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	s := q.inputs[id]
	if s == nil {
		q.makeRoom()
		s = &suspect{}
		q.inputs[id] = s
	}
	over := !s.until.IsZero() && !now.Before(s.until)
	if pause := now.Sub(s.last); over || pause > q.config.Within || pause < 0 {
		s.crashes, s.until = 0, time.Time{}
	}
	s.crashes++
	s.last = now
	if s.crashes < q.config.Crashes || !s.until.IsZero() {
		return SetAside{}, false
	}
	s.until = now.Add(q.config.For)
	return SetAside{Kind: id.kind, Key: id.key, Crashes: s.crashes, For: q.config.For}, true
}

// makeRoom forgets the input that crashed longest ago when there are too many,
// one that is not set aside if possible.
func (q *Quarantine) makeRoom() {
	if len(q.inputs) < q.config.Keep {
		return
	}
	var oldest inputID
	var found *suspect
	for id, s := range q.inputs {
		if found == nil || before(s, found) {
			oldest, found = id, s
		}
	}
	delete(q.inputs, oldest)
}

func before(a, b *suspect) bool {
	if a.until.IsZero() != b.until.IsZero() {
		return a.until.IsZero()
	}
	return a.last.Before(b.last)
}

// Worked forgets the crashes of input that was handled well since.
func (q *Quarantine) Worked(kind, key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.inputs, inputID{kind, key})
}

// Do handles input in the caller's goroutine: not at all if it is set aside,
// and a crash of fn, which goes on to the caller, is counted.
func (q *Quarantine) Do(kind, key, by string, fn func() error) error {
	if err := q.Admit(kind, key); err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			q.Crashed(kind, key, by)
		}
	}()
	err := fn()
	returned = true
	q.Worked(kind, key)
	return err
}
