package target

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// Standard ports; another program that listens on all addresses may hold one,
// and then the kernel chooses.
const (
	StandardHTTP    = 8080
	StandardEcho    = 8081
	StandardDiscard = 8082
	StandardChargen = 8083
	StandardDNS     = 8053
)

// Sockets are the target's open sockets.
type Sockets struct {
	HTTP, Echo, Discard, Chargen *net.TCPListener
	DNS                          *net.UDPConn
}

// Listen opens all sockets on ip.
func Listen(ip netip.Addr) (*Sockets, error) {
	s := &Sockets{}
	var err error
	for _, t := range s.tcp() {
		if *t.l, err = listenTCP(ip, t.port); err != nil {
			s.Close()
			return nil, fmt.Errorf("listen for %s: %w", t.name, err)
		}
	}
	s.DNS, err = net.ListenUDP("udp4", udpAddr(ip, StandardDNS))
	if err != nil {
		s.DNS, err = net.ListenUDP("udp4", udpAddr(ip, 0))
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	return s, nil
}

type tcpSocket struct {
	name string
	port uint16
	l    **net.TCPListener
}

func (s *Sockets) tcp() []tcpSocket {
	return []tcpSocket{
		{"HTTP", StandardHTTP, &s.HTTP},
		{"echo", StandardEcho, &s.Echo},
		{"discard", StandardDiscard, &s.Discard},
		{"chargen", StandardChargen, &s.Chargen},
	}
}

func listenTCP(ip netip.Addr, port uint16) (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port)))
	if err != nil {
		return net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	}
	return l, nil
}

func udpAddr(ip netip.Addr, port uint16) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port))
}

// Close closes the sockets that are open.
func (s *Sockets) Close() error {
	var errs []error
	for _, t := range s.tcp() {
		if *t.l != nil {
			errs = append(errs, (*t.l).Close())
		}
	}
	if s.DNS != nil {
		errs = append(errs, s.DNS.Close())
	}
	return errors.Join(errs...)
}

// Files duplicates the sockets in the order that FromFiles wants. The caller
// closes the files.
func (s *Sockets) Files() ([]*os.File, error) {
	var out []*os.File
	add := func(f *os.File, err error) error {
		if err == nil {
			out = append(out, f)
		}
		return err
	}
	var errs []error
	for _, t := range s.tcp() {
		errs = append(errs, add((*t.l).File()))
	}
	errs = append(errs, add(s.DNS.File()))
	if err := errors.Join(errs...); err != nil {
		for _, f := range out {
			f.Close()
		}
		return nil, fmt.Errorf("duplicate the target's sockets: %w", err)
	}
	return out, nil
}

// FileCount is how many files Files gives.
const FileCount = 5

// FromFiles is the inverse of Files, in the process that inherited them. It
// closes the files.
func FromFiles(files []*os.File) (*Sockets, error) {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if len(files) != FileCount {
		return nil, fmt.Errorf("%d inherited sockets, want %d", len(files), FileCount)
	}
	s := &Sockets{}
	for i, t := range s.tcp() {
		l, err := net.FileListener(files[i])
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("inherited socket for %s: %w", t.name, err)
		}
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			l.Close()
			s.Close()
			return nil, fmt.Errorf("inherited socket for %s is not TCP", t.name)
		}
		*t.l = tcp
	}
	p, err := net.FilePacketConn(files[FileCount-1])
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("inherited socket for DNS: %w", err)
	}
	udp, ok := p.(*net.UDPConn)
	if !ok {
		p.Close()
		s.Close()
		return nil, errors.New("inherited socket for DNS is not UDP")
	}
	s.DNS = udp
	return s, nil
}
