package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"chive/config"
)

// The rules for paths are those of the configuration, and a change of one is noticed.
func TestPathOptionsFollowTheConfiguration(t *testing.T) {
	load := func(lines string) *config.Config {
		t.Helper()
		torrc := filepath.Join(t.TempDir(), "torrc")
		if err := os.WriteFile(torrc, []byte(lines+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(torrc, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain, near := load(""), load("EnforceDistinctSubnets 0")
	if !pathOptions(plain, nil).EnforceDistinctSubnets || pathOptions(near, nil).EnforceDistinctSubnets || pathRules(plain) == pathRules(near) {
		t.Error("EnforceDistinctSubnets is not followed")
	}
	ports := load("LongLivedPorts 7,8")
	if !slices.Equal(pathOptions(ports, nil).LongLivedPorts, []uint16{7, 8}) || pathRules(plain) == pathRules(ports) {
		t.Error("LongLivedPorts is not followed")
	}
}
