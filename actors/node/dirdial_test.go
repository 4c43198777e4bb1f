package node

import (
	"errors"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	"chive/actors/directory"
	"chive/messages/chivev1"
)

// Where no more files can be open a stream fails, and leaves none open behind it: else the node
// would never have any again.
func TestSocketPairLeavesNothing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection closes files that others forgot
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 512
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	var all []*os.File
	fill := func() (n int) {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return n
			}
			all = append(all, f)
			n++
		}
	}
	defer func() {
		for _, f := range all {
			_ = f.Close()
		}
	}()
	for _, free := range []int{2, 3} { // one for each end, and one for its copy
		fill()
		for range free {
			if err := all[len(all)-1].Close(); err != nil {
				t.Fatal(err)
			}
			all = all[:len(all)-1]
		}
		a, b, err := socketPair()
		if (err == nil) != (free == 3) {
			t.Errorf("%d free: %v", free, err)
		}
		if free == 2 { // no directory is to be shunned for it
			var refused *directory.DialError
			if _, err := (&dirDialer{}).dial(t.Context(), chivev1.Purpose_PURPOSE_DIRECTORY, nil); !errors.As(err, &refused) || refused.Outcome != chivev1.Outcome_OUTCOME_MACHINE_FAILED {
				t.Errorf("a directory stream: %v", err)
			}
		}
		left := free
		if err == nil {
			left -= 2
			defer a.Close()
			defer b.Close()
		}
		if n := fill(); n != left {
			t.Errorf("of %d files %d can be opened afterwards, want %d", free, n, left)
		}
	}
}
