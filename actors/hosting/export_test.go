package hosting

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"chive/config"
)

// C tor's lines (its test of export_hs_client_circuit_id).
func TestProxyLine(t *testing.T) {
	for number, want := range map[uint32]string{
		666:                "PROXY TCP6 fc00:dead:beef:4dad::0:29a ::1 666 42\r\n",
		math.MaxUint32:     "PROXY TCP6 fc00:dead:beef:4dad::ffff:ffff ::1 65535 42\r\n",
		math.MaxUint16:     "PROXY TCP6 fc00:dead:beef:4dad::0:ffff ::1 65535 42\r\n",
		math.MaxUint16 + 7: "PROXY TCP6 fc00:dead:beef:4dad::1:6 ::1 6 42\r\n",
	} {
		if got := proxyLine(number, 42); got != want {
			t.Errorf("%d: %q", number, got)
		}
	}
}

// The target is told whose stream it is as the option says when the stream begins; and
// what cannot be reached is told nothing.
func TestExport(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := l.Addr().(*net.TCPAddr).AddrPort()
	service := config.OnionService{Ports: []config.OnionPort{{Port: 80, Target: target}, {Port: 81, Target: netip.MustParseAddrPort("127.0.0.1:1")}}}
	r := newRules(service, new(meter), time.Now)
	serve := r.exporting(7)
	hear := func() string {
		t.Helper()
		conn, err := serve(80, 0).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		there, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		b, err := io.ReadAll(there)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := hear(); got != "" {
		t.Errorf("%q without the option", got)
	}
	service.ExportCircuitID = true
	r.set(service)
	if got := hear(); got != proxyLine(7, 80) {
		t.Errorf("%q", got)
	}
	if conn, err := serve(81, 0).Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v", conn, err)
	}
	if served := serve(82, 0); served.Dial != nil || !served.Close {
		t.Error("a port that is none is served")
	}
	h := &hosting{}
	h.clients.Store(math.MaxUint32 - 1)
	if a, b, c := h.number(), h.number(), h.number(); a != math.MaxUint32 || b != 1 || c != 2 {
		t.Errorf("numbers %d, %d, %d", a, b, c)
	}
}
