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

func TestParseAuthCerts(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 3, Relays: 1})
	certs := mustCerts(t, n.Certs)
	if len(certs) != 3 {
		t.Fatalf("%d certificates", len(certs))
	}
	for i, a := range n.Authorities {
		cert := certs[i]
		if cert.Identity != a.Identity || cert.SigningKeyDigest != a.SigningDigest || !cert.SigningKey.Equal(&a.SigningKey.PublicKey) ||
			!cert.IdentityKey.Equal(&a.IdentityKey.PublicKey) || cert.KeyID() != (netdoc.KeyID{Identity: a.Identity, SigningKey: a.SigningDigest}) ||
			!cert.Published.Equal(n.ValidAfter.AddDate(0, -1, 0)) || !cert.Expires.Equal(n.ValidAfter.AddDate(0, 11, 0)) {
			t.Errorf("certificate %d: %+v", i, cert)
		}
		if want := a.Identity.String() + "-" + a.SigningDigest.String(); cert.KeyID().String() != want {
			t.Errorf("KeyID %v, want %s", cert.KeyID(), want)
		}
	}
}

// TestCertEveryByte flips one bit in each byte of a certificate that C tor made. A certificate that still parses
// must be the same in everything but the text of an unused item.
func TestCertEveryByte(t *testing.T) {
	text := mustCerts(t, vector(t, "certs"))[0].Raw
	signed := indexAfter(t, text, "\ndir-key-certification\n")
	for i := range signed {
		tampered := slices.Clone(text)
		tampered[i] ^= 1
		if certs, err := netdoc.ParseAuthCerts(tampered); err == nil {
			t.Fatalf("byte %d (%q) flipped: accepted %v", i, tampered[i], certs[0].KeyID())
		}
	}
}

func TestCertRefuses(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 2, Relays: 1})
	good := n.Authorities[0].Cert(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0))
	otherFingerprint := *n.Authorities[0]
	otherFingerprint.Identity = n.Authorities[1].Identity
	stolen := *n.Authorities[0] // vouches for a signing key it does not hold: the cross-certificate is by another key
	stolenText := stolen.Cert(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0))
	otherText := n.Authorities[1].Cert(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0))
	swap := func(from, to string) []byte { return replaceOnce(t, good, from, to) }
	crosscert := func(text []byte) string {
		start := indexAfter(t, text, "dir-key-crosscert\n")
		return string(text[start:indexAfter(t, text, "-----END ID SIGNATURE-----\n")])
	}
	weakKey := "-----BEGIN RSA PUBLIC KEY-----\nMEgCQQDXRn/t9QrqfLHhVEmwwYRkfYEnT8Q1Y5eVQNSPnr8xZJ1k5yrnI6vGbW+V\n7EACrsHJTOpJ4sJLnbJZ0FE5AgMBAAE=\n-----END RSA PUBLIC KEY-----\n"
	identityKey := string(good[indexAfter(t, good, "dir-identity-key\n"):indexAfter(t, good, "-----END RSA PUBLIC KEY-----\n")])
	for _, tc := range []struct {
		name string
		text []byte
	}{
		{"empty", []byte("x")},
		{"version 4", swap("version 3", "version 4")},
		{"no version", swap("dir-key-certificate-version 3\n", "")},
		{"another fingerprint", otherFingerprint.Cert(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0))},
		{"no fingerprint", swap("fingerprint ", "x-fingerprint ")},
		{"no dir-key-expires", swap("dir-key-expires ", "x-expires ")},
		{"dir-key-expires twice", swap("dir-key-expires ", "dir-key-expires 2030-01-01 00:00:00\ndir-key-expires ")},
		{"a later expiry", swap("dir-key-expires 2027", "dir-key-expires 2037")},
		{"a weak identity key", swap(identityKey, weakKey)},
		{"no identity key object", swap(identityKey, "")},
		{"another's cross-certificate", swap(crosscert(stolenText), crosscert(otherText))},
		{"an extra item", swap("dir-signing-key", "x-extra 1\ndir-signing-key")},
		{"something after the end", append(slices.Clone(good), "fingerprint 0\n"...)},
		{"no certification", good[:indexAfter(t, good, "-----END ID SIGNATURE-----\n")]},
		{"no certification object", good[:indexAfter(t, good, "dir-key-certification\n")]},
		{"cut in the certification", good[:len(good)-40]},
		{"another object type", bytes.ReplaceAll(good, []byte("RSA PUBLIC KEY"), []byte("EC PUBLIC KEY"))},
	} {
		if certs, err := netdoc.ParseAuthCerts(tc.text); !errors.Is(err, netdoc.ErrMalformed) || len(certs) != 0 {
			t.Errorf("%s: %d certificates, error %v", tc.name, len(certs), err)
		}
	}
	big := slices.Repeat([]byte("\n"), netdoc.MaxCertsSize+1)
	if _, err := netdoc.ParseAuthCerts(big); !errors.Is(err, netdoc.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// dir-spec 3.1: "Implementations MUST allow the 'ID ' portion to be omitted". The item is inside the certified
// part, so such a certificate has to be made, not edited.
func TestCertPlainCrosscert(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 1, Relays: 1})
	text := n.Authorities[0].CertEdited(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0), func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(" ID SIGNATURE--"), []byte(" SIGNATURE--"))
	})
	if certs := mustCerts(t, text); len(certs) != 1 || !strings.Contains(string(certs[0].Raw), "dir-key-crosscert\n-----BEGIN SIGNATURE") {
		t.Errorf("%d certificates", len(certs))
	}
	text = n.Authorities[0].CertEdited(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0), func(b []byte) []byte {
		return bytes.Replace(b, []byte("dir-identity-key"), []byte("dir-address 127.0.0.1:80 extra\nx-new 1\ndir-identity-key"), 1)
	})
	if certs := mustCerts(t, text); len(certs) != 1 {
		t.Errorf("unknown items in a certificate: %d certificates", len(certs))
	}
}

// A hostile directory must not hide good certificates behind a bad one.
func TestBadCertAmongGood(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Authorities: 3, Relays: 1})
	cert := func(i int) []byte { return n.Authorities[i].Cert(n.ValidAfter, n.ValidAfter.AddDate(1, 0, 0)) }
	bad := replaceOnce(t, cert(1), "dir-key-expires 2027", "dir-key-expires 2037")
	for _, tc := range []struct {
		name string
		text []byte
	}{
		{"between", slices.Concat(cert(0), bad, cert(2))},
		{"first", slices.Concat(bad, cert(0), cert(2))},
		{"cut before the next", slices.Concat(cert(0), bad[:300], []byte("\n"), cert(2))},
		{"garbage first", slices.Concat([]byte("garbage %%\n"), cert(0), cert(2))},
		{"blank lines", slices.Concat([]byte("\n\n"), cert(0), []byte("\n\n"), bad, []byte("\n"), cert(2))},
	} {
		certs, err := netdoc.ParseAuthCerts(tc.text)
		if len(certs) != 2 || certs[0].Identity != n.Authorities[0].Identity || certs[1].Identity != n.Authorities[2].Identity {
			t.Errorf("%s: %d certificates", tc.name, len(certs))
		}
		if !errors.Is(err, netdoc.ErrMalformed) {
			t.Errorf("%s: error %v", tc.name, err)
		}
	}
}

func TestCertCheckTime(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	cert := &netdoc.AuthCert{Published: now, Expires: now.AddDate(1, 0, 0)}
	for _, tc := range []struct {
		now  time.Time
		want error
	}{
		{now, nil},
		{now.Add(-netdoc.MaxCertSkew), nil},
		{now.Add(-netdoc.MaxCertSkew - time.Second), netdoc.ErrNotYetValid},
		{cert.Expires, nil},
		{cert.Expires.Add(time.Second), netdoc.ErrExpired},
	} {
		if err := cert.CheckTime(tc.now); !errors.Is(err, tc.want) {
			t.Errorf("at %v: %v, want %v", tc.now, err, tc.want)
		}
	}
}
