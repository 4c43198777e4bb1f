package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// MapAddress and virtual addresses, through relays of C tor.
func TestMapAddress(t *testing.T) {
	n := network(t)
	dns := freePort(t)
	c := start(t, n, "MapAddress mapped.example target.test", "MapAddress *.below.example *.test", "MapAddress 192.0.2.1 target.test",
		"AutomapHostsOnResolve 1", "AutomapHostsSuffixes .test", "VirtualAddrNetworkIPv4 10.128.0.0/16", "DNSPort "+dns)
	if c.socks == dns {
		c.socks = (<-c.Listening()).String()
	}
	for _, host := range []string{"mapped.example", "any.below.example", "192.0.2.1"} {
		if _, size, err := c.get(t.Context(), "", fmt.Sprintf("http://%s:%d/bytes/1000", host, n.Target().HTTPPort)); err != nil || size != 1000 {
			t.Errorf("%s: %d bytes, %v", host, size, err)
		}
	}
	// A question gets a virtual address, which then stands for the name.
	const resolve = "\x05\x01\x00\x05\xf0\x00\x03\x0btarget.test\x00\x00"
	got := exchange(t, c.socks, resolve, 100)
	if len(got) != 12 || !strings.HasPrefix(got[2:], "\x05\x00\x00\x01\x0a\x80") {
		t.Fatalf("% x", got)
	}
	addr, _ := netip.AddrFromSlice([]byte(got[6:10]))
	if again := exchange(t, c.socks, resolve, 100); again != got {
		t.Errorf("% x, then % x", got, again)
	}
	if _, size, err := c.get(t.Context(), "", fmt.Sprintf("http://%v:%d/bytes/1000", addr, n.Target().HTTPPort)); err != nil || size != 1000 {
		t.Errorf("%v: %d bytes, %v", addr, size, err)
	}
	if name := exchange(t, c.socks, "\x05\x01\x00\x05\xf1\x00\x01"+got[6:10]+"\x00\x00", 100); !strings.Contains(name, "target.test") {
		t.Errorf("%q", name)
	}
	if addrs, err := askDNS(dns, "udp").LookupHost(t.Context(), "target.test."); err != nil || len(addrs) != 2 && len(addrs) != 1 || !slices.Contains(addrs, addr.String()) {
		t.Errorf("%v, %v", addrs, err)
	}
	// One that stands for nothing never leaves.
	if _, _, err := c.get(t.Context(), "", "http://10.128.77.77:80/"); err == nil {
		t.Error("connected to a virtual address that stands for nothing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		if target := e.GetStreamRequested().GetTarget(); strings.HasPrefix(target, addr.String()) {
			t.Errorf("a stream to %s", target)
		}
	}
}
