package ingress

import (
	"errors"
	"net"
	"net/netip"
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
