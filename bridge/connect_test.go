package bridge

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// Whose key the server does not know is told which it knows.
func TestUnknownCredential(t *testing.T) {
	b := joins(t, "n1", Options{Listen: "127.0.0.1:0"})
	stranger := filepath.Join(t.TempDir(), "nats.creds")
	if _, err := KeptKey(stranger); err != nil {
		t.Fatal(err)
	}
	c, err := ConnectFleet(t.Context(), FleetAccess{Servers: []string{b.ClientURL()}, Credential: stranger, Fleet: "f"})
	if err == nil {
		c.Close()
	}
	for _, want := range []string{stranger, "NatsCredentialFile", "nats-accounts.conf"} {
		if !errors.Is(err, nats.ErrAuthorization) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
