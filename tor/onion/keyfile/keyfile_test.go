package keyfile

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chive/tor/onion"
)

const (
	host   = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid"
	public = "DZ4Q5XQLB4LDNBS72IARRML4EPHK3DU4I7O2CGIVA5LWR6WKQUJA" // Arti's vector
)

// What C tor wrote for a service of a private network.
func TestFilesOfCTor(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/ctor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	secret := read(SecretKeyFile)
	k, err := ParseSecretKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParsePublicKey(read(PublicKeyFile))
	if err != nil || a != k.Address() {
		t.Fatalf("the public key is not the secret key's: %v", err)
	}
	if !bytes.Equal(FormatSecretKey(k), secret) || !bytes.Equal(FormatPublicKey(a), read(PublicKeyFile)) ||
		!bytes.Equal(FormatHostname(a), read(HostnameFile)) {
		t.Error("written differently from what was read")
	}
}

func TestKeyFilesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		k := onion.SecretKeyOfSeed(seed)
		got, err := ParseSecretKey(FormatSecretKey(k))
		if err != nil || got.Bytes() != k.Bytes() || got.Address() != k.Address() {
			t.Fatalf("secret key: %v", err)
		}
		if a, err := ParsePublicKey(FormatPublicKey(k.Address())); err != nil || a != k.Address() {
			t.Fatalf("public key: %v", err)
		}
		seed[0] |= 8
		if a, private, err := ParseAuth(FormatAuth(k.Address(), seed)); err != nil || a != k.Address() || private != seed {
			t.Fatalf("client's key: %v", err)
		}
	})
}

func TestMalformedKeyFiles(t *testing.T) {
	k := onion.SecretKeyOfSeed([32]byte{1})
	secret, pub := FormatSecretKey(k), FormatPublicKey(k.Address())
	for name, b := range map[string][]byte{
		"empty": nil, "short": secret[:95], "long": append(bytes.Clone(secret), 0), "a public key": pub,
		"another header": append([]byte("== ed25519v1-secret: type1 =="), secret[29:]...),
		"zero":           append(bytes.Clone(secret[:32]), make([]byte, 64)...),
	} {
		if _, err := ParseSecretKey(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("secret key, %s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short": pub[:63], "a secret key": secret, "zero": append(bytes.Clone(pub[:32]), make([]byte, 32)...),
	} {
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("public key, %s: %v", name, err)
		}
	}
}

func TestClients(t *testing.T) {
	good := "descriptor:x25519:" + public
	want, err := ParseClient([]byte(good))
	if err != nil || string(FormatClient(want)) != good+"\n" {
		t.Fatalf("%v", err)
	}
	for _, s := range []string{good + "\n", strings.Replace(good, public, strings.ToLower(public), 1) + "\r\n", " descriptor : x25519 : " + public + " "} {
		if got, err := ParseClient([]byte(s)); err != nil || got != want {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "descriptor:x25519:", "descriptor:x25519:AA==", "other:x25519:" + public, "descriptor:x448:" + public,
		"foo:" + good, "descriptor:x25519:" + strings.Repeat("A", 52), "descriptor:x25519:" + strings.Repeat("1", 52),
		"descriptor:x25519:" + public + "A",
	} {
		if _, err := ParseClient([]byte(s)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestAuth(t *testing.T) {
	good := host + ":descriptor:x25519:" + public
	a, private, err := ParseAuth([]byte(good + "\n"))
	if err != nil || a.Host() != host+".onion" || string(FormatAuth(a, private)) != good+"\n" {
		t.Fatalf("%v", err)
	}
	if b, _, err := ParseAuth([]byte(host + ".onion:descriptor:x25519:" + public)); err != nil || b != a {
		t.Errorf("with .onion: %v", err)
	}
	for s, want := range map[string]error{
		"": ErrMalformed, "descriptor:x25519:" + public: ErrMalformed, host + ":descriptor:x25519:": ErrMalformed,
		host + ":descriptor:x25519:" + strings.Repeat("A", 52): ErrMalformed, host + ":other:x25519:" + public: ErrMalformed,
		"x" + good: onion.ErrLength, strings.Replace(good, "25nj", "25nk", 1): onion.ErrChecksum,
	} {
		_, _, err := ParseAuth([]byte(s))
		if !errors.Is(err, want) {
			t.Errorf("%q: %v", s, err)
		}
		if err != nil && (strings.Contains(err.Error(), public[:10]) || strings.Contains(err.Error(), host[:10])) {
			t.Errorf("the error repeats the file: %v", err)
		}
	}
}

func FuzzKeyFiles(f *testing.F) {
	k := onion.SecretKeyOfSeed([32]byte{1})
	f.Add(FormatSecretKey(k))
	f.Add(FormatPublicKey(k.Address()))
	f.Add([]byte("descriptor:x25519:" + public))
	f.Add([]byte(host + ":descriptor:x25519:" + public))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseSecretKey(b); err == nil && !bytes.Equal(FormatSecretKey(k), b) {
			t.Error("secret key")
		}
		if a, err := ParsePublicKey(b); err == nil && !bytes.Equal(FormatPublicKey(a), b) {
			t.Error("public key")
		}
		if key, err := ParseClient(b); err == nil {
			if again, err := ParseClient(FormatClient(key)); err != nil || again != key {
				t.Error("client")
			}
		}
		if a, private, err := ParseAuth(b); err == nil {
			if c, again, err := ParseAuth(FormatAuth(a, private)); err != nil || c != a || again != private {
				t.Error("client's key")
			}
		}
	})
}
