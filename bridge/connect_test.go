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

// When all nodes are gone nobody names the fleet: that, and what to do, is said, and not that
// time ran out. With the fleet's name none is asked.
func TestAllNodesAreGone(t *testing.T) {
	h := startHub(t, "n1")
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	at := FleetAccess{Servers: []string{h.url}, Credential: h.keys[string(RoleOperate)]}
	for name, tt := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"time is up": {over, ErrNoAnswer}, "interrupted": {stopped, context.Canceled},
	} {
		c, err := ConnectFleet(tt.ctx, at)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "deadline") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := ErrNoAnswer.Error(); !strings.Contains(text, "--fleet NAME") || !strings.Contains(text, "none runs") {
		t.Errorf("no remedy: %s", text)
	}
	at.Fleet = "f"
	c, err := ConnectFleet(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	h.kill()
	if _, err := ConnectFleet(t.Context(), at); !errors.Is(err, nats.ErrNoServers) || !strings.Contains(err.Error(), "ends with that node") {
		t.Errorf("no server: %v", err)
	}
}
