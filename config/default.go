package config

import (
	"os"
	"path/filepath"
)

// DefaultDataDirectory is where a node keeps its data when no torrc says:
// chive below XDG_DATA_HOME, or below ~/.local/share.
func DefaultDataDirectory() (string, error) {
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "chive"), nil
	}
	return absolute(defaultDataDirectory)
}
