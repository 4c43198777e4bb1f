package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// A launcher starts children from one OS thread. The kernel ties a parent-death
// signal to the thread that forked, not to the process, so that thread has to
// live until the last child is gone: it belongs to one locked goroutine.
type launcher struct {
	work chan func()
	done chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{work: make(chan func()), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *launcher) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.done)
	for f := range l.work {
		f()
	}
}

func (l *launcher) start(cmd *exec.Cmd) error {
	errc := make(chan error, 1)
	l.work <- func() { errc <- cmd.Start() }
	return <-errc
}

// close ends the thread. Children that are still alive die with it.
func (l *launcher) close() {
	close(l.work)
	<-l.done
}

// A process is a child of ours; exited closes when it has been reaped.
type process struct {
	pid    int
	exited chan struct{}
}

// launch is the network's launcher; one that only looks at a network needs none.
func (n *Network) launch() *launcher {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.launcher == nil {
		n.launcher = newLauncher()
	}
	return n.launcher
}

// spawn starts argv with its output appended to logFile.
func (n *Network) spawn(argv []string, logFile string, inherit []*os.File, outlives bool) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", out, out, inherit
	cmd.SysProcAttr = childAttr(outlives)
	if err := n.launch().start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	p := &process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	n.children.Go(func() {
		_ = cmd.Wait() // how it ended is of no interest: we or a test ended it
		close(p.exited)
	})
	return p, nil
}

// ErrNoTor says that C tor is not installed.
var ErrNoTor = errors.New(`no "tor" program found: install Debian's package "tor" (run "make deps", or: sudo apt-get install tor)`)

// torPrograms is where tor may be: Debian has it outside an ordinary user's PATH.
var torPrograms = []string{"tor", "/usr/sbin/tor", "/usr/bin/tor"}

func findTor(candidates []string) (string, error) {
	for _, name := range candidates {
		if p, err := exec.LookPath(name); err == nil {
			return filepath.Abs(p)
		}
	}
	return "", ErrNoTor
}
