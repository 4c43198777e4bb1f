package ingress

import (
	"errors"
	"fmt"
	"syscall"

	"chive/config"
)

// refusedBind says what is to be done about a listener that cannot be bound.
func refusedBind(p config.SocksPort, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = fmt.Sprintf(": another program listens there, such as another chive or C tor; end it, or give %v another port", p.Protocol)
	case errors.Is(err, syscall.ENOENT):
		remedy = ": make that folder first, with mode 0700"
	case errors.Is(err, syscall.EACCES) && p.Network == "unix":
		remedy = ": this user may make no socket there; take a folder of its own"
	case errors.Is(err, syscall.EACCES):
		remedy = ": this user may not listen at that port; take one from 1024 on"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = ": this machine does not have that address; take one of its own, such as 127.0.0.1"
	}
	return fmt.Errorf("%v %v: %w%s", p.Protocol, p, err, remedy)
}
