package keystore

import (
	"errors"
	"fmt"
	"io/fs"
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

// AddClient authorises a client, or changes its key.
func (s *Service) AddClient(name string, public [32]byte) error {
	if !validName(name) {
		return ErrName
	}
	content := keyfile.FormatClient(public)
	if _, err := keyfile.ParseClient(content); err != nil {
		return err
	}
	return write(filepath.Join(s.path(keyfile.ClientsDir), name+keyfile.ClientSuffix), content, 0o600, true)
}

// RemoveClient takes the authorisation back.
func (s *Service) RemoveClient(name string) error {
	if !validName(name) {
		return ErrName
	}
	return remove(filepath.Join(s.path(keyfile.ClientsDir), name+keyfile.ClientSuffix))
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

// AddClientAuth stores a key for a service, in the file that C tor would name.
func AddClientAuth(dir string, a onion.Address, private [32]byte) error {
	if err := privateDir(dir, true, false); err != nil {
		return err
	}
	content := keyfile.FormatAuth(a, private)
	defer clear(content)
	if _, _, err := keyfile.ParseAuth(content); err != nil {
		return err
	}
	return write(authPath(dir, a), content, 0o600, true)
}

// RemoveClientAuth deletes every file with a key for a service.
func RemoveClientAuth(dir string, a onion.Address) error {
	if err := privateDir(dir, false, false); err != nil {
		return err
	}
	var found []string
	_, err := each(dir, keyfile.PrivateAuthSuffix, func(name string, content []byte) error {
		defer clear(content)
		of, _, err := keyfile.ParseAuth(content)
		if err == nil && of == a {
			found = append(found, name)
		}
		return err
	})
	if err == nil && len(found) == 0 {
		return fmt.Errorf("no key for this onion service: %w", fs.ErrNotExist)
	}
	for _, name := range found {
		err = errors.Join(err, remove(filepath.Join(dir, name+keyfile.PrivateAuthSuffix)))
	}
	return err
}

func authPath(dir string, a onion.Address) string {
	return filepath.Join(dir, strings.TrimSuffix(a.Host(), ".onion")+keyfile.PrivateAuthSuffix)
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
