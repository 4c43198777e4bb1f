package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"chive/internal/freeport"
)

// Loopback's second octets are dealt out in blocks, so that networks of several
// processes never share an address. Block 0 (127.0 to 127.15) stays free: there
// live clients and everybody else.
const (
	blockOctets = 16
	firstBlock  = 1
	lastBlock   = 14
)

// A claim is one or more adjacent blocks that this process holds. The lock is an
// abstract unix socket a block: the kernel frees it with the last process that
// has it open, nothing is left on disk, and users need no common directory.
type claim struct {
	block   int
	anchors []*net.UnixListener
	std     bool // the standard ports are free on every address
}

// addr is the i-th address, each in a /16 of its own.
func (c *claim) addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(c.block*blockOctets + i), 0, 1})
}

func (c *claim) Close() error {
	var errs []error
	for _, a := range c.anchors {
		errs = append(errs, a.Close())
	}
	c.anchors = nil
	return errors.Join(errs...)
}

// files duplicates the anchors, for a process that shall hold the claim on.
func (c *claim) files() ([]*os.File, error) {
	var out []*os.File
	for _, a := range c.anchors {
		f, err := a.File()
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("duplicate the claim of addresses: %w", err)
		}
		out = append(out, f)
	}
	return out, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// claimAddresses claims n addresses. It prefers a block where the given ports
// are free on all of them; when none is (something listens on 0.0.0.0), it takes
// a block all the same, and the caller is dealt free ports.
func claimAddresses(n int, ports ...int) (*claim, error) {
	for _, std := range []bool{true, false} {
		for b := firstBlock; b <= lastBlock; b++ {
			c := claimBlocks(b, (n+blockOctets-1)/blockOctets)
			if c == nil {
				continue
			}
			if !std || c.free(n, ports) {
				c.std = std
				return c, nil
			}
			c.Close()
		}
	}
	return nil, fmt.Errorf("no %d loopback addresses free: other private networks hold them", n)
}

func claimBlocks(first, count int) *claim {
	c := &claim{block: first}
	for b := first; b < first+count; b++ {
		name := "@chive-testnet-block-" + strconv.Itoa(b)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		if b > lastBlock || err != nil {
			if err == nil {
				l.Close()
			}
			c.Close()
			return nil
		}
		c.anchors = append(c.anchors, l)
	}
	return c
}

func (c *claim) free(n int, ports []int) bool {
	for i := range n {
		for _, p := range ports {
			l, err := net.ListenTCP("tcp4", tcpAddr(c.addr(i), p))
			if err != nil {
				return false
			}
			l.Close()
		}
	}
	return true
}

// port is the standard port, or a free one when the standard ones are taken.
func (c *claim) port(ip netip.Addr, std int) (int, error) {
	if c.std {
		return std, nil
	}
	return freeport.Take(ip)
}

func tcpAddr(ip netip.Addr, port int) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port)))
}
