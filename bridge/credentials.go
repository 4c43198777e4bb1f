package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// freshSeed makes a user, writes its seed for this boot only, and returns its
// public key.
func freshSeed(path string) (string, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return writeSeed(path, user)
}

// KeptKey returns the public key of the user whose seed, or public key, is in
// the file; a new one's seed is written if there is no file.
func KeptKey(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		user, err := nkeys.CreateUser()
		if err != nil {
			return "", err
		}
		return writeSeed(path, user)
	}
	if err != nil {
		return "", err
	}
	word := strings.TrimSpace(string(text))
	if nkeys.IsValidPublicUserKey(word) {
		return word, nil
	}
	user, err := nkeys.FromSeed([]byte(word))
	if err != nil {
		return "", fmt.Errorf("%s: neither the seed (SU…) nor the public key (U…) of an nkey: %w", path, err)
	}
	return publicUser(path, user)
}

func writeSeed(path string, user nkeys.KeyPair) (string, error) {
	seed, err := user.Seed()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, append(seed, '\n'), 0o600); err != nil {
		return "", err
	}
	return user.PublicKey()
}

// readSeed reads a user's seed and its public key.
func readSeed(path string) (nkeys.KeyPair, string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	user, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(text))))
	if err != nil {
		return nil, "", fmt.Errorf("%s: not the seed (SU…) of an nkey: %w", path, err)
	}
	key, err := publicUser(path, user)
	return user, key, err
}

func publicUser(path string, user nkeys.KeyPair) (string, error) {
	key, err := user.PublicKey()
	if err == nil && !nkeys.IsValidPublicUserKey(key) {
		err = fmt.Errorf("%s: not a user's key, which begins with SU or U", path)
	}
	return key, err
}

// credential makes a client use a key, and read answers that are its own only.
func credential(user nkeys.KeyPair, key string) []nats.Option {
	return []nats.Option{nats.Nkey(key, user.Sign), nats.CustomInboxPrefix(InboxPrefix(key))}
}

// clusterSecret reads what the servers of a cluster share.
func clusterSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("NatsClusterCredentialFile: %w; chive fleet credentials makes it, once for all servers of the cluster", err)
	}
	secret := strings.TrimSpace(string(text))
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	}
	if len(secret) < 16 || len(secret) > 128 || strings.ContainsFunc(secret, bad) {
		return "", fmt.Errorf("NatsClusterCredentialFile %s: want one line of 16 to 128 letters, digits and dashes", path)
	}
	return secret, nil
}
