// Package diary is a log that tests read while it is written.
package diary

import (
	"strings"
	"sync"
)

// Log is an io.Writer for any number of goroutines; the zero value is empty.
type Log struct {
	mu   sync.Mutex // protects text
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count is how often it says something.
func (l *Log) Count(what string) int { return strings.Count(l.String(), what) }
