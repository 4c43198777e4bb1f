package netdoc_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// TestConsensusFields compares a parsed network with what it was made from.
func TestConsensusFields(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{
		Relays: 40, Params: "bwweightscale=10000 low=-5",
		Relay: func(i int, r *netdoctest.Relay) {
			r.DirPort = uint16(i)
			r.Unmeasured = i%5 == 0
			r.Version = fmt.Sprintf("Tor 0.4.9.%d", i%3)
			r.Protocols = fmt.Sprintf("Link=3-%d Relay=2", 4+i%2)
			if i == 7 {
				r.Flags |= netdoc.FlagBadExit | netdoc.FlagMiddleOnly | netdoc.FlagNoEdConsensus | netdoc.FlagStaleDesc | netdoc.FlagSybil | netdoc.FlagAuthority
			}
		},
	})
	c := mustConsensus(t, n.Consensus)
	if !c.ValidAfter.Equal(n.ValidAfter) || !c.FreshUntil.Equal(n.FreshUntil) || !c.ValidUntil.Equal(n.ValidUntil) {
		t.Errorf("times %v %v %v", c.ValidAfter, c.FreshUntil, c.ValidUntil)
	}
	if !slices.Equal(c.ClientVersions, []string{"0.4.9.10", "0.4.9.11"}) || !slices.Equal(c.ServerVersions, c.ClientVersions) {
		t.Errorf("versions %q, %q", c.ClientVersions, c.ServerVersions)
	}
	if len(c.Relays) != len(n.Relays) {
		t.Fatalf("%d relays, want %d", len(c.Relays), len(n.Relays))
	}
	for i, want := range n.Relays {
		got := c.Relays[i]
		if got.Nickname != want.Nickname || got.Identity != want.Identity || got.MD != want.MD || got.IPv4 != want.IPv4 ||
			got.IPv6 != want.IPv6 || got.DirPort != want.DirPort || got.Flags != want.Flags || got.Version != want.Version ||
			got.Protocols.String() != want.Protocols || got.Bandwidth != want.Bandwidth || got.Unmeasured != want.Unmeasured {
			t.Errorf("relay %d: %+v, want %+v", i, got, want)
		}
	}
}

// A parsed consensus must not change with the buffer it was read from.
func TestConsensusDoesNotAlias(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 8})
	text := slices.Clone(n.Consensus)
	c := mustConsensus(t, text)
	before := fmt.Sprintf("%v", *c)
	clear(text)
	if after := fmt.Sprintf("%v", *c); after != before {
		t.Error("the consensus changed when its text was overwritten")
	}
	if report, err := c.Verify(n.V3Idents, mustCerts(t, n.Certs), n.ValidAfter); err != nil {
		t.Errorf("report %+v, %v", report, err)
	}
}

func TestParamsGet(t *testing.T) {
	p := netdoc.Params{"a": 5, "b": -100, "c": 1000}
	for _, tc := range []struct {
		name                 string
		def, low, high, want int32
	}{
		{"a", 1, 0, 10, 5},
		{"b", 1, 0, 10, 0},
		{"c", 1, 0, 10, 10},
		{"absent", 7, 0, 10, 7},
		{"absent", 70, 0, 10, 10},
	} {
		if got := p.Get(tc.name, tc.def, tc.low, tc.high); got != tc.want {
			t.Errorf("Get(%q, %d, %d, %d) = %d, want %d", tc.name, tc.def, tc.low, tc.high, got, tc.want)
		}
	}
	if got := netdoc.Params(nil).Get("a", 3, 0, 10); got != 3 {
		t.Errorf("of no params: %d", got)
	}
}

// one is a consensus of one relay without signatures; edits are made before it is signed.
func signedEdit(t *testing.T, n *netdoctest.Network, from, to string) []byte {
	t.Helper()
	return netdoctest.Sign(replaceOnce(t, n.Body, from, to), "sha256", n.Authorities...)
}

// dir-spec 1.2: "software MUST ignore any KeywordLine that starts with a keyword it doesn't recognize", "each item
// MUST allow extra arguments at the end"; and what else the format leaves open.
func TestConsensusLenience(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 2, Params: "a=1"})
	certs := mustCerts(t, n.Certs)
	object := "-----BEGIN SOMETHING NEW-----\nAAAA\n-----END SOMETHING NEW-----\n"
	for _, tc := range []struct {
		name, from, to string
		check          func(c *netdoc.Consensus) bool
	}{
		{"unknown item in the preamble", "vote-status", "x-new a b\n" + object + "vote-status", nil},
		{"unknown item in the authority section", "vote-digest", "legacy-thing 1\nvote-digest", nil},
		{"unknown item of a relay", "\nv Tor", "\nid ed25519 x\nq 1\nv Tor", nil},
		{"unknown item in the footer", "bandwidth-weights", "x-footer\nbandwidth-weights", nil},
		{"an object on an item that has none", "\nw Band", "\nx y\n" + object + "w Band", nil},
		{"extra arguments", "voting-delay 300 300", "voting-delay 300 300 300", nil},
		{"extra arguments of r", " 9001 0\n", " 9001 0 extra\n", nil},
		{"extra arguments of m", "\ns ", " sha512=AAAA\ns ", nil},
		{"unknown flag", "\ns ", "\ns Muffins ", nil},
		{"no flags at all imply these", " HSDir Running Stable V2Dir Valid", "", func(c *netdoc.Consensus) bool {
			return slices.ContainsFunc(c.Relays, func(r netdoc.RouterStatus) bool {
				return r.Flags.Has(netdoc.FlagRunning|netdoc.FlagValid) && !r.Flags.Has(netdoc.FlagStable)
			})
		}},
		{"unknown words of w", "w Bandwidth=", "w GuardFraction=7 Bandwidth=", func(c *netdoc.Consensus) bool { return c.Relays[0].Bandwidth != 0 }},
		{"no w", "w Bandwidth=", "x-w Bandwidth=", func(c *netdoc.Consensus) bool { return c.Relays[0].Bandwidth == 0 }},
		{"no v", "\nv Tor", "\nx-v Tor", func(c *netdoc.Consensus) bool { return c.Relays[0].Version == "" }},
		{"no pr", "\npr ", "\nx-pr ", func(c *netdoc.Consensus) bool { return c.Relays[0].Protocols.IsEmpty() }},
		{"no m", "\nm ", "\nx-m ", func(c *netdoc.Consensus) bool { return c.Relays[0].MD.IsZero() }},
		{"an IPv4 address and garbage in a lines", "\nm ", "\na 1.2.3.4:5\na x\na\nm ", nil},
		{"the first IPv6 address counts", "\nm ", "\na [2001:db8::77]:1\na [2001:db8::78]:2\nm ", func(c *netdoc.Consensus) bool {
			return slices.ContainsFunc(c.Relays, func(r netdoc.RouterStatus) bool { return r.IPv6.String() == "[2001:db8::77]:1" })
		}},
		{"an IPv6 zone", "\nm ", "\na [fe80::1%eth0]:1\nm ", nil},
		{"no consensus-method means 1", "consensus-method 35\n", "", func(c *netdoc.Consensus) bool { return c.Method == 1 }},
		{"no params", "params a=1\n", "", func(c *netdoc.Consensus) bool { return len(c.Params) == 0 }},
		{"empty params", "params a=1\n", "params \n", func(c *netdoc.Consensus) bool { return len(c.Params) == 0 }},
		{"params out of order", "params a=1\n", "params b=1 a=-2147483648\n", func(c *netdoc.Consensus) bool { return c.Params["a"] == -1<<31 }},
		{"empty version list", "client-versions 0.4.9.10,0.4.9.11", "client-versions ", func(c *netdoc.Consensus) bool { return c.ClientVersions == nil }},
		{"unreadable shared random value", "shared-rand-current-value 9 z", "shared-rand-current-value 9 !", func(c *netdoc.Consensus) bool { return c.SharedRandCurrent == nil && c.SharedRandPrevious != nil }},
		{"no bandwidth-weights", "bandwidth-weights ", "x-weights ", func(c *netdoc.Consensus) bool { return c.BandwidthWeights == nil }},
		{"no directory-footer", "directory-footer\n", "", nil},
		{"a legacy dir-source", "r relay", "dir-source old-legacy 0123456789012345678901234567890123456789 h 1.2.3.4 80 443\nr relay", func(c *netdoc.Consensus) bool { return len(c.Sources) == 4 }},
		{"unknown required protocol", "required-client-protocols ", "required-client-protocols Quic=3 ", func(c *netdoc.Consensus) bool { return c.RequiredClient.Supports("Quic", 3) }},
	} {
		c, err := netdoc.ParseConsensus(signedEdit(t, n, tc.from, tc.to))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if _, err := c.Verify(n.V3Idents, certs, n.ValidAfter); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.check != nil && !tc.check(c) {
			t.Errorf("%s: wrong result %+v", tc.name, c)
		}
	}
}

func TestConsensusRefuses(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 2, Params: "a=1"})
	first := string(n.Body[indexAfter(t, n.Body, "somebody <nobody@example.com>\n"):]) // from some vote-digest on
	first = first[strings.Index(first, "\nr ")+1 : strings.Index(first, "\nr ")+1+strings.Index(first[strings.Index(first, "\nr ")+1:], "\nr ")+1]
	for _, tc := range []struct {
		name, from, to string
		want           error
	}{
		{"wrong version", "network-status-version 3", "network-status-version 4", netdoc.ErrMalformed},
		{"no flavour", "3 microdesc", "3", netdoc.ErrFlavor},
		{"other flavour", "3 microdesc", "3 microdesc2", netdoc.ErrFlavor},
		{"a text before", "network-status-version", "\nnetwork-status-version", netdoc.ErrMalformed},
		{"a vote", "vote-status consensus", "vote-status vote", netdoc.ErrMalformed},
		{"no vote-status", "vote-status consensus\n", "", netdoc.ErrMalformed},
		{"no valid-after", "valid-after", "x-valid-after", netdoc.ErrMalformed},
		{"no fresh-until", "fresh-until", "x-fresh-until", netdoc.ErrMalformed},
		{"no valid-until", "valid-until", "x-valid-until", netdoc.ErrMalformed},
		{"no voting-delay", "voting-delay", "x-voting-delay", netdoc.ErrMalformed},
		{"no known-flags", "known-flags", "x-known-flags", netdoc.ErrMalformed},
		{"valid-after twice", "fresh-until", "valid-after 2026-07-01 10:00:00\nfresh-until", netdoc.ErrMalformed},
		{"times that do not ascend", "fresh-until 2026-07-01 11", "fresh-until 2026-07-01 09", netdoc.ErrMalformed},
		{"valid-until before fresh-until", "valid-until 2026-07-01 13", "valid-until 2026-07-01 11", netdoc.ErrMalformed},
		{"a bad time", "valid-after 2026-07-01 10:00:00", "valid-after 2026-07-01 25:00:00", netdoc.ErrMalformed},
		{"a bad voting-delay", "voting-delay 300 300", "voting-delay 300 -1", netdoc.ErrMalformed},
		{"consensus-method 0", "consensus-method 35", "consensus-method 0", netdoc.ErrMalformed},
		{"a parameter without value", "params a=1", "params a", netdoc.ErrMalformed},
		{"a parameter beyond int32", "params a=1", "params a=2147483648", netdoc.ErrMalformed},
		{"a parameter twice", "params a=1", "params a=1 a=2", netdoc.ErrMalformed},
		{"bad protocols", "required-client-protocols ", "required-client-protocols Link=5-4 ", netdoc.ErrMalformed},
		{"contact without dir-source", "vote-status", "contact me\nvote-status", netdoc.ErrMalformed},
		{"a bad dir-source", "dir-source auth0 ", "dir-source auth0 00", netdoc.ErrMalformed},
		{"a bad vote-digest", "vote-digest ", "vote-digest 0", netdoc.ErrMalformed},
		{"a relay twice", first, first + first, netdoc.ErrMalformed},
		{"relays out of order", first, "", nil}, // the remaining one alone is a consensus
		{"a bad nickname", "r relay", "r re!ay", netdoc.ErrMalformed},
		{"a long nickname", "r relay", "r relayrelayrelayrelay", netdoc.ErrMalformed},
		{"a bad address", " 2038-01-01 00:00:00 ", " 2038-01-01 00:00:00 300.", netdoc.ErrMalformed},
		{"a bad port", " 9001 0\n", " 90010 0\n", netdoc.ErrMalformed},
		{"too few arguments to r", " 9001 0\n", " 9001\n", netdoc.ErrMalformed},
		{"an ns-flavour r line", " 2038-01-01 00:00:00", " AAAAAAAAAAAAAAAAAAAAAAAAAAA 2038-01-01 00:00:00", netdoc.ErrMalformed},
		{"a bad m", "\nm ", "\nm x", netdoc.ErrMalformed},
		{"two s", "\nv Tor", "\ns Fast\nv Tor", netdoc.ErrMalformed},
		{"no s", "\ns ", "\nx-s ", netdoc.ErrMalformed},
		{"two m", "\nv Tor", "\nm AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nv Tor", netdoc.ErrMalformed},
		{"bad pr", "\npr ", "\npr Link=99 ", netdoc.ErrMalformed},
		{"bad bandwidth", "w Bandwidth=", "w Bandwidth=x", netdoc.ErrMalformed},
		{"bandwidth beyond 32 bits", "w Bandwidth=", "w Bandwidth=99999999", netdoc.ErrMalformed},
		{"bandwidth-weights twice", "bandwidth-weights ", "bandwidth-weights a=1\nbandwidth-weights ", netdoc.ErrMalformed},
		{"a misplaced directory-footer", "bandwidth-weights ", "bandwidth-weights \ndirectory-footer\nx ", netdoc.ErrMalformed},
		{"a relay in the footer", "bandwidth-weights ", "bandwidth-weights \n" + first + "x ", netdoc.ErrMalformed},
		{"a NUL byte", "contact some", "contact \x00some", netdoc.ErrMalformed},
		{"a signature amid relays", "\nv Tor", "\ndirectory-signature x y\nv Tor", netdoc.ErrMalformed},
	} {
		_, err := netdoc.ParseConsensus(signedEdit(t, n, tc.from, tc.to))
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestConsensusRefusesWholeTexts(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 1})
	signature := string(n.Consensus[len(n.Body):])
	body := string(n.Body)
	for _, tc := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", netdoc.ErrMalformed},
		{"no signature", body, netdoc.ErrMalformed},
		{"a tab after directory-signature", body + strings.Replace(signature, "directory-signature ", "directory-signature\t", 1), netdoc.ErrMalformed},
		{"a signature without object", body + "directory-signature sha256 " + n.V3Idents[0].String() + " " + n.V3Idents[0].String() + "\n", netdoc.ErrMalformed},
		{"a signature without keys", body + strings.Replace(signature, n.V3Idents[0].String(), "0", 1), netdoc.ErrMalformed},
		{"a signature too short for RSA", body + "directory-signature sha256 " + n.V3Idents[0].String() + " " + n.V3Idents[0].String() + "\n-----BEGIN SIGNATURE-----\nAAAA\n-----END SIGNATURE-----\n", netdoc.ErrMalformed},
		{"a signature that is no signature", body + strings.ReplaceAll(signature, " SIGNATURE--", " MESSAGE--"), netdoc.ErrMalformed},
		{"too many signatures", body + strings.Repeat(signature, 100), netdoc.ErrTooLarge},
		{"too large", body + strings.Repeat("\n", netdoc.MaxConsensusSize), netdoc.ErrTooLarge},
		{"too many relays", strings.Replace(body, "directory-footer", strings.Repeat("r \n", 65537)+"directory-footer", 1) + signature, netdoc.ErrTooLarge},
		{"cut short", string(n.Consensus[:len(n.Consensus)-10]), netdoc.ErrMalformed},
	} {
		if _, err := netdoc.ParseConsensus([]byte(tc.text)); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
	}
}

// Wherever a consensus is cut, it must be refused: a truncated download never looks whole.
func TestConsensusTruncated(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 2, Authorities: 1})
	certs := mustCerts(t, n.Certs)
	for i := range len(n.Consensus) - 1 { // the very last newline is not needed
		c, err := netdoc.ParseConsensus(n.Consensus[:i])
		if err != nil {
			continue
		}
		if _, err := c.Verify(n.V3Idents, certs, n.ValidAfter); err == nil {
			t.Fatalf("cut after %d of %d bytes it parsed and verified", i, len(n.Consensus))
		}
	}
}

func TestNetworksAreRepeatable(t *testing.T) {
	make := func(seed uint64) *netdoctest.Network {
		return netdoctest.New(netdoctest.Options{Relays: 5, Seed: seed})
	}
	a, b, other := make(1), make(1), make(2)
	if !bytes.Equal(a.Consensus, b.Consensus) || !bytes.Equal(a.Certs, b.Certs) || !bytes.Equal(a.Microdescs, b.Microdescs) {
		t.Error("equal options gave different documents")
	}
	if bytes.Equal(a.Consensus, other.Consensus) {
		t.Error("another seed gave the same consensus")
	}
}
