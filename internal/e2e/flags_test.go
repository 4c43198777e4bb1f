package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// twoFamilies listens at one port of the target's address and of [::1], and says by which
// it was reached.
func twoFamilies(t *testing.T, four netip.Addr) (port uint16) {
	t.Helper()
	for range 20 {
		six, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("no IPv6 on loopback: %v", err)
		}
		port = uint16(six.Addr().(*net.TCPAddr).Port)
		v4, err := net.Listen("tcp", netip.AddrPortFrom(four, port).String())
		if err != nil { // taken there: another
			_ = six.Close()
			continue
		}
		done := make(chan struct{}, 2)
		for say, l := range map[string]net.Listener{"4": v4, "6": six} {
			go func() {
				defer func() { done <- struct{}{} }()
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, say)
					_ = c.Close()
				}
			}()
		}
		t.Cleanup(func() {
			_ = v4.Close()
			_ = six.Close()
			<-done
			<-done
		})
		return port
	}
	t.Fatal("no port that is free in both families")
	return 0
}

// reached asks a listener for a host and says by which family it was reached, or the code
// of the refusal.
func reached(t *testing.T, at, protocol, host string, port uint16) string {
	t.Helper()
	to := string([]byte{byte(port >> 8), byte(port)})
	if protocol != "http" {
		address := "\x03" + string([]byte{byte(len(host))}) + host
		if a, err := netip.ParseAddr(host); err == nil {
			address = map[bool]string{true: "\x01", false: "\x04"}[a.Is4()] + string(a.AsSlice())
		}
		command := map[string]string{"connect": "\x01", "resolve": "\xf0"}[protocol]
		got := exchange(t, at, "\x05\x01\x00\x05"+command+"\x00"+address+to, 100)
		switch {
		case len(got) < 12:
			return fmt.Sprintf("%q", got)
		case got[3] != 0:
			return fmt.Sprintf("reply %02x", got[3])
		case protocol == "resolve":
			return map[byte]string{1: "4", 4: "6"}[got[5]]
		}
		return got[len(got)-1:]
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	got := exchange(t, at, fmt.Sprintf("CONNECT %s:%d HTTP/1.1\r\n\r\n", host, port), 4096)
	if code := strings.Fields(got); len(code) < 2 || code[1] != "200" {
		return strings.Join(code[:min(2, len(code))], " ")
	}
	return got[len(got)-1:]
}

// The flags of a SocksPort and an HTTPTunnelPort that say over which version of IP an
// exit connects, and whether names are asked for at all; over exits of C tor that have
// both.
func TestIPFlags(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Torrc: map[string][]string{"exit": {"IPv6Exit 1"}}})
	port := twoFamilies(t, n.Target().IP)
	flags := []string{"", "PreferIPv6", "NoIPv4Traffic", "NoIPv6Traffic", "NoDNSRequest", "OnionTrafficOnly", "NoOnionTraffic"}
	socks, tunnel := map[string]string{}, map[string]string{}
	dns := freePort(t)
	lines := []string{"DNSPort " + dns}
	for _, f := range flags {
		socks[f], tunnel[f] = freePort(t), freePort(t)
		lines = append(lines, "SocksPort "+socks[f]+" "+f, "HTTPTunnelPort "+tunnel[f]+" "+f)
	}
	c := start(t, n, lines...)
	four := n.Target().IP.String()
	const onion = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"
	refusedHere := func(got string) bool { return got == "reply 02" || got == "HTTP/1.0 403" }
	failed := func(got string) bool {
		return strings.HasPrefix(got, "reply ") || strings.HasPrefix(got, "HTTP/1.0 4") || strings.HasPrefix(got, "HTTP/1.0 5")
	}
	by := func(family string) func(string) bool { return func(got string) bool { return got == family } }
	for _, tt := range []struct {
		flag, host string
		right      func(string) bool
	}{
		{"", "both.test", by("4")},
		{"", "six.test", by("6")},
		{"", four, by("4")},
		{"", "::1", by("6")},
		{"PreferIPv6", "both.test", by("6")},
		{"PreferIPv6", "four.test", by("4")},
		{"NoIPv4Traffic", "both.test", by("6")},
		{"NoIPv4Traffic", "four.test", failed},
		{"NoIPv4Traffic", four, refusedHere},
		{"NoIPv4Traffic", "::1", by("6")},
		{"NoIPv6Traffic", "both.test", by("4")},
		{"NoIPv6Traffic", "six.test", failed},
		{"NoIPv6Traffic", "::1", refusedHere},
		{"NoDNSRequest", "both.test", refusedHere},
		{"NoDNSRequest", four, by("4")},
		{"OnionTrafficOnly", "both.test", refusedHere},
		{"OnionTrafficOnly", four, refusedHere},
		{"OnionTrafficOnly", "::1", refusedHere},
		{"NoOnionTraffic", onion, failed},
		{"NoOnionTraffic", "both.test", by("4")},
	} {
		for protocol, at := range map[string]string{"connect": socks[tt.flag], "http": tunnel[tt.flag]} {
			if got := reached(t, at, protocol, tt.host, port); !tt.right(got) {
				t.Errorf("%s at a listener with %q: %s is %s", protocol, tt.flag, tt.host, got)
			}
		}
	}
	for _, tt := range []struct {
		flag, host string
		right      func(string) bool
	}{
		{"", "both.test", by("4")},
		{"PreferIPv6", "both.test", by("6")},
		{"NoIPv4Traffic", "both.test", by("6")},
		{"NoIPv6Traffic", "both.test", by("4")},
		{"NoIPv6Traffic", "six.test", failed},
		{"NoDNSRequest", "both.test", refusedHere},
	} {
		if got := reached(t, socks[tt.flag], "resolve", tt.host, 0); !tt.right(got) {
			t.Errorf("RESOLVE at a listener with %q: %s is %s", tt.flag, tt.host, got)
		}
	}
	for network, want := range map[string]string{"ip4": four, "ip6": "::1"} {
		if got, err := askDNS(dns, "udp").LookupNetIP(t.Context(), network, "both.test."); err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("DNSPort, %s: %v, %v", network, got, err)
		}
	}
	socksWords(t, n)
	// What a listener refuses by its flags reaches no circuit.
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := map[string]chivev1.Outcome{}
	for _, e := range c.log {
		if s := e.GetStreamEnded(); s != nil {
			ended[e.GetActorId()] = s.GetOutcome()
		}
	}
	for _, e := range c.log {
		if e.GetStreamAttached() != nil && ended[e.GetActorId()] == chivev1.Outcome_OUTCOME_REFUSED {
			t.Errorf("stream %s was refused, and on a circuit", e.GetActorId())
		}
	}
}

// socksWords: flags that change what is said in SOCKS.
func socksWords(t *testing.T, n *testnet.Network) {
	t.Helper()
	plain, noAuth, extended := freePort(t), freePort(t), freePort(t)
	start(t, n, "SocksPort "+plain, "SocksPort "+noAuth+" PreferSOCKSNoAuth", "SocksPort "+extended+" ExtendedErrors")
	for at, want := range map[string]string{plain: "\x05\x02", noAuth: "\x05\x00"} {
		if got := exchange(t, at, "\x05\x02\x00\x02", 2); got != want {
			t.Errorf("of two methods %q is chosen, want %q", got, want)
		}
	}
	for at, is := range map[string]bool{plain: false, extended: true} {
		got := reached(t, at, "connect", strings.Repeat("a", 56)+".onion", 80) // its checksum is wrong
		if (got == "reply f6") != is || !strings.HasPrefix(got, "reply ") {
			t.Errorf("with ExtendedErrors %v: %s", is, got)
		}
	}
}

// The flags of unix sockets: who may use them, and where they may be.
func TestUnixSocketFlags(t *testing.T) {
	n := network(t)
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "s")
	l := newLab(t, n, "SocksPort auto")
	for flag, mode := range map[string]os.FileMode{"": 0o600, "GroupWritable": 0o660, "WorldWritable": 0o666} {
		l.set(t, "SocksPort unix:"+at+" "+flag)
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", flag, info, err)
		}
		c, err := net.Dial("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		if err := socksRequest(c, "unix", 1, "target.test", uint16(n.Target().EchoPort)); err != nil {
			t.Errorf("%q: %v", flag, err)
		}
		_ = c.Close()
	}
	shared := "SocksPort unix:" + filepath.Join(open, "s")
	if result := l.change(t, "SocksPort auto", shared); result.Applied || !strings.Contains(result.Reason, "RelaxDirModeCheck") {
		t.Errorf("in a folder that others may enter: %+v", result)
	}
	l.set(t, shared+" RelaxDirModeCheck")
	if _, err := os.Stat(filepath.Join(open, "s")); err != nil {
		t.Error(err)
	}
}
