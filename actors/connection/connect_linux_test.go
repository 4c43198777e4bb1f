package connection

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"chive/actors/outcome"
	"chive/messages/chivev1"
)

// deaf is an address of which the kernel drops every SYN: nobody accepts, and the queue of those
// to be accepted is full.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", at.String(), 10*time.Second)
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TCP has a limit of its own: when it is over there is time left of the whole, and the relay, or
// the proxy, is dialled anew.
func TestConnectIsGivenUpFirst(t *testing.T) {
	t.Parallel()
	_, err := Dialer{}.dial(t.Context(), Target{IPv4: deaf(t)}, time.Now)
	if err == nil || !strings.HasPrefix(err.Error(), "connect: ") || outcome.FromDial(err) != chivev1.Outcome_OUTCOME_TIMEOUT {
		t.Errorf("%v", err)
	}
	if errors.Is(err, syscall.ETIMEDOUT) || connectTimeout >= dialTimeout {
		t.Errorf("given up by the kernel, or when the whole limit is over: %v", err)
	}
}
