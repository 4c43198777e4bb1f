//go:build !linux

package testnet

import (
	"errors"
	"syscall"
)

func childAttr(bool) *syscall.SysProcAttr { return nil }

func supported() error {
	return errors.New("a private network needs Linux: all of 127.0.0.0/8, /proc and abstract unix sockets")
}
