package keystore

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chive/tor/onion"
	"chive/tor/onion/keyfile"
)

// ErrHasKey: there is a key already, which is not to be replaced.
var ErrHasKey = errors.New("there is a key already")

// ErrLastClient: without him everybody finds the service.
var ErrLastClient = errors.New("no other client is authorised: without this one everybody who knows the address finds the service")

// ErrAddress: what should be an onion service's address is none.
var ErrAddress = errors.New("no address of an onion service")

// ClientKey reads a client's public key, with or without the "descriptor:x25519:" in front.
func ClientKey(text string) (public [32]byte, err error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, ":") {
		kind := ClientLine(public)
		text = kind[:strings.LastIndexByte(kind, ':')+1] + text
	}
	return keyfile.ParseClient([]byte(text))
}

// ClientLine is a client's public key as it stands in a file of authorised clients.
func ClientLine(public [32]byte) string {
	return strings.TrimSpace(string(keyfile.FormatClient(public)))
}

// address reads an onion service's address, with or without its ending. Errors: [ErrAddress].
func address(text string) (onion.Address, error) {
	a, err := onion.ParseAddress(strings.TrimSuffix(text, ".onion") + ".onion")
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return a, err
}

// AddClient authorises a client of the service whose folder it is (torrc HiddenServiceDir).
// first: nobody was, and from the next reload on nobody else finds the service. Errors:
// [ErrName], [ErrHasKey] unless replace, and those of [SurveyService].
func AddClient(folder, name string, public [32]byte, replace bool) (first bool, err error) {
	content := keyfile.FormatClient(public)
	if _, err := keyfile.ParseClient(content); err != nil {
		return false, err
	}
	survey, path, err := surveyClient(folder, name)
	if err != nil {
		return false, err
	}
	if have, ok := survey.Clients[name]; ok && have != public && !replace {
		return false, fmt.Errorf("%w for the client %s", ErrHasKey, name)
	}
	dir := filepath.Dir(path)
	_, err = os.Lstat(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if err := privateDir(dir, missing, !missing); err != nil {
		return false, err
	}
	return !survey.Restricted(), write(path, content, 0o600, true)
}

// RemoveClient takes an authorisation back. Errors: [ErrName], [fs.ErrNotExist] for one who has
// none, [ErrLastClient] unless open says that everybody may find the service then.
func RemoveClient(folder, name string, open bool) error {
	survey, path, err := surveyClient(folder, name)
	if err != nil {
		return err
	}
	// A file that holds no key lets nobody in, and keeps everybody out all the same.
	if _, err := os.Lstat(path); err == nil && !open && len(survey.Clients)+len(Broken(survey.Skipped)) == 1 {
		return ErrLastClient
	}
	return remove(path)
}

// surveyClient looks at a service's folder, and says where a client's file is in it.
func surveyClient(folder, name string) (*Survey, string, error) {
	if !validName(name) {
		return nil, "", ErrName
	}
	survey, err := SurveyService(folder, true, false)
	if err != nil {
		return nil, "", err
	}
	return survey, filepath.Join(folder, keyfile.ClientsDir, name+keyfile.ClientSuffix), nil
}

// NewClientAuth makes a key with which this client opens a service's descriptors, and keeps it in
// the folder (torrc ClientOnionAuthDir), which is made if it is not there, in the file that C tor
// would name. It returns the public one, for the service's operator. Errors: [ErrAddress],
// [ErrHasKey] unless replace.
func NewClientAuth(folder, service string, random io.Reader, replace bool) (public [32]byte, err error) {
	a, err := address(service)
	if err != nil {
		return public, err
	}
	if err := privateDir(folder, true, false); err != nil {
		return public, err
	}
	auths, _, err := ClientAuths(folder)
	if err != nil && (!replace || !errors.Is(err, ErrDuplicate)) {
		return public, err
	}
	_, have := auths[a]
	if have && !replace {
		return public, fmt.Errorf("%w for this onion service", ErrHasKey)
	}
	var private [32]byte
	defer clear(private[:])
	if _, err := io.ReadFull(random, private[:]); err != nil {
		return public, err
	}
	if public, err = publicOf(private); err != nil {
		return public, err
	}
	// The new one first: it has the name that C tor gives it, and is not removed with the others.
	if err := addClientAuth(folder, a, private); err != nil || !replace {
		return public, err
	}
	_, err = removeClientAuths(folder, a, filepath.Base(authPath(folder, a)))
	return public, err
}

// ClientAuth is a key for a service, without its secret.
type ClientAuth struct {
	Host   string // the service's
	Public [32]byte
}

// ListClientAuths tells for which services a folder has keys, in order of their addresses.
func ListClientAuths(folder string) (out []ClientAuth, skipped []Skipped, err error) {
	auths, skipped, err := ClientAuths(folder)
	if err != nil {
		return nil, nil, err
	}
	for a, private := range auths {
		public, err := publicOf(private)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, ClientAuth{a.Host(), public})
	}
	slices.SortFunc(out, func(a, b ClientAuth) int { return strings.Compare(a.Host, b.Host) })
	return out, skipped, nil
}

// publicOf is the public key of a client's private one.
func publicOf(private [32]byte) (public [32]byte, err error) {
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err == nil {
		copy(public[:], key.PublicKey().Bytes())
	}
	return public, err
}

func addClientAuth(dir string, a onion.Address, private [32]byte) error {
	content := keyfile.FormatAuth(a, private)
	defer clear(content)
	if _, _, err := keyfile.ParseAuth(content); err != nil {
		return err
	}
	return write(authPath(dir, a), content, 0o600, true)
}

// RemoveClientAuth deletes every file with a key for a service. Errors: [ErrAddress], [fs.ErrNotExist].
func RemoveClientAuth(dir, service string) error {
	a, err := address(service)
	if err != nil {
		return err
	}
	if err := privateDir(dir, false, false); err != nil {
		return err
	}
	n, err := removeClientAuths(dir, a, "")
	if err == nil && n == 0 {
		return fmt.Errorf("no key for this onion service: %w", fs.ErrNotExist)
	}
	return err
}

// removeClientAuths deletes the files with a key for a service, but for one, and says how many.
func removeClientAuths(dir string, a onion.Address, stays string) (int, error) {
	var found []string
	_, err := each(dir, keyfile.PrivateAuthSuffix, func(name string, content []byte) error {
		defer clear(content)
		of, _, err := keyfile.ParseAuth(content)
		if file := name + keyfile.PrivateAuthSuffix; err == nil && of == a && file != stays {
			found = append(found, file)
		}
		return err
	})
	for _, file := range found {
		err = errors.Join(err, remove(filepath.Join(dir, file)))
	}
	return len(found), err
}

func authPath(dir string, a onion.Address) string {
	return filepath.Join(dir, strings.TrimSuffix(a.Host(), ".onion")+keyfile.PrivateAuthSuffix)
}
