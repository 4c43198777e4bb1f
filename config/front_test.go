package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// written loads the lines as a torrc.
func written(t *testing.T, text string) (*Config, error) {
	t.Helper()
	torrc := filepath.Join(t.TempDir(), "torrc")
	if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(torrc, nil)
}

func TestHTTPTunnelPort(t *testing.T) {
	c, err := written(t, "SocksPort 0\nHTTPTunnelPort 8118 IsolateDestAddr\nHTTPTunnelPort auto SessionGroup=3\n")
	if err != nil || len(c.Warnings) != 0 {
		t.Fatal(err, c.Warnings)
	}
	p := c.HTTPTunnelPorts
	if len(p) != 2 || p[0].Protocol != HTTP || p[0].String() != "127.0.0.1:8118" || !p[0].IsolateDestAddr || !p[1].Auto || p[1].SessionGroup != 3 || len(c.Listeners()) != 2 {
		t.Fatalf("%+v", p)
	}
	if got := Find("HTTPTunnelPort").Values(c); !slices.Equal(got, []string{"127.0.0.1:8118 IsolateDestAddr", "127.0.0.1:auto SessionGroup=3"}) {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{
		"SocksPort 9050\nHTTPTunnelPort 9050\n", "HTTPTunnelPort 1\nHTTPTunnelPort 0\n", "HTTPTunnelPort 1 ExtendedErrors\n",
		"HTTPTunnelPort 0.0.0.0:1\n",
	} {
		if _, err := written(t, bad); !errors.Is(err, ErrConflict) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if AllowRemote("HTTPTunnelPort") == nil {
		t.Error("a remote party may open a listener")
	}
}

// OnionTrafficOnly is NoDNSRequest, NoIPv4Traffic and NoIPv6Traffic (tor manual).
func TestOnionTrafficOnly(t *testing.T) {
	c, err := written(t, "SocksPort 1 OnionTrafficOnly\nSocksPort 2 NoDNSRequest PreferSOCKSNoAuth\n")
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.SocksPorts[0], c.SocksPorts[1]
	if a.DNSRequest || a.IPv4Traffic || a.IPv6Traffic || !a.OnionTraffic {
		t.Errorf("%+v", a)
	}
	if b.DNSRequest || !b.IPv4Traffic || !b.PreferSOCKSNoAuth {
		t.Errorf("%+v", b)
	}
}

func TestDNSPort(t *testing.T) {
	c, err := written(t, "DNSPort 5353 IsolateDestAddr SessionGroup=2\nDNSPort [::1]:auto\n")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.DNSPorts; len(p) != 2 || p[0].Protocol != DNS || !p[0].IsolateDestAddr || p[0].SessionGroup != 2 || !p[1].Auto || len(c.Listeners()) != 3 {
		t.Fatalf("%+v", c.DNSPorts)
	}
	for _, bad := range []string{"DNSPort unix:/tmp/x\n", "DNSPort 1 NoIPv6Traffic\n", "DNSPort 1 NoDNSRequest\n", "DNSPort 1 ExtendedErrors\n", "DNSPort 0.0.0.0:53\n"} {
		if _, err := written(t, bad); !errors.Is(err, ErrConflict) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if AllowRemote("DNSPort") == nil {
		t.Error("a remote party may open a listener")
	}
}

func TestMapAddress(t *testing.T) {
	c, err := written(t, "MapAddress A.example b.example\nMapAddress *.x.example *.y.example\nMapAddress 192.0.2.1 c.example\nAutomapHostsSuffixes .onion, .example\nVirtualAddrNetworkIPv4 10.1.2.3/16\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.MapAddresses) != 3 || c.MapAddresses[0] != (Mapping{"a.example", "b.example"}) || !slices.Equal(c.AutomapHostsSuffixes, []string{".onion", ".example"}) || c.VirtualAddrNetworkIPv4.String() != "10.1.0.0/16" {
		t.Errorf("%+v %q %v", c.MapAddresses, c.AutomapHostsSuffixes, c.VirtualAddrNetworkIPv4)
	}
	for _, bad := range []string{
		"MapAddress a.example", "MapAddress a.example *.b.example", "MapAddress a..b c.example", "MapAddress a.example b.exit",
		"MapAddress *.exit b.example", "MapAddress a.example 127.1", "AutomapHostsSuffixes onion", "AutomapHostsSuffixes .exit",
		"VirtualAddrNetworkIPv4 10.0.0.0/17", "VirtualAddrNetworkIPv4 [fe80::]/10", "VirtualAddrNetworkIPv6 [fe80::]/105", "VirtualAddrNetworkIPv6 10.0.0.0/8",
	} {
		if _, err := written(t, bad+"\n"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, name := range []string{"MapAddress", "AutomapHostsOnResolve", "AutomapHostsSuffixes", "VirtualAddrNetworkIPv4", "VirtualAddrNetworkIPv6"} {
		if AllowRemote(name) == nil {
			t.Errorf("a remote party may set %s", name)
		}
	}
}

func TestUpstreamProxies(t *testing.T) {
	c, err := written(t, "Socks5Proxy 127.0.0.1\nSocks5ProxyUsername u\nSocks5ProxyPassword p\n")
	if err != nil || c.Socks5Proxy.String() != "127.0.0.1:1080" {
		t.Fatal(c, err)
	}
	for _, bad := range []string{
		"Socks4Proxy 127.0.0.1\nSocks5Proxy 127.0.0.1", "Socks5Proxy 127.0.0.1\nHTTPSProxy 127.0.0.1", "HTTPSProxy proxy.example:80",
		"Socks5Proxy 127.0.0.1:0", "Socks5ProxyUsername u", "Socks5Proxy 127.0.0.1\nSocks5ProxyUsername u", "HTTPSProxyAuthenticator a:b",
	} {
		if _, err := written(t, bad+"\n"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, name := range []string{"Socks4Proxy", "Socks5Proxy", "Socks5ProxyUsername", "Socks5ProxyPassword", "HTTPSProxy", "HTTPSProxyAuthenticator"} {
		if AllowRemote(name) == nil {
			t.Errorf("a remote party may set %s", name)
		}
	}
}
