package cert_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/cert"
)

// The vectors' certificates were made and valid on this day.
var chutneyTime = time.Date(2020, 9, 26, 18, 1, 20, 0, time.UTC)

// chutney returns the certificates of a CERTS cell that C tor sent (see
// tor/cell/testdata/README).
func chutney(t testing.TB) map[cert.Type][]byte {
	t.Helper()
	text, err := os.ReadFile("../cell/testdata/certs.hex")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := cell.ParseCerts(unhex(t, string(text)))
	if err != nil {
		t.Fatal(err)
	}
	certs := make(map[cert.Type][]byte)
	for _, e := range entries {
		certs[cert.Type(e.Type)] = e.Body
	}
	return certs
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hex32(t testing.TB, s string) [32]byte { return [32]byte(unhex(t, s)) }

const (
	identityHex = "DCB604DB2034B00FD16986D4ADB9D16B21CB4E4457A33DEC0F538903683E96E9"
	signingHex  = "F82294B866A31F01FC5D0DA8572850A9B929545C3266558D7D2316E3B74172B0"
	tlsHex      = "B4FD606B64E4CBD466B8D76CB131069BAE6F3AA1878857C9F624E31D77A799B8"
	rsaIDHex    = "2f1fb49bb332a9eec617e41e911c33fb3890aef3"
)

func TestEd25519OfTor(t *testing.T) {
	certs := chutney(t)
	identity, signing := hex32(t, identityHex), hex32(t, signingHex)

	c, err := cert.ParseEd25519(certs[cert.TypeIdentitySigning])
	if err != nil {
		t.Fatal(err)
	}
	if c.Type != cert.TypeIdentitySigning || c.KeyType != cert.KeyEd25519 || c.Key != signing ||
		!c.HasSignedWith || c.SignedWith != identity || !c.Expires.Equal(time.Date(2020, 10, 26, 18, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v", c)
	}
	if err := c.Verify(identity, chutneyTime); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(signing, chutneyTime); !errors.Is(err, cert.ErrKey) {
		t.Fatal("cert-spec 2.2.1: the extension must match the key used to sign:", err)
	}

	c, err = cert.ParseEd25519(certs[cert.TypeSigningLink])
	if err != nil {
		t.Fatal(err)
	}
	if c.Type != cert.TypeSigningLink || c.KeyType != cert.KeyX509SHA256 || c.Key != hex32(t, tlsHex) || c.HasSignedWith {
		t.Fatalf("%+v", c)
	}
	if err := c.Verify(signing, chutneyTime); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(identity, chutneyTime); !errors.Is(err, cert.ErrSignature) {
		t.Fatal(err)
	}
	if err := c.Verify([32]byte{}, chutneyTime); !errors.Is(err, cert.ErrSignature) {
		t.Fatal(err)
	}
}

func TestEd25519Expiry(t *testing.T) {
	c, err := cert.ParseEd25519(chutney(t)[cert.TypeIdentitySigning])
	if err != nil {
		t.Fatal(err)
	}
	identity := hex32(t, identityHex)
	if err := c.Verify(identity, c.Expires); err != nil {
		t.Fatal("cert-spec 2.1: EXPIRATION_DATE is the date after which it is not valid:", err)
	}
	err = c.Verify(identity, c.Expires.Add(time.Second))
	expired, ok := errors.AsType[*cert.ExpiredError](err)
	if !ok || !errors.Is(err, cert.ErrExpired) || !expired.NotAfter.Equal(c.Expires) || !expired.NotBefore.IsZero() {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), "expired at 2020-10-26 18:00:00 UTC (checked for 2020-10-26 18:00:01 UTC)") {
		t.Fatal(err)
	}
}

func TestParseEd25519Refuses(t *testing.T) {
	good := chutney(t)[cert.TypeIdentitySigning]
	edit := func(at int, value ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], value)
		return b
	}
	const extensions, length, kind, flags, sig = 39, 40, 42, 43, 76
	withExt := func(n byte, ext string) []byte {
		return bytes.Join([][]byte{good[:extensions], {n}, unhex(t, ext), good[sig:]}, nil)
	}
	named := "0020 04 00" + identityHex
	tests := []struct {
		name string // cert-spec section 2.1
		der  []byte
		want error
	}{
		{"VERSION is not 1", edit(0, 2), cert.ErrMalformed},
		{"empty", nil, cert.ErrMalformed},
		{"an unknown extension", edit(kind, 9), nil},
		{"an unknown extension with AFFECTS_VALIDATION", edit(kind, 9, 1), cert.ErrExtension},
		{"unknown flags alone do not matter", edit(kind, 9, 0xfe), nil},
		{"a known extension with AFFECTS_VALIDATION", edit(flags, 1), nil},
		{"signed-with key of 33 bytes", withExt(1, "0021 04 00"+identityHex+"FF"), cert.ErrMalformed},
		{"two signed-with keys", withExt(2, named+named), cert.ErrMalformed},
		{"an extension that is truncated", edit(length, 0xff, 0xff), cert.ErrMalformed},
		{"more extensions than there are", edit(extensions, 2), cert.ErrMalformed},
		{"an extension of no bytes", withExt(2, named+"0000 63 00"), nil},
		{"bytes after the signature", append(bytes.Clone(good), 0), cert.ErrMalformed},
		{"over the size limit", make([]byte, 5000), cert.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := cert.ParseEd25519(tt.der); !errors.Is(err, tt.want) {
				t.Fatal(err)
			}
		})
	}
	for n := range len(good) {
		if _, err := cert.ParseEd25519(good[:n]); !errors.Is(err, cert.ErrMalformed) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// Every bit of a certificate is signed.
func TestEd25519BitFlips(t *testing.T) {
	good, identity := chutney(t)[cert.TypeIdentitySigning], hex32(t, identityHex)
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if c, err := cert.ParseEd25519(bad); err == nil && c.Verify(identity, chutneyTime) == nil {
			t.Fatalf("bit %d is not signed", bit)
		}
	}
}

func TestSignEd25519RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		signer := ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		hours := rapid.Uint32().Draw(t, "hours")
		want := cert.Ed25519{
			Type:          cert.Type(rapid.Byte().Draw(t, "type")),
			Expires:       time.Unix(int64(hours)*3600, 0),
			KeyType:       cert.KeyType(rapid.Byte().Draw(t, "key type")),
			Key:           [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")),
			HasSignedWith: rapid.Bool().Draw(t, "named"),
		}
		b := cert.SignEd25519(signer, want)
		got, err := cert.ParseEd25519(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != want.Type || !got.Expires.Equal(want.Expires) || got.KeyType != want.KeyType ||
			got.Key != want.Key || got.HasSignedWith != want.HasSignedWith {
			t.Fatalf("%+v", got)
		}
		if err := got.Verify([32]byte(signer.Public().(ed25519.PublicKey)), want.Expires); err != nil {
			t.Fatal(err)
		}
	})
}

// An expiry inside an hour is rounded up, one out of range is kept in range.
func TestSignEd25519Expiry(t *testing.T) {
	signer := ed25519.NewKeyFromSeed(make([]byte, 32))
	for expires, want := range map[int64]uint32{0: 0, 1: 1, 3600: 1, 3601: 2, -5: 0, 1 << 60: 0xffffffff} {
		b := cert.SignEd25519(signer, cert.Ed25519{Expires: time.Unix(expires, 0)})
		if got := binary.BigEndian.Uint32(b[2:]); got != want {
			t.Errorf("%d s: %d hours, want %d", expires, got, want)
		}
	}
}

func TestRSACrossOfTor(t *testing.T) {
	certs := chutney(t)
	identity, err := cert.ParseRSAIdentity(certs[cert.TypeRSAIdentity])
	if err != nil {
		t.Fatal(err)
	}
	c, err := cert.ParseRSACross(certs[cert.TypeRSACross])
	if err != nil || c.Ed25519 != hex32(t, identityHex) {
		t.Fatal(c, err)
	}
	if err := c.Verify(identity.Key, chutneyTime); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(identity.Key, c.Expires); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(identity.Key, c.Expires.Add(1)); !errors.Is(err, cert.ErrExpired) {
		t.Fatal(err)
	}
	// A wrong key that Arti's tests have: one digit is another.
	wrong, err := x509.ParsePKCS1PublicKey(bytes.Replace(x509.MarshalPKCS1PublicKey(identity.Key), []byte{0xbd, 0x3a, 0x3d}, []byte{0xbd, 0x6a, 0x3d}, 1))
	if err != nil || wrong.Equal(identity.Key) {
		t.Fatal("no wrong key", err)
	}
	if err := c.Verify(wrong, chutneyTime); !errors.Is(err, cert.ErrSignature) {
		t.Fatal(err)
	}
}

func TestRSACrossRefuses(t *testing.T) {
	good := chutney(t)[cert.TypeRSACross]
	for n := range len(good) {
		if _, err := cert.ParseRSACross(good[:n]); !errors.Is(err, cert.ErrMalformed) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := cert.ParseRSACross(append(bytes.Clone(good), 0)); !errors.Is(err, cert.ErrMalformed) {
		t.Fatal(err)
	}
	identity, err := cert.ParseRSAIdentity(chutney(t)[cert.TypeRSAIdentity])
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		if c, err := cert.ParseRSACross(bad); err == nil && c.Verify(identity.Key, chutneyTime) == nil {
			t.Fatalf("byte %d is not signed", at)
		}
	}
}

func TestSignRSACross(t *testing.T) {
	key := rsaKey(t, 1024)
	expires := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	b, err := cert.SignRSACross(key, [32]byte{1, 2, 3}, expires)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cert.ParseRSACross(b)
	if err != nil || c.Ed25519 != [32]byte{1, 2, 3} || !c.Expires.Equal(expires) {
		t.Fatal(c, err)
	}
	if err := c.Verify(&key.PublicKey, expires); err != nil {
		t.Fatal(err)
	}
}

func TestRSAIdentityOfTor(t *testing.T) {
	i, err := cert.ParseRSAIdentity(chutney(t)[cert.TypeRSAIdentity])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(i.Digest[:], unhex(t, rsaIDHex)) || i.Key.Size() != 128 {
		t.Fatalf("%x", i.Digest)
	}
	for _, tt := range []struct {
		now  time.Time
		want error
	}{
		{i.NotBefore.Add(-time.Second), cert.ErrExpired},
		{i.NotBefore, nil},
		{chutneyTime, nil},
		{i.NotAfter, nil},
		{i.NotAfter.Add(time.Second), cert.ErrExpired},
	} {
		if err := i.CheckTime(tt.now); !errors.Is(err, tt.want) {
			t.Errorf("at %v: %v", tt.now, err)
		}
	}
	if err := i.CheckTime(i.NotBefore.Add(-time.Hour)); !strings.Contains(err.Error(), "valid only from") {
		t.Error(err)
	}
}

func TestRSAIdentityRefuses(t *testing.T) {
	certs := chutney(t)
	good := certs[cert.TypeRSAIdentity]
	badSignature := bytes.Clone(good)
	badSignature[len(badSignature)-1] ^= 1
	tests := []struct {
		name string // tor-spec section 4.2
		der  []byte
		want error
	}{
		{"the certified key is a 1024-bit RSA key", selfSigned(t, rsaKey(t, 2048)), cert.ErrKey},
		{"not an RSA key", selfSigned(t, ed25519.NewKeyFromSeed(make([]byte, 32))), cert.ErrKey},
		{"correctly self-signed", badSignature, cert.ErrSignature},
		{"trailing bytes", append(bytes.Clone(good), 0), cert.ErrMalformed},
		{"truncated", good[:len(good)-1], cert.ErrMalformed},
		{"not X.509", []byte("certificate"), cert.ErrMalformed},
		{"over the size limit", make([]byte, 9000), cert.ErrMalformed},
		// Type 1 is signed by type 2's key and certifies a 2048-bit key.
		{"a link certificate", certs[cert.TypeRSALink], cert.ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := cert.ParseRSAIdentity(tt.der); !errors.Is(err, tt.want) {
				t.Fatal(err)
			}
		})
	}
	if _, err := cert.ParseRSAIdentity(selfSigned(t, rsaKey(t, 1024))); err != nil {
		t.Fatal(err)
	}
}

func TestTypeNames(t *testing.T) {
	for kind := cert.TypeRSALink; kind <= cert.TypeRSACross; kind++ {
		if got := kind.String(); strings.HasPrefix(got, "certificate type") {
			t.Errorf("%d is %s", kind, got)
		}
	}
	if got := cert.Type(99).String(); got != "certificate type 99" {
		t.Error(got)
	}
}

func FuzzEd25519Cert(f *testing.F) {
	certs := chutney(f)
	f.Add(certs[cert.TypeIdentitySigning])
	f.Add(certs[cert.TypeSigningLink])
	identity := hex32(f, identityHex)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := cert.ParseEd25519(b)
		if err != nil {
			return
		}
		if c.Verify(identity, chutneyTime) == nil && !bytes.Equal(b, certs[cert.TypeIdentitySigning]) {
			t.Fatal("a forged certificate")
		}
	})
}

func FuzzRSACross(f *testing.F) {
	good := chutney(f)[cert.TypeRSACross]
	f.Add(good)
	identity, err := cert.ParseRSAIdentity(chutney(f)[cert.TypeRSAIdentity])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := cert.ParseRSACross(b)
		if err == nil && c.Verify(identity.Key, chutneyTime) == nil && !bytes.Equal(b, good) {
			t.Fatal("a forged certificate")
		}
	})
}

func FuzzRSAIdentity(f *testing.F) {
	certs := chutney(f)
	f.Add(certs[cert.TypeRSAIdentity])
	f.Add(certs[cert.TypeRSALink])
	f.Fuzz(func(t *testing.T, der []byte) {
		i, err := cert.ParseRSAIdentity(der)
		if err == nil && (i.Key.N.BitLen() != 1024 || i.Digest != cert.RSADigest(i.Key)) {
			t.Fatal(i)
		}
	})
}
