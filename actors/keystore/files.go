package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"chive/tor/onion/keyfile"
)

// unfinished is how names begin while a file is being written.
const unfinished = ".new-"

// ErrOpen: a directory of keys that others can enter or that is not this user's.
var ErrOpen = errors.New("directory of keys is not private")

// privateDir makes a directory if it is missing (its parent must exist) and checks
// that only this user can enter it; members of its group may read if groupReadable.
func privateDir(dir string, create, groupReadable bool) error {
	allowed, remedy := fs.FileMode(0o700), "chmod 700"
	if groupReadable {
		allowed, remedy = 0o750, "chmod 750"
	}
	if create {
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			err = os.Chmod(dir, allowed)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("directory of keys: %w", err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("directory of keys: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("directory of keys: %s is not a directory", dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d, chive runs as %d", ErrOpen, dir, st.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&^allowed == 0 {
		return nil
	}
	if info.Mode()&fs.ModeSticky != 0 || holdsOther(dir) {
		return fmt.Errorf("%w: %s has mode %04o and is used for other things; name a folder for these keys alone", ErrOpen, dir, info.Mode().Perm())
	}
	return fmt.Errorf("%w: %s has mode %04o; %s %s closes it", ErrOpen, dir, info.Mode().Perm(), remedy, dir)
}

// holdsOther: are there things in the directory and no keys among them? Then it is not one
// of keys that was left open, and to close it would keep others from what is theirs.
func holdsOther(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0 && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		switch name := e.Name(); name {
		case keyfile.SecretKeyFile, keyfile.PublicKeyFile, DelegationFile:
			return true
		default:
			return strings.HasSuffix(name, keyfile.ClientSuffix) || strings.HasSuffix(name, keyfile.PrivateAuthSuffix)
		}
	})
}

// read reads one small regular file. A pipe or a device is not waited for.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > keyfile.MaxSize {
		return nil, fmt.Errorf("%s: %w: not a regular file of at most %d bytes", path, keyfile.ErrMalformed, keyfile.MaxSize)
	}
	b := make([]byte, keyfile.MaxSize)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// write puts content where path says, whole or not at all. With replace it takes
// the place of what is there; without, what is there stays and the error is
// fs.ErrExist.
func write(path string, content []byte, mode fs.FileMode, replace bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	tmp := f.Name()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		if replace {
			err = os.Rename(tmp, path)
		} else {
			err = os.Link(tmp, path) // unlike a rename, it fails when there is something
		}
	}
	if !replace || err != nil {
		err = errors.Join(err, os.Remove(tmp))
	}
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return nil
}

// remove deletes a file for good.
func remove(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a key: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// readState reads a file of our own, of at most so many bytes.
func readState(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s: larger than %d bytes", path, most)
	}
	return b, err
}
