// Package keyfile encodes and decodes the files in which onion services and their
// clients keep keys, as C tor lays them out, so that either program can take over
// from the other.
//
//	HiddenServiceDir/
//	  hs_ed25519_secret_key      "== ed25519v1-secret: type0 ==", 64 bytes
//	  hs_ed25519_public_key      "== ed25519v1-public: type0 ==", 32 bytes
//	  hostname                   <address>.onion
//	  authorized_clients/X.auth  descriptor:x25519:<public key>
//	ClientOnionAuthDir/
//	  X.auth_private             <address>:descriptor:x25519:<private key>
//
// Headers fill 32 bytes with zeroes; keys in text are base32 without padding.
// Specification: rend-spec-v3 appendices F and G. Opening files, and who may read
// them, is left to others.
package keyfile

import (
	"crypto/ecdh"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"chive/tor/onion"
)

// Names in a service's directory, and endings of those that hold clients' keys.
const (
	SecretKeyFile     = "hs_ed25519_secret_key"
	PublicKeyFile     = "hs_ed25519_public_key"
	HostnameFile      = "hostname"
	ClientsDir        = "authorized_clients"
	ClientSuffix      = ".auth"
	PrivateAuthSuffix = ".auth_private"
)

// MaxSize bounds every one of these files, in bytes.
const MaxSize = 4096

// ErrMalformed: the text is no such file. The error never repeats what it read.
var ErrMalformed = errors.New("malformed key file")

const (
	headerLen    = 32
	secretHeader = "== ed25519v1-secret: type0 =="
	publicHeader = "== ed25519v1-public: type0 =="
	authKind     = "descriptor:x25519"
)

var base32NoPad = base32.StdEncoding.WithPadding(base32.NoPadding)

// FormatSecretKey is the content of SecretKeyFile.
func FormatSecretKey(k *onion.SecretKey) []byte {
	secret := k.Bytes()
	defer clear(secret[:])
	return tagged(secretHeader, secret[:])
}

// ParseSecretKey reads the content of SecretKeyFile.
func ParseSecretKey(b []byte) (*onion.SecretKey, error) {
	body, ok := untag(b, secretHeader, 64)
	if !ok {
		return nil, fmt.Errorf("%s: %w", SecretKeyFile, ErrMalformed)
	}
	k, err := onion.NewSecretKey([64]byte(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", SecretKeyFile, ErrMalformed, err)
	}
	return k, nil
}

// FormatPublicKey is the content of PublicKeyFile.
func FormatPublicKey(a onion.Address) []byte { return tagged(publicHeader, a[:]) }

// ParsePublicKey reads the content of PublicKeyFile.
func ParsePublicKey(b []byte) (onion.Address, error) {
	body, ok := untag(b, publicHeader, 32)
	if !ok {
		return onion.Address{}, fmt.Errorf("%s: %w", PublicKeyFile, ErrMalformed)
	}
	a, err := onion.NewAddress([32]byte(body))
	if err != nil {
		return onion.Address{}, fmt.Errorf("%s: %w: %w", PublicKeyFile, ErrMalformed, err)
	}
	return a, nil
}

// FormatHostname is the content of HostnameFile.
func FormatHostname(a onion.Address) []byte { return []byte(a.Host() + "\n") }

// FormatClient is the content of an authorised client's file.
func FormatClient(public [32]byte) []byte {
	return []byte(authKind + ":" + base32NoPad.EncodeToString(public[:]) + "\n")
}

// ParseClient reads an authorised client's public key. A key of low order, with
// which everyone could read the descriptor, is refused.
func ParseClient(b []byte) ([32]byte, error) {
	key, ok := cutKind(string(b))
	public, err := decodeKey(key)
	if !ok || err != nil || !ordinaryPoint(public) {
		return [32]byte{}, fmt.Errorf("authorised client: %w, want %s:<base32 of the public key>", ErrMalformed, authKind)
	}
	return public, nil
}

// FormatAuth is the content of the file with which a client reads a service's
// descriptor. It is a secret.
func FormatAuth(a onion.Address, private [32]byte) []byte {
	label, _ := strings.CutSuffix(a.Host(), ".onion")
	return []byte(label + ":" + authKind + ":" + base32NoPad.EncodeToString(private[:]) + "\n")
}

// ParseAuth reads such a file. Errors: ErrMalformed, those of onion addresses.
func ParseAuth(b []byte) (onion.Address, [32]byte, error) {
	label, rest, found := strings.Cut(string(b), ":")
	label = strings.TrimSpace(label)
	key, ok := cutKind(rest)
	private, err := decodeKey(key)
	if !found || !ok || err != nil || private == [32]byte{} {
		return onion.Address{}, [32]byte{}, fmt.Errorf(
			"client's key: %w, want <address>:%s:<base32 of the private key>", ErrMalformed, authKind)
	}
	a, err := onion.ParseAddress(strings.TrimSuffix(label, ".onion") + ".onion")
	if err != nil {
		return onion.Address{}, [32]byte{}, fmt.Errorf("client's key: %w", err)
	}
	return a, private, nil
}

// cutKind reads "descriptor:x25519:" and returns the rest; blanks around fields
// are ignored.
func cutKind(s string) (string, bool) {
	fields := strings.Split(s, ":")
	if len(fields) != 3 {
		return "", false
	}
	kind := strings.TrimSpace(fields[0]) + ":" + strings.TrimSpace(fields[1])
	return strings.TrimSpace(fields[2]), kind == authKind
}

func decodeKey(s string) (key [32]byte, err error) {
	if len(s) != base32NoPad.EncodedLen(len(key)) {
		return key, ErrMalformed
	}
	b, err := base32NoPad.DecodeString(strings.ToUpper(s))
	if err != nil {
		return key, ErrMalformed // the library's error would repeat the text
	}
	copy(key[:], b)
	return key, nil
}

func ordinaryPoint(public [32]byte) bool {
	probe, err := ecdh.X25519().NewPrivateKey(append([]byte{8}, make([]byte, 31)...))
	if err != nil {
		return false
	}
	point, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return false
	}
	_, err = probe.ECDH(point)
	return err == nil
}

func tagged(header string, body []byte) []byte {
	b := make([]byte, headerLen, headerLen+len(body))
	copy(b, header)
	return append(b, body...)
}

func untag(b []byte, header string, length int) ([]byte, bool) {
	var want [headerLen]byte
	copy(want[:], header)
	if len(b) != headerLen+length || [headerLen]byte(b) != want {
		return nil, false
	}
	return b[headerLen:], true
}
