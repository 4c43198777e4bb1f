package e2e

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// TestHostingIdleClients: the circuit of a client who was met and has no stream any more is
// closed by the service, whatever the client does; one with a stream stays. Clients of C tor
// keep theirs for ten minutes.
func TestHostingIdleClients(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "hs")
	c := hosts(t, t.TempDir(), 2, append(l.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http,
		"HiddenServicePort 7 unix:"+unixEcho(t), "MaxCircuitDirtiness 10 seconds")...)
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")

	met := func() (ids []string) {
		c.count(func(e *chivev1.Envelope) bool {
			if m := e.GetHostingMet(); m != nil {
				ids = append(ids, m.GetCircuitId())
			}
			return false
		})
		return ids
	}
	closed := func(id string) bool {
		return c.count(func(e *chivev1.Envelope) bool {
			return e.GetActorId() == id && e.GetCircuitClosed().GetOutcome() == chivev1.Outcome_OUTCOME_IDLE
		}) > 0
	}
	conn, code := tor.connect(t, address, 7)
	if code != 0 || len(met()) != 1 {
		t.Fatalf("reply %d, %d clients are met", code, len(met()))
	}
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	tor.fetchOnion(t, "idle", address, 1000)
	ids := met()
	if len(ids) != 2 {
		t.Fatalf("%d clients are met", len(ids))
	}
	c.eventually(t, "the circuit without streams is closed", 90*time.Second, func() bool { return closed(ids[1]) })
	if closed(ids[0]) {
		t.Error("the circuit with a stream is closed")
	}
	var got [5]byte
	if _, err := fmt.Fprint(conn, "still"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, got[:]); err != nil || string(got[:]) != "still" {
		t.Errorf("%q, %v", got, err)
	}
}
