package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"chive/messages"
)

// The marker tells that there is a journal, and of what format the folder is: without it,
// a store that was lost as a whole would look like one that never was. A second line names
// the damaged store from which a new one is being made.
const (
	markerFile   = "format"
	markerFormat = 1
	markerText   = "chive journal %d\n"
	rebuildText  = "rebuild "
	maxMarker    = 1 << 10
)

type marker struct {
	existed bool
	rebuild string // the folder's name
}

func readMarker(dir string) (marker, error) {
	path := filepath.Join(dir, markerFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return marker{}, nil
	}
	if err != nil {
		return marker{}, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	m, err := parseMarker(b)
	if err != nil {
		return m, fmt.Errorf("%w: %s: use the chive that wrote it, or move %s away to begin without its history", err, path, dir)
	}
	return m, nil
}

// parseMarker reads a marker; one that is broken only tells that there was one.
func parseMarker(b []byte) (marker, error) {
	m := marker{existed: true}
	if len(b) > maxMarker {
		return m, nil
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	var format int
	if _, err := fmt.Sscanf(first+"\n", markerText, &format); err != nil {
		return m, nil
	}
	if format > markerFormat {
		return m, fmt.Errorf("%w: format %d, this program knows %d", messages.ErrJournalNewer, format, markerFormat)
	}
	name, ok := strings.CutPrefix(rest, rebuildText)
	name, ended := strings.CutSuffix(name, "\n")
	if ok && ended && strings.HasPrefix(name, asidePrefix) && !strings.ContainsAny(name, "/\\\n") {
		m.rebuild = name
	}
	return m, nil
}

// writeMarker does so when it does not say what it should.
func writeMarker(dir, rebuild string) error {
	text := fmt.Sprintf(markerText, markerFormat)
	if rebuild != "" {
		text += rebuildText + rebuild + "\n"
	}
	path := filepath.Join(dir, markerFile)
	if b, err := os.ReadFile(path); err == nil && string(b) == text {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close(), syncFolder(dir)); err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	return nil
}
