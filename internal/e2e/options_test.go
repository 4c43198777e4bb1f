package e2e

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// peersAt lists who is connected to a local address, as its owner's kernel has it.
func peersAt(t *testing.T, local netip.AddrPort) (out []netip.Addr) {
	t.Helper()
	f, err := os.Open(map[bool]string{false: "/proc/net/tcp", true: "/proc/net/tcp6"}[local.Addr().Is6()])
	if err != nil {
		t.Skipf("this system does not tell: %v", err)
	}
	defer f.Close()
	const established = "01"
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) < 4 || words[3] != established {
			continue
		}
		if at, ok := kernelAddr(words[1]); ok && at == local {
			if peer, ok := kernelAddr(words[2]); ok {
				out = append(out, peer.Addr())
			}
		}
	}
	return out
}

// kernelAddr reads an address as /proc/net/tcp and tcp6 write it: words of 32 bits, each in
// the machine's order.
func kernelAddr(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(n)), ok
}

// seenFrom has a stream begin, and says whether a relay that was connected to since an event
// sees connections from an address.
func (l *lab) seenFrom(t *testing.T, from int, want string) bool {
	t.Helper()
	l.once(t)
	log, _ := l.events(from)
	dialled := map[string]string{}
	for _, e := range log {
		if d := e.GetConnectionDialled(); d != nil {
			dialled[e.GetActorId()] = d.GetAddress()
		}
		if at := dialled[e.GetActorId()]; at != "" && e.GetConnectionOpened() != nil &&
			slices.Contains(peersAt(t, netip.MustParseAddrPort(at)), netip.MustParseAddr(want)) {
			return true
		}
	}
	return false
}

// OutboundBindAddress: relays of C tor see connections from that address, and after a
// change from the other; streams that are open go on.
func TestOutboundBindAddress(t *testing.T) {
	n := network(t)
	l := newLab(t, n, "SocksPort auto", "OutboundBindAddress 127.0.0.2")
	stays, err := l.reloadable.echo("stays", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	l.until(t, patience, "a relay that sees 127.0.0.2", func() bool { return l.seenFrom(t, 0, "127.0.0.2") })
	old := l.carrier(t, l.ping("bind"))
	_, from := l.events(0)
	l.must(t, "SocksPort auto", "OutboundBindAddress 127.0.0.3")
	l.until(t, patience, "a relay that sees 127.0.0.3", func() bool { return l.seenFrom(t, from, "127.0.0.3") })
	if l.carrier(t, l.ping("bind")) == old {
		t.Error("a new stream is on a circuit over the old address")
	}
	if err := stays.roundTrip(1); err != nil {
		t.Errorf("the stream that was open: %v", err)
	}
}

// CircuitsAvailableTimeout: circuits that no stream used are closed when it is over, and
// others take their place; those that were used stay.
func TestCircuitsAvailableTimeout(t *testing.T) {
	l := newLab(t, network(t), "SocksPort auto", "LearnCircuitBuildTimeout 0")
	l.until(t, patience, "2 clean circuits", func() bool { return l.view().clean >= 2 })
	used := l.carrier(t, l.ping("used"))
	_, from := l.events(0)
	l.set(t, "CircuitsAvailableTimeout 1 second")
	closed := func() (idle int, others bool) {
		log, _ := l.events(from)
		for _, e := range log {
			if c := e.GetCircuitClosed(); c.GetOutcome() == chivev1.Outcome_OUTCOME_IDLE && l.general(e.GetActorId()) {
				idle++
				others = others || e.GetActorId() == used || c.GetStreams() > 0
			}
		}
		return idle, others
	}
	l.until(t, patience, "circuits that are closed unused, and others after them", func() bool {
		idle, _ := closed()
		return idle >= 4 && len(l.launched(from)) >= 4
	})
	if _, others := closed(); others {
		t.Error("a circuit that was used is closed")
	}
	if l.carrier(t, l.ping("used")) != used {
		t.Error("the circuit that was used takes no stream")
	}
}

// MaxClientCircuitsPending: of many requests that need a circuit each, one is built at a
// time.
func TestMaxClientCircuitsPending(t *testing.T) {
	l := newLab(t, network(t), "SocksPort auto", "EnableCircuitPrebuilding 0", "MaxClientCircuitsPending 1")
	var wg sync.WaitGroup
	for i := range 8 {
		get := l.get(t, fmt.Sprintf("pending%d", i))
		wg.Go(func() {
			if err := get(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log, _ := l.events(0)
	building, most, built := map[string]bool{}, 0, 0
	for _, e := range log {
		switch id := e.GetActorId(); {
		case e.GetCircuitLaunched().GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL:
			building[id] = true
			most = max(most, len(building))
		case building[id] && (e.GetCircuitOpened() != nil || e.GetCircuitFailed() != nil):
			delete(building, id)
			built++
		}
	}
	if most != 1 || built < 8 {
		t.Errorf("%d circuits were being built at once, of %d", most, built)
	}
}

// What only means something on the exit's own network: not asked for by address, and not
// believed when an exit answers with it.
func TestInternalAddresses(t *testing.T) {
	n := network(t)
	port := uint16(n.Target().EchoPort)
	literal, named := n.Target().IP.String(), "target.test"
	echoes := func(c *client, host string) bool {
		return asking{at: c.socks, from: "127.0.0.1", host: host, port: port}.do() == nil
	}
	c := start(t, n, "ClientRejectInternalAddresses 1")
	if got := reached(t, c.socks, "connect", literal, port); got != "reply 02" {
		t.Errorf("ClientRejectInternalAddresses: the address of a local network: %s", got)
	}
	if got := reached(t, c.socks, "connect", "localhost", port); got != "reply 02" {
		t.Errorf("ClientRejectInternalAddresses: localhost: %s", got)
	}
	if !echoes(c, named) {
		t.Error("ClientRejectInternalAddresses: a name is refused")
	}
	c.stop()
	c = start(t, n, "ClientDNSRejectInternalAddresses 1")
	if got := reached(t, c.socks, "resolve", named, 0); got != "reply 04" {
		t.Errorf("ClientDNSRejectInternalAddresses: the exit's answer is believed: %s", got)
	}
	if echoes(c, named) {
		t.Error("ClientDNSRejectInternalAddresses: connected to where the exit says that a name is")
	}
	if !echoes(c, literal) {
		t.Error("ClientDNSRejectInternalAddresses: an address that was asked for is refused")
	}
	c.stop()
	c = start(t, n)
	if !echoes(c, literal) || !echoes(c, named) || reached(t, c.socks, "resolve", named, 0) != "4" {
		t.Error("a test network is not served by default")
	}
}

// VirtualAddrNetworkIPv6: names get virtual addresses of it where IPv6 is preferred, and
// over them are reached.
func TestVirtualIPv6Addresses(t *testing.T) {
	n := network(t)
	six := freePort(t)
	c := start(t, n, "AutomapHostsOnResolve 1", "AutomapHostsSuffixes .test", "VirtualAddrNetworkIPv6 [fd12::]/16", "SocksPort "+six+" PreferIPv6")
	defer c.stop()
	got := exchange(t, six, "\x05\x01\x00\x05\xf0\x00\x03\x0btarget.test\x00\x00", 100)
	if len(got) != 24 || !strings.HasPrefix(got[2:], "\x05\x00\x00\x04\xfd\x12") {
		t.Fatalf("% x", got)
	}
	addr, _ := netip.AddrFromSlice([]byte(got[6:22]))
	port := n.Target().EchoPort
	to := string(addr.AsSlice()) + string([]byte{byte(port >> 8), byte(port)})
	if got := exchange(t, six, "\x05\x01\x00\x05\x01\x00\x04"+to+"x", 13); !strings.HasSuffix(got, "x") {
		t.Errorf("over %v: % x", addr, got)
	}
	// One that stands for nothing never leaves.
	if got := reached(t, six, "connect", "fd12::77", uint16(port)); got != "reply 02" {
		t.Errorf("a virtual address that stands for nothing: %s", got)
	}
}

// AllowNonLocalSocks: a listener at an address of the machine that is none of loopback is
// open with it, and refused without.
func TestAllowNonLocalSocks(t *testing.T) {
	const far = "198.51.100.78" // RFC 5737; the loopback interface's for the time of the test
	if out, err := exec.CommandContext(t.Context(), "ip", "address", "replace", far+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Skipf("only root may give the loopback interface an address (%s)", out)
	}
	defer func() {
		if out, err := exec.Command("ip", "address", "del", far+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Errorf("%s: %s", err, out)
		}
	}()
	l := newLab(t, network(t), "SocksPort auto")
	_, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort(far, port)
	if result := l.change(t, "SocksPort auto", "SocksPort "+at); result.Applied || !strings.Contains(result.Reason, "AllowNonLocalSocks") {
		t.Fatalf("%+v", result)
	}
	l.set(t, "SocksPort "+at, "AllowNonLocalSocks 1")
	if err := (asking{at: at, from: far, host: "target.test", port: uint16(l.n.Target().EchoPort)}).do(); err != nil {
		t.Error(err)
	}
	if l.logged.Count("is reachable from other machines") == 0 {
		t.Error("nothing was said of it")
	}
}

// ShutdownWaitLength: after a signal nobody is taken in, streams that are open go on, and
// the process ends with the last of them, or when the time is over.
func TestShutdownWaitLength(t *testing.T) {
	t.Parallel()
	n := network(t)
	dir := t.TempDir()
	binary, built := building(t, dir)
	built()
	for wait, ends := range map[string]bool{"1 hour": false, "1 second": true} {
		p := &process{binary: binary, torrc: filepath.Join(dir, "torrc"), data: filepath.Join(dir, "data"), socks: freePort(t)}
		lines := append(n.ClientTorrc(), "SocksPort "+p.socks, "DataDirectory "+p.data, "ShutdownWaitLength "+wait)
		write(t, p.torrc, []byte(strings.Join(lines, "\n")+"\n"))
		p.start(t)
		t.Cleanup(p.kill)
		r := &reloadable{client: &client{socks: p.socks}}
		var open *echoed
		within(t, patience, "a stream is open", func() (ok bool) {
			var err error
			open, err = r.echo("stays", netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)))
			return err == nil
		})
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		within(t, patience, "nobody is taken in", func() bool {
			c, err := net.Dial("tcp", p.socks)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		if !ends {
			if err := open.roundTrip(1); err != nil {
				t.Errorf("ShutdownWaitLength %s: the stream that was open: %v", wait, err)
			}
			_ = open.Close()
		}
		select {
		case <-p.over:
			if p.err != nil {
				t.Errorf("ShutdownWaitLength %s: %v", wait, p.err)
			}
		case <-time.After(patience):
			t.Fatalf("ShutdownWaitLength %s: still running", wait)
		}
		p.cmd = nil
		_ = open.Close()
	}
}
