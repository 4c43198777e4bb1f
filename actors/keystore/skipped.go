package keystore

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
)

// Skipped is a file in a folder of keys that holds none.
type Skipped struct {
	File  string // its name
	Why   string
	Other bool // by its name it is for something else
}

// Broken are those that were to hold a key, by their names.
func Broken(all []Skipped) (out []Skipped) {
	for _, s := range all {
		if !s.Other {
			out = append(out, s)
		}
	}
	return out
}

// Restricted reports whether only authorised clients find a service, by what
// [Service.Clients] gave. Files that were to name one and do not keep everybody out.
func Restricted(clients map[string][32]byte, skipped []Skipped) bool {
	return len(clients)+len(Broken(skipped)) > 0
}

var errNoName = errors.New("there is no name in front of its ending")

// reason says what was wrong with a file, without its path.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// mostWarnings is how many files of a folder are named in the log at a time.
const mostWarnings = 8

// WarnOf names the files of a folder that hold no key in the log, with the reason.
func WarnOf(log *slog.Logger, what, folder string, all []Skipped) {
	for i, s := range all {
		if i == mostWarnings {
			log.Warn(what+": so do others", "folder", folder, "files", len(all)-i)
			return
		}
		log.Warn(what, "file", Loggable(filepath.Join(folder, s.File)), "reason", Loggable(s.Why))
	}
}

// coded is what may be an address or a key, whole or in part.
var coded = regexp.MustCompile(`(?i)[a-z2-7]{40,}`)

// Loggable is a text about a file without addresses and keys, which no log tells: C tor names
// files of ClientOnionAuthDir by the service's address.
func Loggable(text string) string { return coded.ReplaceAllString(text, "[address]") }
