package fleet

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSilenceIsTold(t *testing.T) {
	var said bytes.Buffer
	s := &silence{log: slog.New(slog.NewTextHandler(&said, nil))}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	refused := errors.New("no suitable peers for placement")
	for i, step := range []struct {
		err     error
		reached bool
		for_    time.Duration
		want    string // what is said meanwhile
	}{
		{nil, true, time.Minute, ""},
		{refused, true, unheardFor, ""},
		{nil, true, time.Minute, ""}, // servers were started
		{refused, false, time.Hour, ""},
		{refused, true, unheardFor, ""},
		{refused, true, time.Hour, "store nothing that this node says"},
		{nil, true, time.Minute, "store what this node says again"},
		{refused, true, time.Hour, "store nothing that this node says"},
		{refused, false, time.Hour, ""},
		{nil, true, time.Minute, "store what this node says again"},
	} {
		said.Reset()
		for end := now.Add(step.for_); now.Before(end); now = now.Add(5 * time.Second) {
			s.tried(step.err, step.reached, now)
		}
		if got := said.String(); strings.Count(got, "\n") != min(1, len(step.want)) || !strings.Contains(got, step.want) ||
			strings.Contains(got, "WARN") && !strings.Contains(got, refused.Error()) || strings.Contains(got, "again") && !strings.Contains(got, "level=INFO+2") {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
