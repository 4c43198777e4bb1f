package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestGuardOptions(t *testing.T) {
	for _, tt := range []struct {
		lines string
		want  Guards
		kind  error // nil: it is taken
		warns int
	}{
		{"", Guards{}, nil, 0},
		{"NumPrimaryGuards 0\nNumEntryGuards 0\nNumDirectoryGuards 0\nGuardLifetime 0 minutes", Guards{}, nil, 0},
		{"NumPrimaryGuards 4\nNumEntryGuards 1\nNumDirectoryGuards 3", Guards{4, 1, 3, 0}, nil, 0},
		{"NumPrimaryGuards 4\nNumEntryGuards 4", Guards{4, 4, 0, 0}, nil, 1},
		{"NumEntryGuards 3", Guards{0, 3, 0, 0}, nil, 1}, // as many as the consensus lets be primary
		{"NumPrimaryGuards 2\nNumEntryGuards 3", Guards{}, ErrConflict, 0},
		{"NumPrimaryGuards 11", Guards{}, ErrValue, 0},
		{"NumEntryGuards -1", Guards{}, ErrValue, 0},
		{"NumDirectoryGuards many", Guards{}, ErrValue, 0},
		{"GuardLifetime 60 days", Guards{GuardLifetime: 60 * 24 * time.Hour}, nil, 0},
		{"GuardLifetime 2 weeks", Guards{GuardLifetime: 14 * 24 * time.Hour}, nil, 1},
		{"GuardLifetime 23 hours", Guards{}, ErrValue, 0},
		{"GuardLifetime 11 years", Guards{}, ErrValue, 0},
		{"UseEntryGuards 0", Guards{}, ErrUnsupported, 0},
	} {
		cfg, err := (&Source{File: "-", files: oneFile(tt.lines + "\n")}).Load()
		if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) {
			t.Errorf("%q: %v", tt.lines, err)
			continue
		}
		if err != nil {
			continue
		}
		if cfg.Guards != tt.want || len(cfg.Warnings) != tt.warns {
			t.Errorf("%q: %+v, warnings %v", strings.ReplaceAll(tt.lines, "\n", ", "), cfg.Guards, cfg.Warnings)
		}
	}
}
