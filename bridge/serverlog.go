package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serverLog is the embedded server's logger. What it calls fatal, a port that
// is taken, is kept for Start instead of ending the process.
type serverLog struct {
	log  *slog.Logger
	node string
	now  func() time.Time

	mu    sync.Mutex // protects the fields below
	fatal error
	told  time.Time // when a server of this one's name was told of last; zero: never
}

const (
	// duplicate is what the server says when it refuses a route for its name, with that name.
	duplicate = "Remote server has a duplicate name: %q"
	// duplicateEvery is how often the log tells of it at most: the other tries each second.
	duplicateEvery = 10 * time.Minute
)

func (l *serverLog) say(level string, format string, args []any) {
	l.log.Debug("embedded NATS", "level", level, "text", fmt.Sprintf(format, args...))
}

// Noticef and the like are server.Logger's.
func (l *serverLog) Noticef(format string, args ...any) { l.say("notice", format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.say("warning", format, args) }
func (l *serverLog) Errorf(format string, args ...any) {
	l.say("error", format, args)
	if strings.HasSuffix(format, duplicate) { // what comes before says which connection it was
		l.duplicated(l.now())
	}
}
func (l *serverLog) Debugf(format string, args ...any) { l.say("debug", format, args) }
func (l *serverLog) Tracef(format string, args ...any) { l.say("trace", format, args) }

// duplicated tells that another node with this one's NodeName would be of its cluster: servers are
// named for their nodes, and know each other by that name.
func (l *serverLog) duplicated(now time.Time) {
	l.mu.Lock()
	again := !l.told.IsZero() && now.Sub(l.told) < duplicateEvery
	if !again {
		l.told = now
	}
	l.mu.Unlock()
	if !again {
		l.log.Warn("another node with this node's NodeName wants into its cluster of NATS servers, and is refused: without it the cluster may have no majority; give one of them a NodeName of its own, and start it again",
			"node", l.node)
	}
}

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
