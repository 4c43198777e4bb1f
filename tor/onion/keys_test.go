package onion

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// C tor's vectors of expanded keys, signatures and blinding, published with its
// reference implementation in Python.
func TestEd25519Vectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/ctor_ed25519.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Seed          string `json:"seed"`
		Expanded      string `json:"expanded"`
		Public        string `json:"public"`
		Param         string `json:"param"`
		BlindedSecret string `json:"blinded_secret"`
		BlindedPublic string `json:"blinded_public"`
		SelfSignature string `json:"self_signature"`
		_             struct{}
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 10 {
		t.Fatalf("%d vectors", len(rows))
	}
	for i, row := range rows {
		key := SecretKeyOfSeed(unhex32(t, row.Seed))
		expanded, public := key.Bytes(), key.PublicKey()
		checkHex(t, i, "expanded key", expanded[:], row.Expanded)
		checkHex(t, i, "public key", public[:], row.Public)
		sig := key.Sign(public[:])
		checkHex(t, i, "signature", sig[:], row.SelfSignature)
		blinded := key.blindWith(unhex32(t, row.Param))
		secret := blinded.Bytes()
		checkHex(t, i, "blinded secret key", secret[:], row.BlindedSecret)
		blindedPublic, err := key.Address().blindWith(unhex32(t, row.Param))
		if err != nil || [32]byte(blindedPublic) != blinded.PublicKey() {
			t.Errorf("vector %d: the two ways to the blinded key differ: %v", i, err)
		}
		checkHex(t, i, "blinded public key", blindedPublic[:], row.BlindedPublic)
	}
}

func checkHex(t *testing.T, i int, what string, got []byte, want string) {
	t.Helper()
	if g := hex.EncodeToString(got); !strings.EqualFold(g, want) {
		t.Errorf("vector %d: %s %s, want %s", i, what, g, want)
	}
}

// The chain from identity to subcredential, as C tor computes it.
func TestBlindingOfPeriod(t *testing.T) {
	a := Address(unhex32(t, "833990B085C1A688C1D4C8B1F6B56AFAF5A2ECA674449E1D704F83765CCB7BC6"))
	key, err := NewSecretKey([64]byte(unhex(t, "D8C7FF0E31295B66540D789AF3E3DF992038A9592EEA01D8B7CBA06D6E66D159"+
		"4D6167696320576F7264733A20737065697373636F62616C742062697669756D")))
	if err != nil || key.Address() != a {
		t.Fatalf("%v", err)
	}
	p := Period{Number: 1234, Minutes: 1440}
	h := blindingHash(a, p)
	checkHex(t, 0, "blinding factor", h[:], "379E50DB31FEE6775ABD0AF6FB7C371E060308F4F847DB09FE4CFE13AF602287")
	blinded, err := a.Blind(p)
	if err != nil {
		t.Fatal(err)
	}
	checkHex(t, 0, "blinded key", blinded[:], "3A50BF210E8F9EE955AE0014F7A6917FB65EBF098A86305ABB508D1A7291B6D5")
	sub := a.Subcredential(blinded)
	checkHex(t, 0, "subcredential", sub[:], "635D55907816E8D76398A675A50B1C2F3E36B42A5CA77BA3A0441285161AE07D")
	secret := key.Blind(p).Bytes()
	checkHex(t, 0, "blinded secret key", secret[:], "A958DC83AC885F6814C67035DE817A2C604D5D2F715282079448F789B656350B"+
		"4540FE1F80AA3F7E91306B7BF7A8E367293352B14A29FDCC8C19F3558075524B")
}

// "This boils down to regular Ed25519 with key pair (a', A')" (appendix A.2).
func TestBlindedSignaturesVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := SecretKeyOfSeed([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		p := Period{Number: rapid.Uint64Range(0, 1<<40).Draw(t, "number"), Minutes: rapid.Uint64Range(1, 14400).Draw(t, "minutes")}
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		blinded, err := key.Address().Blind(p)
		if err != nil {
			t.Fatal(err)
		}
		secret := key.Blind(p)
		if secret.PublicKey() != [32]byte(blinded) {
			t.Fatal("the two ways to the blinded key differ")
		}
		again, err := NewSecretKey(secret.Bytes())
		if err != nil || again.PublicKey() != secret.PublicKey() {
			t.Fatalf("stored and read again: %v", err)
		}
		sig := again.Sign(message)
		if !ed25519.Verify(blinded[:], message, sig[:]) {
			t.Fatal("signature does not verify")
		}
		if ed25519.Verify(blinded[:], append(message, 0), sig[:]) {
			t.Fatal("signature verifies for another message")
		}
		other, err := key.Address().Blind(p.Next())
		if err != nil || other == blinded {
			t.Fatalf("the next period has the same key: %v", err)
		}
		if key.Address().Subcredential(other).Equal(key.Address().Subcredential(blinded)) {
			t.Fatal("the next period has the same subcredential")
		}
	})
}

func TestZeroScalarIsRefused(t *testing.T) {
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	for _, scalar := range [][]byte{make([]byte, 32), order} {
		if _, err := NewSecretKey([64]byte(append(bytes.Clone(scalar), make([]byte, 32)...))); !errors.Is(err, errSecret) {
			t.Errorf("scalar %x: %v", scalar, err)
		}
	}
}

func TestGenerateSecretKey(t *testing.T) {
	seed := [32]byte{3}
	key, err := GenerateSecretKey(bytes.NewReader(seed[:]))
	if err != nil || key.Address() != SecretKeyOfSeed(seed).Address() {
		t.Errorf("%v", err)
	}
	if _, err := GenerateSecretKey(bytes.NewReader(seed[:31])); err == nil {
		t.Error("a key was made of 31 bytes")
	}
}
