package testnet

import "syscall"

// childAttr is how a child starts: in a session of its own, so that a terminal's
// interrupt does not reach it, and unless it shall outlive us, with the kernel's
// promise to kill it when the thread that started it ends (see launcher).
func childAttr(outlives bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if !outlives {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
}

// supported says whether this system has what a private network needs: a whole
// loopback /8, /proc, abstract sockets.
func supported() error { return nil }
