package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chive/config"
)

// folder is one with a mode and an owner.
type folder struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (f folder) Mode() fs.FileMode { return f.mode }
func (f folder) Sys() any          { return &syscall.Stat_t{Uid: f.uid} }

// Who else can write where a node keeps its own, and what is to be done about it.
func TestJudgeFolders(t *testing.T) {
	const me = 1000
	for name, c := range map[string]struct {
		folder
		err   error
		doubt bool
		chmod bool // is advised
	}{
		"private":                      {folder{mode: 0o700, uid: me}, nil, false, false},
		"others may read":              {folder{mode: 0o755, uid: me}, nil, false, false},
		"group may write":              {folder{mode: 0o775, uid: me}, nil, true, true},
		"all may write":                {folder{mode: 0o777, uid: me}, ErrOpen, false, true},
		"others, but no group":         {folder{mode: 0o702, uid: me}, ErrOpen, false, true},
		"another user's":               {folder{mode: 0o700, uid: me + 1}, errForeign, false, false},
		"another user's, open":         {folder{mode: 0o777, uid: me + 1}, errForeign, false, false},
		"root's":                       {folder{mode: 0o755}, nil, false, false},
		"root's, open":                 {folder{mode: 0o777}, ErrOpen, false, false},
		"root's, for a group":          {folder{mode: 0o770}, nil, true, false},
		"as /tmp":                      {folder{mode: fs.ModeSticky | 0o777}, ErrOpen, false, false},
		"as /tmp, this user's":         {folder{mode: fs.ModeSticky | 0o777, uid: me}, ErrOpen, false, false},
		"sticky, group may write":      {folder{mode: fs.ModeSticky | 0o770, uid: me}, nil, true, false},
		"group id is kept, as of /srv": {folder{mode: fs.ModeSetgid | 0o755, uid: me}, nil, false, false},
	} {
		doubt, err := judge("/a/folder", c.folder, me)
		if !errors.Is(err, c.err) || (doubt != "") != c.doubt {
			t.Errorf("%s: %q, %v", name, doubt, err)
		}
		text := doubt
		if err != nil {
			text = err.Error()
			if !strings.Contains(text, "/a/folder") {
				t.Errorf("%s: the folder is not named: %s", name, text)
			}
		}
		if strings.Contains(text, "chmod") != c.chmod || text != "" && !strings.Contains(text, ownFolder) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// A node does not start in a DataDirectory that others may write to, and leaves it as it is.
// An open CacheDirectory is doubtful only.
func TestOpenDataDirectory(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	cfg := &config.Config{DataDirectory: open, CacheDirectory: filepath.Join(open, "cache")}
	n, err := Start(t.Context(), Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if n != nil || !errors.Is(err, ErrOpen) {
		t.Fatalf("%v, %v", n, err)
	}
	if _, err := LookAtPlaces(cfg); !errors.Is(err, ErrOpen) {
		t.Errorf("looked at: %v", err)
	}
	info, err := os.Stat(open)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", info, err)
	}
	if files, err := os.ReadDir(open); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	cfg.DataDirectory, cfg.CacheDirectory = filepath.Join(open, "data"), open
	if notes, err := LookAtPlaces(cfg); err != nil || len(notes) != 1 || !notes[0].Warning || notes[0].Path != open || !strings.HasPrefix(notes[0].Text, "CacheDirectory: ") {
		t.Errorf("%+v, %v", notes, err)
	}
}
