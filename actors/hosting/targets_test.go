package hosting

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"chive/actors/stream"
	"chive/config"
)

// A target refuses from the first stream that it refused after the last that it took; a
// client who leaves while it is being reached says nothing of it, nor does a want of files.
func TestTargetsAreWatched(t *testing.T) {
	web := config.OnionPort{Port: 80, Target: netip.MustParseAddrPort("127.0.0.1:8080")}
	unix := config.OnionPort{Port: 22, Path: "/run/ssh.sock"}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var all targets
	dial := func(ctx context.Context, err error) {
		now = now.Add(time.Second)
		got, gotErr := all.watched(web, func() time.Time { return now }, func(context.Context) (stream.Conn, error) { return nil, err })(ctx)
		if got != nil || !errors.Is(gotErr, err) {
			t.Errorf("%v, %v", got, gotErr)
		}
	}
	at := func(seconds int) time.Time {
		return time.Date(2026, 11, 30, 12, 0, seconds, 0, time.UTC)
	}
	check := func(want Target) {
		t.Helper()
		want.Port, want.Target = 80, "127.0.0.1:8080"
		got := all.read([]config.OnionPort{web, unix})
		if len(got) != 2 || got[0] != want || got[1] != (Target{Port: 22, Target: "unix:/run/ssh.sock", State: untried}) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	check(Target{State: untried})
	dial(t.Context(), syscall.ECONNREFUSED)
	dial(t.Context(), syscall.ECONNREFUSED)
	check(Target{State: refuses, Last: at(2), Since: at(1), Failed: 2, Reason: "connect-refused"})
	gone, leave := context.WithCancel(t.Context())
	leave()
	dial(gone, context.Canceled)
	check(Target{State: refuses, Last: at(2), Since: at(1), Failed: 2, Reason: "connect-refused"})
	dial(t.Context(), nil)
	check(Target{State: answers, Last: at(4)})
	for _, none := range []error{stream.ErrFull, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}} {
		dial(t.Context(), none)
		check(Target{State: answers, Last: at(4)})
	}
	dial(t.Context(), syscall.EHOSTUNREACH)
	check(Target{State: refuses, Last: at(7), Since: at(7), Failed: 1, Reason: "connect-unreachable"})
	if got := all.read([]config.OnionPort{unix}); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	check(Target{State: untried})
}
