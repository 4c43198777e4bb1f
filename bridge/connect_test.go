package bridge

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A node that is not there is named, whether the server says that nobody listens or time runs out.
func TestNobodyAnswers(t *testing.T) {
	b := joins(t, "n1", Options{Listen: "127.0.0.1:0"})
	c, err := ConnectFleet(t.Context(), FleetAccess{DataDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for name, ctx := range map[string]context.Context{"nobody listens": t.Context(), "time is up": over} {
		if _, err := c.Ask(ctx, "n9", "drain", nil); err == nil || err.Error() != "no node n9 answers (chive fleet nodes lists those that are there)" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who connects has time to prove who it is, on a machine that is very busy too.
func TestTimeToProveWhoOneIs(t *testing.T) {
	for name, o := range map[string]Options{"alone": {}, "with others": {Listen: "127.0.0.1:0"}} {
		s, err := joins(t, "n1", o).server.Varz(nil)
		if err != nil || s.AuthTimeout != proveTime.Seconds() || s.TLSTimeout != proveTime.Seconds() {
			t.Errorf("%s: %v, %v s, %v s for TLS", name, err, s.AuthTimeout, s.TLSTimeout)
		}
	}
}
