package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// exchange sends and reads until the node closes, or until it has said enough.
func exchange(t *testing.T, addr, send string, enough int) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.LimitReader(conn, int64(enough)))
	if err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	return string(got)
}

// Every protocol of a SocksPort and an HTTPTunnelPort, through relays of C tor.
func TestFrontEnds(t *testing.T) {
	n := network(t)
	tunnel := freePort(t)
	c := start(t, n, "HTTPTunnelPort "+tunnel, "IsolateClientProtocol 1")
	socks := c.socks
	if socks == tunnel {
		socks = (<-c.Listening()).String()
	}
	c.socks = socks

	t.Run("curl", func(t *testing.T) { curls(t, n, socks, tunnel) })
	t.Run("SOCKS4", func(t *testing.T) { socks4(t, n, socks) })
	t.Run("RESOLVE_PTR", func(t *testing.T) { reverse(t, socks) })
	t.Run("HTTP", func(t *testing.T) { httpTunnel(t, n, socks, tunnel) })
	t.Run("isolation", func(t *testing.T) { protocolsApart(t, n, c, tunnel) })
}

func curls(t *testing.T, n *testnet.Network, socks, tunnel string) {
	const size = 300_000
	want := direct(t, resource(n, size))
	named := fmt.Sprintf("http://target.test:%d/bytes/%d", n.Target().HTTPPort, size)
	for _, args := range [][]string{
		{"--socks4", socks, resource(n, size)},
		{"--socks4a", socks, resource(n, size)},
		{"--socks4a", socks, named},
		{"--socks5-hostname", socks, named},
		{"--proxytunnel", "--proxy", "http://" + tunnel, named},
		{"--proxytunnel", "--proxy", "http://" + socks, named},
		{"--proxytunnel", "--proxy", "http://tor-iso:x@" + tunnel, resource(n, size)},
	} {
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--max-time", "150"}, args...)...).CombinedOutput()
		sum := sha256.Sum256(out)
		if err != nil || hex.EncodeToString(sum[:]) != want {
			t.Errorf("curl %v: %d bytes, err %v, %.200q", args, len(out), err, out)
		}
	}
	for _, proxy := range []string{socks, tunnel} { // as an HTTP proxy, which it is not
		out, err := exec.CommandContext(t.Context(), "curl", "-sSi", "--max-time", "150", "--proxy", "http://"+proxy, named).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "HTTP/1.0 405 ") || !strings.Contains(string(out), "(curl: --socks5-hostname)") {
			t.Errorf("curl by an HTTP proxy: err %v, %q", err, out)
		}
	}
}

func socks4(t *testing.T, n *testnet.Network, addr string) {
	ip := n.Target().IP.As4()
	for send, want := range map[string]string{
		"\x04\xf0\x00\x00\x00\x00\x00\x01\x00target.test\x00": "\x00\x5a\x00\x00" + string(ip[:]),
		"\x04\xf0\x00\x00\x00\x00\x00\x01\x00nx.test\x00":     "\x00\x5b\x00\x00\x00\x00\x00\x00",
		"\x04\xf0\x00\x00\xc0\x00\x02\x07\x00":                "\x00\x5a\x00\x00\xc0\x00\x02\x07", // of an address: known
	} {
		if got := exchange(t, addr, send, 100); got != want {
			t.Errorf("%q: % x, want % x", send, got, want)
		}
	}
}

// reverse asks for the name of an address.
func reverse(t *testing.T, addr string) {
	const ask = "\x05\x01\x00\x05\xf1\x00"
	if got := exchange(t, addr, ask+"\x01\xc6\x33\x64\x07\x00\x00", 300); got != "\x05\x00\x05\x00\x00\x03\x0btarget.test\x00\x00" {
		t.Errorf("%q", got)
	}
	if got := exchange(t, addr, ask+"\x03\x03a.b\x00\x00", 300); len(got) != 12 || got[3] != 8 {
		t.Errorf("of a name: % x", got)
	}
}

func httpTunnel(t *testing.T, n *testnet.Network, socks, tunnel string) {
	echo := netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort))
	for _, addr := range []string{socks, tunnel} {
		ok := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\nTor-Stream-Isolation: me\r\n\r\nearly words", echo, echo)
		const head = "HTTP/1.0 200 OK\r\nTor-Capabilities: Proxy-Authorization Tor-Family-Preference Tor-Stream-Isolation X-Tor-Stream-Isolation\r\nVia: tor/1.0 tor-network (chive)\r\n\r\n"
		if got := exchange(t, addr, ok, len(head)+len("early words")); got != head+"early words" {
			t.Errorf("%q", got)
		}
		for send, want := range map[string]string{
			"CONNECT nx.test:80 HTTP/1.1\r\n\r\n":                                                        "HTTP/1.0 404 ",
			fmt.Sprintf("CONNECT %s:9 HTTP/1.1\r\n\r\n", n.Target().IP):                                  "HTTP/1.0 403 ",
			fmt.Sprintf("CONNECT %s HTTP/1.1\r\nTor-Family-Preference: ipv6-only\r\n\r\n", echo):         "HTTP/1.0 403 ",
			"CONNECT duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:80 HTTP/1.1\r\n\r\n": "HTTP/1.0 ",
			"CONNECT nothing HTTP/1.1\r\n\r\n":                                                           "HTTP/1.0 400 ",
			"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                                              "HTTP/1.0 200 ",
			"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                  "HTTP/1.0 405 ",
		} {
			got := exchange(t, addr, send, 4096)
			if !strings.HasPrefix(got, want) {
				t.Errorf("%q: %q", send, got)
			}
			if failed := strings.Contains(got, "Tor-Request-Failed: chive/"); failed != (strings.HasPrefix(got, "HTTP/1.0 404") || strings.HasPrefix(got, "HTTP/1.0 403") || strings.Contains(send, ".onion")) {
				t.Errorf("%q: %q", send, got)
			}
		}
		if got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 4096); got != "" {
			t.Errorf("a page's request is answered %q", got)
		}
	}
	if got := exchange(t, tunnel, "\x05\x01\x00", 100); got != "" {
		t.Errorf("SOCKS on an HTTPTunnelPort: %q", got)
	}
}

// protocolsApart: with IsolateClientProtocol a circuit carries one protocol, and
// what an HTTP client says isolates as a SOCKS user name does.
func protocolsApart(t *testing.T, n *testnet.Network, c *client, tunnel string) {
	echo := netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort))
	ip, port := echo.Addr().As4(), echo.Port()
	to := string([]byte{byte(port >> 8), byte(port)})
	v4 := "\x04\x01" + to + string(ip[:]) + "\x00x"
	v5 := "\x05\x01\x00\x05\x01\x00\x01" + string(ip[:]) + to + "x"
	web := func(header string) string { return fmt.Sprintf("CONNECT %s HTTP/1.1\r\n%s\r\nx", echo, header) }
	groups := map[string]string{}
	for what, send := range map[string]string{
		"socks4": v4, "socks5": v5, "http": web(""), "http a": web("Tor-Stream-Isolation: a\r\n"),
		"http b": web("Tor-Stream-Isolation: b\r\n"), "http old a": web("X-Tor-Stream-Isolation: a\r\n"),
		"http auth": web("Proxy-Authorization: Basic dG9yLWlzbzph\r\n"),
	} {
		seen := map[string]bool{}
		for range 2 {
			if got := exchange(t, c.socks, send, 9); got == "" {
				t.Fatalf("%s: no answer", what)
			}
			c.mu.Lock()
			for i := len(c.log) - 1; i >= 0; i-- {
				if r := c.log[i].GetStreamRequested(); r.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL {
					seen[r.GetIsolation()] = true
					groups[r.GetIsolation()] = what
					break
				}
			}
			c.mu.Unlock()
		}
		if len(seen) != 1 {
			t.Errorf("%s: %d groups for the same request twice", what, len(seen))
		}
	}
	if len(groups) != 7 {
		t.Errorf("7 kinds of request are in %d groups: %v", len(groups), groups)
	}
}
