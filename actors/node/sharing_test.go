package node

import (
	crand "crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/actors/keystore"
	"chive/config"
	"chive/tor/onion"
	"chive/tor/onion/host"
)

// A service that nodes share may have delegated keys: what seals what they tell each other is
// delegated as well.
func TestSharedServiceTakesDelegatedKeys(t *testing.T) {
	identity, err := onion.GenerateSecretKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := host.NewDelegation(identity, crand.Reader, onion.Schedule{Voting: time.Hour, Minutes: 1440}, time.Now(), 3)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "site")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, keystore.DelegationFile), d.Text(), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := config.OnionService{Dir: dir}
	if err := checkService(&s); err != nil {
		t.Fatal(err)
	}
	s.Shared = true
	if err := checkService(&s); err != nil {
		t.Error(err)
	}
	whole := config.OnionService{Dir: filepath.Join(t.TempDir(), "other"), Shared: true}
	if err := checkService(&whole); err != nil {
		t.Error(err)
	}
}
