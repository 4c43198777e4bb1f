package ingress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chive/config"
)

// A listener that cannot be bound says which, why, and what to do.
func TestRefusedBind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	at := func(protocol config.Protocol, where string) config.SocksPort {
		return config.SocksPort{Protocol: protocol, Network: "tcp", Address: netip.MustParseAddrPort(where)}
	}
	for _, tt := range []struct {
		port config.SocksPort
		err  error
		want string
	}{
		{at(config.SOCKS, taken.Addr().String()), syscall.EADDRINUSE, "end it, or give SocksPort another port"},
		{at(config.HTTP, taken.Addr().String()), syscall.EADDRINUSE, "end it, or give HTTPTunnelPort another port"},
		{at(config.Metrics, taken.Addr().String()), syscall.EADDRINUSE, "end it, or give MetricsPort another port"},
		{at(config.DNS, taken.Addr().String()), syscall.EADDRINUSE, "end it, or give DNSPort another port"},
		{at(config.DNS, udp.LocalAddr().String()), syscall.EADDRINUSE, "end it, or give DNSPort another port"},
		{at(config.SOCKS, "192.0.2.1:9050"), syscall.EADDRNOTAVAIL, "this machine does not have that address"},
	} {
		l, err := Listen(tt.port)
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.port.Protocol.String()+" "+tt.port.String()) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v at %v: %v", tt.port.Protocol, tt.port, err)
		}
		if err == nil {
			_ = l.Close()
		}
	}
	if _, err := ListenPackets(at(config.DNS, udp.LocalAddr().String())); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "give DNSPort another port") {
		t.Error(err)
	}
	if err := refusedBind(at(config.DNS, "127.0.0.1:53"), syscall.EACCES); !strings.Contains(err.Error(), "take one from 1024 on") {
		t.Error(err)
	}
}

// Nor has one of a unix socket the reader guess.
func TestRefusedUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	served, file := filepath.Join(dir, "served"), filepath.Join(dir, "file")
	other, err := net.Listen("unix", served)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "away", "s"): "make that folder first, with mode 0700",
		served:                          "another program serves that socket, such as another chive or C tor; end it, or give SocksPort another path",
		file:                            "there is a file with that name; remove it, or give SocksPort another path",
	} {
		p := config.SocksPort{Network: "unix", Path: path}
		if l, err := Listen(p); err == nil {
			_ = l.Close()
			t.Errorf("%s: bound", path)
		} else if text := err.Error(); !strings.Contains(text, "SocksPort "+p.String()) || !strings.HasSuffix(text, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := refusedBind(config.SocksPort{Network: "unix", Path: "/s"}, syscall.EACCES); !strings.Contains(err.Error(), "this user may make no socket there") {
		t.Error(err)
	}
}
