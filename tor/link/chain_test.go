package link_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/link"
	"chive/tor/link/linktest"
)

// testTime is the time of all tests without a real peer.
var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// makeRelay makes a relay; keys are slow to make, so tests share two.
func makeRelay() *linktest.RelayIdentity {
	id, err := linktest.MakeRelayIdentity(rand.Reader)
	if err != nil {
		panic(err)
	}
	return id
}

var (
	relay      = sync.OnceValue(makeRelay)
	otherRelay = sync.OnceValue(makeRelay)
)

func tlsDER(id *linktest.RelayIdentity) []byte { return id.TLSCertificate().Certificate[0] }

// certsBody is the body of the CERTS cell that a mutated relay sends.
func certsBody(t testing.TB, m linktest.Mutations) []byte {
	t.Helper()
	_, cmd, body, n, err := cell.Next(relay().CertsCell(testTime, tlsDER(relay()), m))
	if cmd != cell.Certs || n == 0 || err != nil {
		t.Fatal(cmd, n, err)
	}
	return body
}

// The chain of a C tor relay (see tor/cell/testdata/README), which Arti's
// tests hold to these same identities.
func TestVerifyCertsOfTor(t *testing.T) {
	text, err := os.ReadFile("../cell/testdata/certs.hex")
	if err != nil {
		t.Fatal(err)
	}
	body := unhex(t, string(text))
	tls := [32]byte(unhex(t, "b4fd606b64e4cbd466b8d76cb131069bae6f3aa1878857c9f624e31d77a799b8"))
	now := time.Date(2020, 9, 26, 18, 1, 20, 0, time.UTC)
	got, err := link.VerifyCerts(body, tls, now)
	if err != nil {
		t.Fatal(err)
	}
	const want = "$2F1FB49BB332A9EEC617E41E911C33FB3890AEF3 ed25519:3LYE2yA0sA/RaYbUrbnRayHLTkRXoz3sD1OJA2g+luk"
	if got.String() != want {
		t.Fatal(got)
	}
	if _, err := link.VerifyCerts(body, [32]byte{}, now); !errors.Is(err, link.ErrCert) || !errors.Is(err, cert.ErrKey) {
		t.Fatal("another TLS certificate:", err)
	}
	// The first to expire is the link certificate, at 2020-09-28 18:00.
	err = nil
	_, err = link.VerifyCerts(body, tls, now.Add(48*time.Hour))
	expired, ok := errors.AsType[*link.ExpiredError](err)
	if !ok || !errors.Is(err, link.ErrExpired) || !expired.NotAfter.Equal(time.Date(2020, 9, 28, 18, 0, 0, 0, time.UTC)) {
		t.Fatal(err)
	}
	// A clock that is a year slow is told from a dead relay by NotBefore.
	_, err = link.VerifyCerts(body, tls, now.AddDate(-1, 0, 0))
	if expired, ok := errors.AsType[*link.ExpiredError](err); !ok || expired.NotBefore.IsZero() {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tor-spec section 4.2: what the initiator MUST check, condition by condition.
var badChains = []struct {
	name string
	m    linktest.Mutations
	want error
}{
	{"the key in the link certificate matches the TLS certificate", linktest.Mutations{WrongTLSDigest: true}, cert.ErrKey},
	{"type 2 is not expired", linktest.Mutations{Expired: types(2)}, link.ErrExpired},
	{"type 4 is not expired", linktest.Mutations{Expired: types(4)}, link.ErrExpired},
	{"type 5 is not expired", linktest.Mutations{Expired: types(5)}, link.ErrExpired},
	{"type 7 is not expired", linktest.Mutations{Expired: types(7)}, link.ErrExpired},
	{"type 2 is valid already", linktest.Mutations{NotYetValid: true}, link.ErrExpired},
	{"type 2 is correctly signed", linktest.Mutations{BadSignature: types(2)}, cert.ErrSignature},
	{"type 4 is correctly signed", linktest.Mutations{BadSignature: types(4)}, cert.ErrSignature},
	{"type 5 is correctly signed", linktest.Mutations{BadSignature: types(5)}, cert.ErrSignature},
	{"type 7 is correctly signed", linktest.Mutations{BadSignature: types(7)}, cert.ErrSignature},
	{"type 2 is there", linktest.Mutations{Omit: types(2)}, nil},
	{"type 4 is there", linktest.Mutations{Omit: types(4)}, nil},
	{"type 5 is there", linktest.Mutations{Omit: types(5)}, nil},
	{"type 7 is there", linktest.Mutations{Omit: types(7)}, nil},
	{"nothing is there", linktest.Mutations{Omit: types(2, 4, 5, 7)}, nil},
	{"exactly one of type 2", linktest.Mutations{Duplicate: types(2)}, nil},
	{"exactly one of type 4", linktest.Mutations{Duplicate: types(4)}, nil},
	{"exactly one of type 5", linktest.Mutations{Duplicate: types(5)}, nil},
	{"exactly one of type 7", linktest.Mutations{Duplicate: types(7)}, nil},
	{"no more than one of any type", linktest.Mutations{
		Replace: map[cert.Type][]byte{99: {1}}, Duplicate: types(99),
	}, nil},
	{"type 4 lists the identity key", linktest.Mutations{UnnamedSigner: true}, cert.ErrKey},
	{"type 4 certifies an Ed25519 key", linktest.Mutations{WrongKeyType: types(4)}, cert.ErrKey},
	{"type 5 certifies an X.509 certificate", linktest.Mutations{WrongKeyType: types(5)}, cert.ErrKey},
	{"types 4 and 5 are what they are listed as", linktest.Mutations{Swapped: true}, cert.ErrMalformed},
	{"type 7 certifies the Ed25519 identity", linktest.Mutations{CrossOther: true}, cert.ErrKey},
	{"type 2 is no garbage", linktest.Mutations{Replace: map[cert.Type][]byte{2: []byte("x")}}, cert.ErrMalformed},
	{"type 4 is no garbage", linktest.Mutations{Replace: map[cert.Type][]byte{4: {}}}, cert.ErrMalformed},
	{"type 5 is no garbage", linktest.Mutations{Replace: map[cert.Type][]byte{5: make([]byte, 104)}}, cert.ErrMalformed},
	{"type 7 is no garbage", linktest.Mutations{Replace: map[cert.Type][]byte{7: make([]byte, 165)}}, cert.ErrMalformed},
}

func types(t ...cert.Type) []cert.Type { return t }

func TestVerifyCertsRefuses(t *testing.T) {
	tls := sha256.Sum256(tlsDER(relay()))
	if got, err := link.VerifyCerts(certsBody(t, linktest.Mutations{}), tls, testTime); err != nil || got != relay().Identity() {
		t.Fatal("an unmutated chain:", got, err)
	}
	check := func(t *testing.T, m linktest.Mutations, want error) {
		t.Helper()
		got, err := link.VerifyCerts(certsBody(t, m), tls, testTime)
		if !errors.Is(err, link.ErrCert) || (want != nil && !errors.Is(err, want)) || got != (link.Identity{}) {
			t.Fatal(got, err)
		}
	}
	for _, tt := range badChains {
		t.Run(tt.name, func(t *testing.T) { check(t, tt.m, tt.want) })
	}
	for _, kind := range types(4, 5, 7) {
		m := linktest.Mutations{SignedBy: map[cert.Type]*linktest.RelayIdentity{kind: otherRelay()}}
		t.Run("another relay signed "+kind.String(), func(t *testing.T) { check(t, m, cert.ErrSignature) })
	}
	t.Run("another relay's whole chain", func(t *testing.T) {
		// Its link certificate is not for this session.
		_, _, body, _, err := cell.Next(otherRelay().CertsCell(testTime, tlsDER(otherRelay()), linktest.Mutations{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := link.VerifyCerts(body, tls, testTime); !errors.Is(err, cert.ErrKey) {
			t.Fatal(err)
		}
	})
	t.Run("another relay's RSA identity", func(t *testing.T) {
		_, _, body, _, err := cell.Next(otherRelay().CertsCell(testTime, tlsDER(relay()), linktest.Mutations{}))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := cell.ParseCerts(body)
		if err != nil {
			t.Fatal(err)
		}
		check(t, linktest.Mutations{Replace: map[cert.Type][]byte{2: entries[0].Body}}, cert.ErrSignature)
	})
}

// Types that say nothing about the responder are not even parsed.
func TestVerifyCertsIgnoresOtherTypes(t *testing.T) {
	body := certsBody(t, linktest.Mutations{Replace: map[cert.Type][]byte{1: []byte("x"), 3: nil, 6: nil, 200: []byte("y")}})
	got, err := link.VerifyCerts(body, sha256.Sum256(tlsDER(relay())), testTime)
	if err != nil || got != relay().Identity() {
		t.Fatal(got, err)
	}
}

// Versions of Tor before 0.4.5.1 wrote key type 1 in type 5 (cert-spec A.4).
func TestVerifyCertsOldKeyType(t *testing.T) {
	body := cert.SignEd25519(relay().Signing, cert.Ed25519{
		Type: cert.TypeSigningLink, Expires: testTime.Add(time.Hour), KeyType: cert.KeyEd25519, Key: sha256.Sum256(tlsDER(relay())),
	})
	_, err := link.VerifyCerts(certsBody(t, linktest.Mutations{Replace: map[cert.Type][]byte{5: body}}),
		sha256.Sum256(tlsDER(relay())), testTime)
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyCertsTruncated(t *testing.T) {
	whole := certsBody(t, linktest.Mutations{})
	for n := range len(whole) {
		if _, err := link.VerifyCerts(whole[:n], [32]byte{}, testTime); !errors.Is(err, link.ErrProtocol) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func FuzzVerifyCerts(f *testing.F) {
	good := certsBody(f, linktest.Mutations{})
	f.Add(good)
	f.Add([]byte{0})
	tls := sha256.Sum256(tlsDER(relay()))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := link.VerifyCerts(body, tls, testTime)
		if (err == nil) != (got != link.Identity{}) {
			t.Fatal(got, err)
		}
		// What is proven can only be what this relay's keys have signed.
		if err == nil && !bytes.Equal(body, good) && got != relay().Identity() {
			t.Fatal("a forged identity", got)
		}
	})
}
