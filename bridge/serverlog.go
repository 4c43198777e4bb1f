package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
)

// serverLog is the embedded server's logger. What it calls fatal, a port that
// is taken, is kept for Start instead of ending the process.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex // protects fatal
	fatal error
}

func (l *serverLog) say(level string, format string, args []any) {
	l.log.Debug("embedded NATS", "level", level, "text", fmt.Sprintf(format, args...))
}

// Noticef and the like are server.Logger's.
func (l *serverLog) Noticef(format string, args ...any) { l.say("notice", format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.say("warning", format, args) }
func (l *serverLog) Errorf(format string, args ...any)  { l.say("error", format, args) }
func (l *serverLog) Debugf(format string, args ...any)  { l.say("debug", format, args) }
func (l *serverLog) Tracef(format string, args ...any)  { l.say("trace", format, args) }

// Fatalf keeps the first failure.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf("embedded NATS: "+format, args...)
		if slices.ContainsFunc(args, inUse) {
			l.fatal = fmt.Errorf("%w: another program listens there, such as another chive or a NATS server; end it, or give NatsListen or NatsClusterListen another port", l.fatal)
		}
	}
}

func inUse(arg any) bool {
	err, ok := arg.(error)
	return ok && errors.Is(err, syscall.EADDRINUSE)
}

func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
