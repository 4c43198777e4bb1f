package journal

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog is the server's logger. It keeps the first failure, which tells why the
// server does not start or does not store.
type serverLog struct {
	log *slog.Logger

	mu     sync.Mutex // protects the fields below
	failed error
	ended  bool   // it does not start
	told   func() // of the next failure
}

func (l *serverLog) say(level, format string, args []any) {
	l.log.Debug("journal's NATS", "level", level, "text", fmt.Sprintf(format, args...))
}

func (l *serverLog) keep(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf(format, args...)
	}
	if l.told != nil {
		l.told()
	}
}

// tell has f called when the server says that something failed; nil ends it. A message
// that it cannot write is never answered.
func (l *serverLog) tell(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = f
}

// Noticef and the like are server.Logger's.
func (l *serverLog) Noticef(string, ...any)           {}
func (l *serverLog) Debugf(string, ...any)            {}
func (l *serverLog) Tracef(string, ...any)            {}
func (l *serverLog) Warnf(format string, args ...any) { l.say("warning", format, args) }
func (l *serverLog) Errorf(format string, args ...any) {
	l.say("error", format, args)
	l.keep(format, args)
}

func (l *serverLog) Fatalf(format string, args ...any) {
	l.say("fatal", format, args)
	l.keep(format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// dead says whether the server gave up: it is never ready then, though it was started.
func (l *serverLog) dead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// failure adds to err what the server said first since it was asked last.
func (l *serverLog) failure(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := l.failed
	l.failed = nil
	if said == nil {
		return err
	}
	return fmt.Errorf("%w (the server: %w)", err, said)
}
