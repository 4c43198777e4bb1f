package rawio_test

import (
	"syscall"
	"testing"

	"chive/internal/rawio"
)

func TestAckNow(t *testing.T) {
	raw, _ := pair(t)
	quick := func() (on int, err error) {
		if e := raw.Control(func(fd uintptr) {
			on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
		}); e != nil {
			t.Fatal(e)
		}
		return on, err
	}
	if err := raw.Control(func(fd uintptr) {
		if err := syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if on, err := quick(); err != nil || on != 0 {
		t.Fatalf("before: %d, %v", on, err)
	}
	if err := raw.Control(rawio.AckNow); err != nil {
		t.Fatal(err)
	}
	if on, err := quick(); err != nil || on != 1 {
		t.Errorf("acknowledged at once: %d, %v", on, err)
	}
}
