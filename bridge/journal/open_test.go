package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chive/messages"
)

// A folder that nobody may write to is told at once, with why: a node that starts waits for
// the answer, and who appends.
func TestAFolderThatCannotBeWrittenTo(t *testing.T) {
	dir := t.TempDir()
	files := filepath.Join(dir, storeFolder)
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", files, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("needs to mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(files, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	opened := make(chan error, 1)
	go func() {
		j, _, err := Open(Options{Dir: dir, Timeout: time.Hour})
		if err == nil {
			err = errors.Join(errors.New("it opened"), j.Close())
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, messages.ErrJournalUnavailable) || !strings.Contains(err.Error(), "not writable") {
			t.Errorf("told %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it is still waited for")
	}
}
