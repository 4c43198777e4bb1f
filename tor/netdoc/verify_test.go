package netdoc_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

func indexAfter(t testing.TB, text []byte, needle string) int {
	t.Helper()
	i := bytes.Index(text, []byte(needle))
	if i < 0 {
		t.Fatalf("no %q in the text", needle)
	}
	return i + len(needle)
}

func replaceOnce(t testing.TB, text []byte, from, to string) []byte {
	t.Helper()
	if bytes.Count(text, []byte(from)) == 0 {
		t.Fatalf("no %q in the text", from)
	}
	return bytes.Replace(text, []byte(from), []byte(to), 1)
}

// counts is good, bad, expired, missing, untrusted.
type counts [5]int

func countsOf(r netdoc.SignatureReport) counts {
	return counts{len(r.Good), len(r.Bad), len(r.Expired), len(r.MissingCerts), len(r.Untrusted)}
}

// dir-spec 3.4.1 "directory-signature" and the rule of section 0: a consensus counts when more than half of the
// authorities that the client trusts signed it.
func TestVerify(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 5, Relays: 3})
	other := netdoctest.New(netdoctest.Options{Authorities: 5, Relays: 3, Seed: 1})
	all := mustCerts(t, n.Certs)
	a := n.Authorities
	badSignature := func(places ...int) []byte { // the signatures are of another document
		text := replaceOnce(t, n.Body, "Bandwidth=1000", "Bandwidth=1001")
		var signers []*netdoctest.Authority
		for _, i := range places {
			signers = append(signers, a[i])
		}
		return netdoctest.Sign(text, "sha256", signers...)[len(text):]
	}
	certOf := func(published, expires time.Duration) []*netdoc.AuthCert { // authority 0's, with other times
		fresh := mustCerts(t, a[0].Cert(n.ValidAfter.Add(published), n.ValidAfter.Add(expires)))
		return append(fresh, all[1:]...)
	}
	borrowed := *a[0] // claims authority 0's identity with authority 1's signing key
	borrowed.SigningKey, borrowed.SigningDigest = a[1].SigningKey, a[1].SigningDigest
	posing := *a[1] // names authority 0's keys, signs with its own
	posing.Identity, posing.SigningDigest = a[0].Identity, a[0].SigningDigest

	for _, tc := range []struct {
		name    string
		text    []byte
		trusted []netdoc.Digest
		certs   []*netdoc.AuthCert
		want    counts
		good    bool
	}{
		{"everybody signed", n.Consensus, n.V3Idents, all, counts{5}, true},
		{"a bare majority signed", n.ConsensusSignedBy(4, 0, 2), n.V3Idents, all, counts{3}, true},
		{"one less", n.ConsensusSignedBy(4, 0), n.V3Idents, all, counts{2}, false},
		{"half of four is no majority", n.ConsensusSignedBy(0, 1), n.V3Idents[:4], all, counts{2}, false},
		{"one authority signs three times", n.ConsensusSignedBy(0, 0, 0, 1), n.V3Idents, all, counts{2}, false},
		{"the trusted list repeats one", n.ConsensusSignedBy(0, 1), append(slices.Repeat(n.V3Idents[:1], 5), n.V3Idents...), all, counts{2}, false},
		{"a repeated trusted one does not raise the bar", n.ConsensusSignedBy(0, 1, 2), append(slices.Repeat(n.V3Idents[:1], 5), n.V3Idents...), all, counts{3}, true},
		{"unknown authorities sign", n.Consensus, n.V3Idents[:1], all, counts{1, 0, 0, 0, 4}, true},
		{"only unknown authorities sign", n.Consensus, other.V3Idents, append(mustCerts(t, other.Certs), all...), counts{0, 0, 0, 0, 5}, false},
		{"certificates are missing", n.Consensus, n.V3Idents, all[:2], counts{2, 0, 0, 3}, false},
		{"certificates are missing, but enough are there", n.Consensus, n.V3Idents, all[1:4], counts{3, 0, 0, 2}, true},
		{"no certificate", n.Consensus, n.V3Idents, nil, counts{0, 0, 0, 5}, false},
		{"signatures of another document", slices.Concat(n.Body, badSignature(0, 1, 2)), n.V3Idents, all, counts{0, 3}, false},
		{"a bad signature among good ones", slices.Concat(n.ConsensusSignedBy(0, 1, 2), badSignature(3)), n.V3Idents, all, counts{3, 1}, true},
		{"a bad and a good one of the same authority", slices.Concat(n.ConsensusSignedBy(0, 1), badSignature(2), n.ConsensusSignedBy(2)[len(n.Body):]), n.V3Idents, all, counts{3}, true},
		{"one's signing key under another's identity", netdoctest.Sign(n.Body, "sha256", &borrowed, a[1], a[2]), n.V3Idents, all, counts{2, 0, 0, 1}, false},
		{"one's signature under another's keys", netdoctest.Sign(n.Body, "sha256", &posing, a[1], a[2]), n.V3Idents, all, counts{2, 1}, false},
		{"sha1, the default algorithm", netdoctest.Sign(n.Body, "sha1", a...), n.V3Idents, all, counts{5}, true},
		{"an unknown algorithm", netdoctest.Sign(n.Body, "sha3-512", a...), n.V3Idents, all, counts{}, false},
		{"an unknown algorithm beside known ones", slices.Concat(netdoctest.Sign(n.Body, "sha3-512", a...), n.Consensus[len(n.Body):]), n.V3Idents, all, counts{5}, true},
		{"a certificate that has expired", n.ConsensusSignedBy(0, 1, 2), n.V3Idents, certOf(-time.Hour, -time.Second), counts{2, 0, 1}, false},
		{"a certificate in its last second", n.ConsensusSignedBy(0, 1, 2), n.V3Idents, certOf(-time.Hour, 0), counts{3}, true},
		{"a certificate from tomorrow: our clock may be slow", n.ConsensusSignedBy(0, 1, 2), n.V3Idents, certOf(24*time.Hour, 48*time.Hour), counts{3}, true},
		{"a certificate from the future", n.ConsensusSignedBy(0, 1, 2), n.V3Idents, certOf(25*time.Hour, 48*time.Hour), counts{2, 0, 1}, false},
	} {
		c := mustConsensus(t, tc.text)
		report, err := c.Verify(tc.trusted, tc.certs, n.ValidAfter)
		if got := countsOf(report); got != tc.want {
			t.Errorf("%s: counts %v, want %v (%v)", tc.name, got, tc.want, err)
		}
		if (err == nil) != tc.good || report.Enough() != tc.good || (err != nil && !errors.Is(err, netdoc.ErrTooFewSignatures)) {
			t.Errorf("%s: error %v", tc.name, err)
		}
	}
}

func TestVerifyTrustsNobodyByDefault(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{})
	report, err := mustConsensus(t, n.Consensus).Verify(nil, mustCerts(t, n.Certs), n.ValidAfter)
	if !errors.Is(err, netdoc.ErrNoAuthorities) || report.Enough() || report.CouldBeEnough() {
		t.Errorf("report %+v, error %v", report, err)
	}
}

func TestMissingCerts(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 5, Relays: 1})
	all := mustCerts(t, n.Certs)
	c := mustConsensus(t, n.ConsensusSignedBy(0, 1, 2, 2))
	report, _ := c.Verify(n.V3Idents, all[:1], n.ValidAfter)
	if want := []netdoc.KeyID{all[1].KeyID(), all[2].KeyID()}; !slices.Equal(report.MissingCerts, want) || !report.CouldBeEnough() {
		t.Errorf("missing %v, want %v", report.MissingCerts, want)
	}
	if ids := c.KeyIDs(n.V3Idents, all[:1]); !slices.Equal(ids, report.MissingCerts) {
		t.Errorf("KeyIDs %v, want %v", ids, report.MissingCerts)
	}
	if ids := c.KeyIDs(n.V3Idents[2:], nil); !slices.Equal(ids, []netdoc.KeyID{all[2].KeyID()}) {
		t.Errorf("KeyIDs of one trusted authority: %v", ids)
	}
	c = mustConsensus(t, n.ConsensusSignedBy(0, 1))
	if report, _ := c.Verify(n.V3Idents, nil, n.ValidAfter); report.CouldBeEnough() {
		t.Error("two signatures of five can never be enough, whatever certificates come")
	}
}

// The signed part ends after the space of the first "directory-signature " (dir-spec 3.4.1): nothing but
// signatures may follow it, or an attacker could add to a signed document.
func TestNothingAfterSignatures(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 2})
	relay := string(n.Body[indexAfter(t, n.Body, "\nr ")-2 : indexAfter(t, n.Body, "Bandwidth=1000\n")])
	for _, tc := range []struct{ name, added string }{
		{"a relay", relay},
		{"an unknown item", "x-unknown 1\n"},
		{"weights", "bandwidth-weights Wgg=1\n"},
		{"a footer", "directory-footer\n"},
		{"another consensus", string(n.Consensus)},
		{"text", "???\n"},
	} {
		for _, text := range []string{
			string(n.Consensus) + tc.added,
			strings.Replace(string(n.Consensus), "-----END SIGNATURE-----\n", "-----END SIGNATURE-----\n"+tc.added, 1),
		} {
			if _, err := netdoc.ParseConsensus([]byte(text)); !errors.Is(err, netdoc.ErrMalformed) {
				t.Errorf("%s after a signature: error %v", tc.name, err)
			}
		}
	}
}
