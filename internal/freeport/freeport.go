// Package freeport deals out ports of loopback addresses to servers that start later.
//
// A port that the kernel chose is no good for that: once its listener is closed, any
// connection that goes out from the same address may have it next. Ports here are below
// those that the kernel chooses from, no process deals one out twice, and processes that
// run at once deal out different ones.
package freeport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
)

const (
	// A process holds the ports by the slice: it listens on the first one of each, for as
	// long as it lives, and deals out the others.
	slice = 32

	// begin leaves the ports below to servers that people know by their port.
	begin = 16384

	// lowest is the first port that the kernel chooses from where it doesn't tell.
	lowest = 32768

	// enough ports must be below the kernel's. Where its range begins so early that they
	// aren't, ports are dealt out of its range: most are free there, too.
	enough = 2048
)

var dealt struct {
	sync.Mutex
	held []net.Listener
	next int // the next port of the slice
	end  int // the first port after the slice; no more than next: another slice is wanted
	scan int // where to look for the next slice; 0: at the beginning
}

// Take is a TCP and UDP port of ip, a loopback address, on which nobody listens.
func Take(ip netip.Addr) (int, error) {
	dealt.Lock()
	defer dealt.Unlock()
	for {
		if dealt.next >= dealt.end && !another() {
			return 0, fmt.Errorf("find a free port on %s: those of %d to %d are all held", ip, begin, chosen())
		}
		p := dealt.next
		dealt.next++
		if free(ip, p) {
			return p, nil
		}
	}
}

// Address is such a port of 127.0.0.1, as "127.0.0.1:PORT".
func Address() (string, error) {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	p, err := Take(ip)
	if err != nil {
		return "", err
	}
	return at(ip, p), nil
}

// another takes the next slice that no other process holds.
func another() bool {
	last := chosen()
	for p := max(dealt.scan, begin); p+slice <= last; p += slice {
		l, err := net.Listen("tcp", at(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p))
		if err != nil {
			continue
		}
		dealt.held = append(dealt.held, l)
		dealt.next, dealt.end, dealt.scan = p+1, p+slice, p+slice
		return true
	}
	return false
}

// chosen is the first port that the kernel chooses from for who asks for none.
func chosen() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return lowest
	}
	return end(string(text))
}

// end is the first port that isn't dealt out, for what the kernel tells of its range.
func end(text string) int {
	var first, last int
	if _, err := fmt.Sscan(text, &first, &last); err != nil || first < begin+enough {
		return lowest
	}
	return first
}

func free(ip netip.Addr, port int) bool {
	l, err := net.Listen("tcp", at(ip, port))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", at(ip, port))
	if err != nil {
		return false
	}
	return u.Close() == nil
}

func at(ip netip.Addr, port int) string {
	return netip.AddrPortFrom(ip, uint16(port)).String()
}
