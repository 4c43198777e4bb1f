package e2e

import (
	"encoding/hex"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// dialled lists where connections were made to since an event, and over which version
// of IP.
func (r *reloadable) dialled(from int) (relays []string, over6, over4 int) {
	log, _ := r.events(from)
	for _, e := range log {
		d := e.GetConnectionDialled()
		if d == nil {
			continue
		}
		relays = append(relays, strings.ToUpper(hex.EncodeToString(d.GetRelay())))
		if netip.MustParseAddrPort(d.GetAddress()).Addr().Is6() {
			over6++
		} else {
			over4++
		}
	}
	return relays, over6, over4
}

// Debian's relays are reached over IPv6 when the options say so, at the start as in the
// running node, for documents as for circuits; guards without an IPv6 address are passed
// over then, and do not count as failed.
func TestRelaysOverIPv6(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Relays: 6, Guards: 4, IPv6: []string{"auth", "relay1", "relay2", "exit3"}})
	var six []string
	for _, x := range n.Nodes() {
		if x.ORPort6 != 0 {
			six = append(six, x.Fingerprint)
		}
	}
	l := newLab(t, n, "SocksPort auto", "NumEntryGuards 1", "NumDirectoryGuards 1")
	if _, over6, over4 := l.dialled(0); over6 > 0 || over4 == 0 {
		t.Errorf("by default: %d connections over IPv6, %d over IPv4", over6, over4)
	}
	use := func(only6 bool, lines ...string) {
		t.Helper()
		l.settled(t)
		_, from := l.events(0)
		l.set(t, lines...)
		l.until(t, patience, "connections the other way", func() bool {
			l.once(t)
			_, over6, over4 := l.dialled(from)
			return over6+over4 > 0
		})
		l.once(t)
		// What was dialled before the change was there may be the other way.
		log, _ := l.events(from)
		for i, e := range log {
			if e.GetConfigApplied().GetOptions() != "" {
				from += i
				break
			}
		}
		relays, over6, over4 := l.dialled(from)
		for _, relay := range relays {
			if only6 && !slices.Contains(six, relay) {
				t.Errorf("%q: a relay without an IPv6 address was connected to", lines)
			}
		}
		if only6 && over4 > 0 || !only6 && over6 > 0 {
			t.Errorf("%q: %d connections over IPv6, %d over IPv4", lines, over6, over4)
		}
	}
	use(true, "ClientUseIPv4 0")
	use(false)
	use(true, "ClientUseIPv4 0", "EntryNodes $"+six[len(six)-1])
	use(true, "ClientPreferIPv6ORPort 1", "EntryNodes $"+six[len(six)-1])
	use(false, "ClientUseIPv6 0", "EntryNodes $"+six[len(six)-1])
	if failed := l.count(func(e *chivev1.Envelope) bool { return e.GetGuardUnreachable() != nil }); failed > 0 {
		t.Errorf("%d guards count as failed", failed)
	}
	t.Run("OutboundBindAddress", func(t *testing.T) {
		const own = "2001:db8::78" // RFC 3849; the loopback interface's for the time of the test
		if out, err := exec.CommandContext(t.Context(), "ip", "-6", "address", "replace", own+"/128", "dev", "lo").CombinedOutput(); err != nil {
			t.Skipf("only root may give the loopback interface an address (%s)", out)
		}
		defer func() {
			if out, err := exec.Command("ip", "-6", "address", "del", own+"/128", "dev", "lo").CombinedOutput(); err != nil {
				t.Errorf("%s: %s", err, out)
			}
		}()
		for _, at := range []string{own, "::1"} {
			l.settled(t)
			_, from := l.events(0)
			l.set(t, "ClientUseIPv4 0", "OutboundBindAddress 127.0.0.1", "OutboundBindAddress ["+at+"]")
			l.until(t, patience, "a relay that sees "+at, func() bool { return l.seenFrom(t, from, at) })
		}
	})
	before := l.Config()
	if result := l.change(t, "ClientUseIPv4 0", "ClientUseIPv6 0"); result.Applied || !strings.Contains(result.Reason, "no relay can be connected to") || l.Config() != before {
		t.Errorf("%+v", result)
	}

	// From the start, with nothing cached.
	only := start(t, n, "ClientUseIPv4 0")
	if _, size, err := only.get(t.Context(), "", resource(n, 100_000)); err != nil || size != 100_000 {
		t.Errorf("%d bytes, %v", size, err)
	}
	only.stop()
	for _, e := range only.log {
		if at := e.GetConnectionDialled().GetAddress(); at != "" && !netip.MustParseAddrPort(at).Addr().Is6() {
			t.Errorf("with ClientUseIPv4 0 a connection was made to %s", at)
		}
	}
}
