package keystore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// In events a service has another random name in each run of its node, so that nothing that
// leaves the node tells which service is meant, or that two names are one. Who may read the
// service's folder can know: there the names are kept.
const (
	namesFile = "chive_names"
	maxNames  = 512 // the oldest go
	nameSize  = 128 // bytes of a line at most
)

// NoteName writes down a name that the service has in events from now on.
func (s *Service) NoteName(name string, now time.Time) error {
	lines, err := nameLines(s.dir)
	if err != nil {
		return err
	}
	if n := len(lines); n > 0 && strings.HasPrefix(lines[n-1], name+" ") {
		return nil
	}
	lines = append(lines, name+" "+now.UTC().Format(time.RFC3339))
	if len(lines) > maxNames {
		lines = lines[len(lines)-maxNames:]
	}
	return write(s.path(namesFile), []byte(strings.Join(lines, "\n")+"\n"), 0o600, true)
}

// Names are those that the service of a folder has had in events, the oldest first.
func Names(folder string) (names []string, err error) {
	lines, err := nameLines(folder)
	for _, l := range lines {
		name, _, _ := strings.Cut(l, " ")
		names = append(names, name)
	}
	return names, err
}

func nameLines(folder string) (lines []string, err error) {
	b, err := readState(filepath.Join(folder, namesFile), maxNames*nameSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("names of an onion service: %w", err)
	}
	for in := bufio.NewScanner(bytes.NewReader(b)); in.Scan(); {
		if l := in.Text(); l != "" && len(l) < nameSize {
			lines = append(lines, l)
		}
	}
	return lines, nil
}
