package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"chive/config"
	"chive/messages"
)

// ErrOpen: others may write to the DataDirectory, and so put guards, keys and a control
// socket of theirs there.
var ErrOpen = errors.New("others may write to the DataDirectory")

// errForeign: the DataDirectory is another user's, who may do the same.
var errForeign = errors.New("the DataDirectory is another user's")

// ownFolder is what to do about a folder that is not to be closed.
const ownFolder = "name a folder of its own, which the node makes with mode 0700"

// judge says who but user me can write to a folder that is there: doubt tells of its group,
// and err of anybody else.
func judge(dir string, info fs.FileInfo, me int) (doubt string, err error) {
	owner := me
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(st.Uid)
	}
	if owner != me && owner != 0 {
		return "", fmt.Errorf("%w: %s belongs to user %d, and chive runs as %d; %s", errForeign, dir, owner, me, ownFolder)
	}
	remedy := ownFolder
	if owner == me && info.Mode()&fs.ModeSticky == 0 { // a sticky one is there to be shared
		remedy += "; if this one is for nothing else, chmod go-w " + dir + " closes it"
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		return "", fmt.Errorf("%w: %s has mode %04o; %s", ErrOpen, dir, mode, remedy)
	case mode&0o020 != 0:
		return fmt.Sprintf("its group may write to it (mode %04o), and so change what the node trusts; %s", mode, remedy), nil
	}
	return "", nil
}

// lookAtPlaces judges the DataDirectory and the CacheDirectory, as far as they are there. What
// is cached is checked when it is read, so that an open CacheDirectory is no error.
func lookAtPlaces(c *config.Config, me int) (notes []messages.ConfigNote, err error) {
	look := func(dir string) (string, error) {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			return "", nil // who makes or opens it says so
		}
		return judge(dir, info, me)
	}
	doubt, err := look(c.DataDirectory)
	if doubt != "" {
		notes = append(notes, messages.ConfigNote{Path: c.DataDirectory, Text: "DataDirectory: " + doubt, Warning: true})
	}
	if c.CacheDirectory == c.DataDirectory {
		return notes, err
	}
	if doubt, open := look(c.CacheDirectory); doubt != "" || open != nil {
		notes = append(notes, messages.ConfigNote{Path: c.CacheDirectory, Text: "CacheDirectory: others may write to it, and so have documents fetched anew; " + ownFolder, Warning: true})
	}
	return notes, err
}

// LookAtPlaces tells, without a node, what is not right with the folders in which one would
// keep its own. The error wraps [ErrOpen]; a folder of another user is a note, as the node may
// run as that one.
func LookAtPlaces(c *config.Config) ([]messages.ConfigNote, error) {
	notes, err := lookAtPlaces(c, os.Geteuid())
	if errors.Is(err, errForeign) {
		return append(notes, messages.ConfigNote{Path: c.DataDirectory, Text: "a node will not start with it as it is: " + err.Error(), Warning: true}), nil
	}
	return notes, err
}
