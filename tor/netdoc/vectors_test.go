package netdoc_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/tor/netdoc"
)

// The documents of testdata/ctor, made and signed by C tor 0.4.9.11.

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "ctor", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustConsensus(t testing.TB, text []byte) *netdoc.Consensus {
	t.Helper()
	c, err := netdoc.ParseConsensus(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustCerts(t testing.TB, text []byte) []*netdoc.AuthCert {
	t.Helper()
	certs, err := netdoc.ParseAuthCerts(text)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

func mustDigest(t testing.TB, s string) netdoc.Digest {
	t.Helper()
	d, err := netdoc.ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ctorIdents are the v3idents of the torrc that the vectors come from.
func ctorIdents(t testing.TB) []netdoc.Digest {
	return []netdoc.Digest{
		mustDigest(t, "58C3973DFACC5FD0EBD86629005B568D925907A0"),
		mustDigest(t, "48DD64938E6F0BD212743F76C92B537FB1B3C094"),
		mustDigest(t, "C9AD81FC29472F83BBD939B05C5E1A4401EA8DA4"),
	}
}

func TestCTorConsensus(t *testing.T) {
	c := mustConsensus(t, vector(t, "consensus-microdesc"))
	start := time.Date(2026, 11, 24, 1, 14, 0, 0, time.UTC)
	if c.Method != 35 || !c.ValidAfter.Equal(start) || !c.FreshUntil.Equal(start.Add(20*time.Second)) ||
		!c.ValidUntil.Equal(start.Add(time.Minute)) || c.VoteDelay != 4*time.Second || c.DistDelay != 4*time.Second {
		t.Errorf("method %d, times %v %v %v, delays %v %v", c.Method, c.ValidAfter, c.FreshUntil, c.ValidUntil, c.VoteDelay, c.DistDelay)
	}
	if c.ClientVersions != nil || len(c.KnownFlags) != 12 {
		t.Errorf("client versions %q, known flags %q", c.ClientVersions, c.KnownFlags)
	}
	if c.RequiredClient.String() != "Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2" ||
		c.RecommendedRelay.String() != "Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4" {
		t.Errorf("required of clients %q, recommended to relays %q", c.RequiredClient, c.RecommendedRelay)
	}
	if c.Params.Get("cc_alg", 0, 0, 10) != 2 || c.Params.Get("testing", 0, -100, 100) != -7 || len(c.Params) != 3 {
		t.Errorf("params %v", c.Params)
	}
	if c.BandwidthWeights["Wbd"] != 3333 || c.BandwidthWeights["Wgg"] != 10000 || len(c.BandwidthWeights) != 19 {
		t.Errorf("weights %v", c.BandwidthWeights)
	}
	if c.SharedRandCurrent == nil || c.SharedRandCurrent.NumReveals != 3 || c.SharedRandCurrent.Value[0] != 0xb8 || c.SharedRandPrevious == nil {
		t.Errorf("shared random values %v, %v", c.SharedRandPrevious, c.SharedRandCurrent)
	}
	if len(c.Sources) != 3 || c.Sources[1].Nickname != "ndtest0" || c.Sources[1].Identity != ctorIdents(t)[0] ||
		c.Sources[1].DirPort != 17100 || c.Sources[1].ORPort != 15100 || c.Sources[1].Contact != "nd0@test.invalid" ||
		c.Sources[1].Addr.String() != "127.0.0.1" || c.Sources[1].VoteDigest.IsZero() {
		t.Errorf("sources %+v", c.Sources)
	}
	if len(c.Relays) != 6 || len(c.Signatures) != 3 || c.Signatures[0].Algorithm != "sha256" {
		t.Fatalf("%d relays, %d signatures", len(c.Relays), len(c.Signatures))
	}
	r, ok := c.Relay(mustDigest(t, "65FF5D4FDEC55176B63867D33398154AAF8F0A16"))
	if !ok || r.Nickname != "ndtest3" || r.IPv4.String() != "127.0.0.1:15103" || r.IPv6.IsValid() || r.DirPort != 0 ||
		r.MD.String() != "Rif0PKYnqvim1diUDjOhBKfAwkoNIUJ/R//wlHezfU0" || r.Version != "Tor 0.4.9.11" || !r.Unmeasured || r.Bandwidth == 0 ||
		!r.Flags.Has(netdoc.FlagExit|netdoc.FlagFast|netdoc.FlagGuard|netdoc.FlagHSDir|netdoc.FlagRunning|netdoc.FlagV2Dir|netdoc.FlagValid) ||
		r.Flags.Has(netdoc.FlagAuthority) || !r.Protocols.Supports(netdoc.ProtoRelay, 6) || r.Protocols.Supports(netdoc.ProtoRelay, 1) {
		t.Errorf("relay %+v, %v", r, ok)
	}
	if _, ok := c.Relay(netdoc.Digest{1}); ok {
		t.Error("found a relay that is not listed")
	}
}

// dir-spec 3.9.2: the ns flavour is another document, signed with another digest; a client of microdescriptors
// must not take it.
func TestCTorOtherFlavor(t *testing.T) {
	if _, err := netdoc.ParseConsensus(vector(t, "consensus-ns")); !errors.Is(err, netdoc.ErrFlavor) {
		t.Errorf("error %v, want ErrFlavor", err)
	}
}

func TestCTorSignatures(t *testing.T) {
	c := mustConsensus(t, vector(t, "consensus-microdesc"))
	certs := mustCerts(t, vector(t, "certs"))
	report, err := c.Verify(ctorIdents(t), certs, c.ValidAfter)
	if err != nil || len(report.Good) != 3 || report.Needed != 2 || !report.Enough() ||
		len(report.Bad)+len(report.Expired)+len(report.MissingCerts)+len(report.Untrusted) != 0 {
		t.Errorf("report %+v, error %v", report, err)
	}
}

// TestCTorConsensusEveryByte flips one bit in each byte of the signed part: what still parses must verify for
// nobody.
func TestCTorConsensusEveryByte(t *testing.T) {
	text := vector(t, "consensus-microdesc")
	certs, trusted := mustCerts(t, vector(t, "certs")), ctorIdents(t)
	signed := indexAfter(t, text, "\ndirectory-signature ")
	parsed := 0
	for i := range signed {
		tampered := append([]byte(nil), text...)
		tampered[i] ^= 1
		c, err := netdoc.ParseConsensus(tampered)
		if err != nil {
			continue
		}
		parsed++
		if report, err := c.Verify(trusted, certs, c.ValidAfter); !errors.Is(err, netdoc.ErrTooFewSignatures) || len(report.Good) != 0 {
			t.Fatalf("byte %d (%q) flipped: report %+v, error %v", i, tampered[i], report, err)
		}
	}
	if parsed == 0 {
		t.Error("no tampered consensus parsed: the signatures were never put to the test")
	}
}

func TestCTorCerts(t *testing.T) {
	certs := mustCerts(t, vector(t, "certs"))
	if len(certs) != 3 {
		t.Fatalf("%d certificates", len(certs))
	}
	for _, cert := range certs {
		if bits := cert.IdentityKey.N.BitLen(); bits != 3072 {
			t.Errorf("identity key of %d bits", bits)
		}
		if bits := cert.SigningKey.N.BitLen(); bits != 2048 {
			t.Errorf("signing key of %d bits", bits)
		}
		if life := cert.Expires.Sub(cert.Published); life < 364*24*time.Hour || life > 367*24*time.Hour {
			t.Errorf("a life of %v, not the twelve months asked for", life)
		}
		again := mustCerts(t, cert.Raw)
		if len(again) != 1 || again[0].KeyID() != cert.KeyID() {
			t.Errorf("Raw of %v does not give the certificate again", cert.Identity)
		}
	}
}

func TestCTorMicrodescs(t *testing.T) {
	c := mustConsensus(t, vector(t, "consensus-microdesc"))
	byDigest := make(map[netdoc.MDDigest]*netdoc.Microdesc)
	err := netdoc.ParseMicrodescs(vector(t, "microdescs"), func(md *netdoc.Microdesc, _ []byte) { byDigest[md.Digest] = md })
	if err != nil || len(byDigest) != 6 {
		t.Fatalf("%d microdescriptors, error %v", len(byDigest), err)
	}
	find := func(nickname string) *netdoc.Microdesc {
		for i := range c.Relays {
			if c.Relays[i].Nickname == nickname {
				if md := byDigest[c.Relays[i].MD]; md != nil {
					return md
				}
			}
		}
		t.Fatalf("no microdescriptor of %s", nickname)
		return nil
	}
	id3 := mustDigest(t, "65FF5D4FDEC55176B63867D33398154AAF8F0A16")
	id4 := mustDigest(t, "8BB8130F3AEC8F54F46FCAF4BE29C5DE7975BE7C")
	m3, m4, m5 := find("ndtest3"), find("ndtest4"), find("ndtest5")
	if m3.Ed25519.String() != "uSDVajz24zdCTVlOplKK24n1j7p9w1h/jL2iCRVI398" || m3.NtorKey == [32]byte{} {
		t.Errorf("keys of ndtest3: %v, %x", m3.Ed25519, m3.NtorKey)
	}
	if m3.Policy4.String() != "accept 80,443,8000-8080" || m3.Policy6.String() != "accept 80,443,8000-8080" ||
		m4.Policy4.String() != "accept 1-65535" || m4.Policy6.AllowsSome() || m5.Policy4.AllowsSome() {
		t.Errorf("policies %v, %v; %v, %v; %v", m3.Policy4, m3.Policy6, m4.Policy4, m4.Policy6, m5.Policy4)
	}
	if !m3.Family.Contains(id4, "") || !m4.Family.Contains(id3, "") || m5.Family.Contains(id3, "ndtest3") || m3.Family != m4.Family {
		t.Errorf("families %+v, %+v, %+v", m3.Family, m4.Family, m5.Family)
	}
}
