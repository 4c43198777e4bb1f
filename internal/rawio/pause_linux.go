package rawio

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Pauser sleeps for short times, one goroutine at a time. A timer of the Go runtime wakes its
// watching thread, too, which then looks on, in steps of 20 microseconds, while the work is
// done that was waited for: at a thousand short bursts a second that is a tenth of a client's
// CPU time. The kernel's timer is a file like a socket, and wakes nobody else.
//
// The zero value can be used; Close lets go of the file.
type Pauser struct {
	file *os.File
	raw  syscall.RawConn
	arm  func(fd uintptr)             // made once, as tick is
	spec [2]syscall.Timespec          // of arm: once, and when
	ok   bool                         // of arm
	tick func(fd uintptr) (done bool) // waits for the end
	n    [8]byte                      // of tick: how often the timer ended
	bad  bool                         // there is no such file to be had
}

// Sleep returns after d or soon after.
func (p *Pauser) Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	if !p.open() || !p.set(d) || p.raw.Read(p.tick) != nil {
		time.Sleep(d)
	}
}

// Close ends it; nobody may sleep.
func (p *Pauser) Close() {
	if p.file != nil {
		_ = p.file.Close() // nothing is written to it
	}
	*p = Pauser{bad: true}
}

func (p *Pauser) open() bool {
	if p.file != nil || p.bad {
		return !p.bad
	}
	p.bad = true
	const monotonic = 1
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return false
	}
	p.file = os.NewFile(fd, "timer")
	raw, err := p.file.SyscallConn()
	if err != nil || p.file.SetReadDeadline(time.Time{}) != nil { // it cannot be waited for as a socket can
		_ = p.file.Close()
		p.file = nil
		return false
	}
	p.raw, p.bad = raw, false
	p.tick = func(fd uintptr) bool {
		_, err := Read(fd, p.n[:])
		return err != syscall.EAGAIN
	}
	p.arm = func(fd uintptr) {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&p.spec)), 0, 0, 0)
		p.ok = errno == 0
	}
	return true
}

func (p *Pauser) set(d time.Duration) bool {
	p.spec[1] = syscall.NsecToTimespec(int64(d))
	return p.raw.Control(p.arm) == nil && p.ok
}
