package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	"chive/messages/chivev1"
)

// proxied is a target that reads a PROXY line of each stream, and sends it back.
func proxied(t *testing.T) (address string) {
	t.Helper()
	return serving(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		r := bufio.NewReader(conn)
		line, err := r.ReadString('\n')
		if err == nil {
			_, err = io.WriteString(conn, line)
		}
		if err == nil {
			_, _ = io.Copy(conn, r) // ends when the client does
		}
	}).String()
}

// clientOf asks the target at a service's port whose stream this is, and whether what the
// client sends comes behind that.
func (c *client) clientOf(t *testing.T, address string, port uint16) uint32 {
	t.Helper()
	conn, code := c.connect(t, address, port)
	if code != 0 {
		t.Fatalf("SOCKS replies %d", code)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var high, low, source, to uint32
	n, err := fmt.Sscanf(line, "PROXY TCP6 fc00:dead:beef:4dad::%x:%x ::1 %d %d\r\n", &high, &low, &source, &to)
	if n != 4 || err != nil || high > 0xffff || source != low || to != uint32(port) {
		t.Fatalf("the target was told %q", line)
	}
	if echo, err := r.ReadString('\n'); err != nil || echo != "hello\n" {
		t.Fatalf("behind it came %q, %v", echo, err)
	}
	return high<<16 | low
}

// TestHostingExportCircuitID: the target tells C tor's clients by their circuits, whose
// numbers the events have.
func TestHostingExportCircuitID(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "proxied")
	target := proxied(t)
	c := hosts(t, t.TempDir(), 2, append(l.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServiceExportCircuitID haproxy",
		"HiddenServicePort 80 "+target, "HiddenServicePort 443 "+target)...)
	address := addressOf(t, dir)
	first, second := ctor(t, l.Network, "first"), ctor(t, l.Network, "second")
	one, again, other := first.clientOf(t, address, 80), first.clientOf(t, address, 443), second.clientOf(t, address, 80)
	if one != again || one == other {
		t.Errorf("clients %d, %d and %d", one, again, other)
	}
	for _, number := range []uint32{one, other} {
		if n := c.count(func(e *chivev1.Envelope) bool { return e.GetHostingMet().GetNumber() == number }); n != 1 {
			t.Errorf("%d events tell of client %d", n, number)
		}
	}
}
