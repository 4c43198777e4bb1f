package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chive/tor/onion"
	"chive/tor/onion/host"
	"chive/tor/onion/keyfile"
)

// maxFiles bounds what is read of one directory.
const maxFiles = 4096

// ErrName: a client's name that cannot be a file's.
var ErrName = errors.New("name of a client: want letters, digits, '-', '_' and '.', at most 64 and no dot in front")

// ErrDuplicate: two files give a key for the same service.
var ErrDuplicate = errors.New("two keys for one onion service")

// Clients lists the public keys of the authorised clients by file name without its
// ending. skipped names the files that are none, as C tor ignores them; the caller
// tells the user. An error means that the list cannot be trusted: the service must
// not be published for everyone then.
func (s *Service) Clients() (clients map[string][32]byte, skipped []Skipped, err error) {
	dir := s.path(keyfile.ClientsDir)
	if err := privateDir(dir, false, s.groupReadable); err != nil {
		return nil, nil, err
	}
	clients = make(map[string][32]byte)
	skipped, err = each(dir, keyfile.ClientSuffix, func(name string, content []byte) error {
		key, err := keyfile.ParseClient(content)
		if err == nil {
			clients[name] = key
		}
		return err
	})
	return clients, skipped, err
}

// Masters reads of which services this one is a backend (C tor's ob_config).
func (s *Service) Masters() ([]onion.Address, error) {
	b, err := read(s.path(keyfile.BalanceFile))
	if err != nil {
		return nil, fmt.Errorf("HiddenServiceOnionBalanceInstance 1: %w", err)
	}
	masters, err := keyfile.ParseBalance(b)
	if err == nil && slices.Contains(masters, s.Address) {
		err = fmt.Errorf("%s names the service itself, which is no backend of its own", keyfile.BalanceFile)
	}
	if err == nil && len(masters) > host.MaxMasters {
		err = fmt.Errorf("%s names %d services, and a backend has %d at most", keyfile.BalanceFile, len(masters), host.MaxMasters)
	}
	return masters, err
}

// ClientAuths reads the keys with which this client opens descriptors (torrc
// ClientOnionAuthDir), by service. skipped names the files that are none. Two
// keys for one service are refused, for one of them is wrong.
func ClientAuths(dir string) (auths map[onion.Address][32]byte, skipped []Skipped, err error) {
	if err := privateDir(dir, false, false); err != nil {
		return nil, nil, err
	}
	auths = make(map[onion.Address][32]byte)
	twice := false
	skipped, err = each(dir, keyfile.PrivateAuthSuffix, func(_ string, content []byte) error {
		defer clear(content)
		a, private, err := keyfile.ParseAuth(content)
		if err != nil {
			return err
		}
		if _, have := auths[a]; have {
			twice = true
		}
		auths[a] = private
		return nil
	})
	if err == nil && twice {
		return nil, nil, fmt.Errorf("%w in %s", ErrDuplicate, dir)
	}
	return auths, skipped, err
}

// each gives use every file with the ending, in order of names. Those that use
// refuses or that cannot be read are skipped; our own unfinished ones are not
// mentioned.
func each(dir, suffix string, use func(name string, content []byte) error) (skipped []Skipped, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of keys: %w", err)
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("directory of keys: %s has more than %d files", dir, maxFiles)
	}
	for _, entry := range entries {
		file := entry.Name()
		if strings.HasPrefix(file, unfinished) {
			continue
		}
		name, ok := strings.CutSuffix(file, suffix)
		if !ok {
			skipped = append(skipped, Skipped{File: file, Why: "its name does not end in " + suffix, Other: true})
			continue
		}
		var content []byte
		err := errNoName
		if name != "" {
			content, err = read(filepath.Join(dir, file))
		}
		if err == nil {
			err = use(name, content)
		}
		if err != nil {
			skipped = append(skipped, Skipped{File: file, Why: strings.TrimPrefix(reason(err), filepath.Join(dir, file)+": ")})
		}
	}
	return skipped, nil
}

func validName(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '.' {
		return false
	}
	return !slices.ContainsFunc([]byte(name), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}
