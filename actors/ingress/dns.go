package ingress

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/stream"
	"chive/config"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/dnsquery"
)

const (
	maxPackets = 1024             // questions over UDP that wait for their answer; more are dropped, as UDP does
	dnsIdle    = 10 * time.Second // how long a TCP client may take for its next question
	maxOnTCP   = 1000             // questions on one TCP connection
)

// dnsSockets are both sockets of a DNSPort: it accepts TCP; UDP is read beside.
type dnsSockets struct {
	net.Listener
	packets *net.UDPConn
}

// Close closes both.
func (s *dnsSockets) Close() error { return errors.Join(s.Listener.Close(), s.packets.Close()) }

// packets is the UDP socket of a DNSPort in use.
type packets struct {
	udp    *net.UDPConn
	closed atomic.Bool // by us: that reading fails is no failure
}

func (p *packets) close() {
	p.closed.Store(true)
	_ = p.udp.Close() // what was read is answered no more
}

// listenDNS binds UDP and TCP to one port.
func listenDNS(p config.SocksPort) (net.Listener, error) {
	for try := 0; ; try++ {
		tcp, err := net.Listen("tcp", p.Address.String())
		if err != nil {
			return nil, refusedBind(p, err)
		}
		addr, _ := tcp.Addr().(*net.TCPAddr) // it is: the network is tcp
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port})
		if err == nil {
			return &dnsSockets{tcp, udp}, nil
		}
		err = errors.Join(err, tcp.Close())
		if !p.Auto || try == 8 { // else the port that the system chose is taken in UDP: another
			return nil, refusedBind(p, err)
		}
	}
}

// ListenPackets binds the UDP socket of a DNSPort whose TCP socket is there already.
func ListenPackets(p config.SocksPort) (*net.UDPConn, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(p.Address))
	if err != nil {
		return nil, refusedBind(p, err)
	}
	return udp, nil
}

// answer answers questions over UDP until the socket is closed.
func (l *listener) answer(root *actor.RootContext, udp *net.UDPConn) error {
	buf := make([]byte, dnsquery.MaxMessage+1) // one more tells what is too long
	slots := make(chan struct{}, maxPackets)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if l.o.Rules.Load().Port.Protocol != config.DNS {
			continue // it is being closed
		}
		q, reply, refusal := dnsquery.Parse(buf[:n])
		if refusal != nil {
			l.refused(refusal)
		}
		if reply != nil {
			_, _ = udp.WriteToUDPAddrPort(reply, from) // who does not hear it asks again
		}
		if q == nil {
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		l.question(root, q, from, &answerConn{
			local: udp.LocalAddr(), remote: net.UDPAddrFromAddrPort(from),
			write: func(p []byte) error { _, err := udp.WriteToUDPAddrPort(p, from); return err },
			close: func() { <-slots },
		})
	}
}

// questions answers questions over a TCP connection, one after the other.
func (l *listener) questions(root *actor.RootContext, c net.Conn) {
	defer func() {
		l.untrack(c)
		_ = c.Close()
	}()
	var size [2]byte
	for range maxOnTCP {
		if err := c.SetDeadline(l.o.Now().Add(dnsIdle)); err != nil {
			return
		}
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		msg := make([]byte, min(binary.BigEndian.Uint16(size[:]), dnsquery.MaxMessage+1))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		write := func(p []byte) error {
			_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...))
			return err
		}
		q, reply, refusal := dnsquery.Parse(msg)
		switch {
		case l.ended.Load() || l.o.Rules.Load().Port.Protocol != config.DNS:
			return // closed, or another protocol is spoken here by now
		case reply != nil:
			if refusal != nil {
				l.refused(refusal)
			}
			if write(reply) != nil {
				return
			}
			continue
		case q == nil:
			return
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			return
		}
		answered := make(chan struct{})
		l.question(root, q, clientAddr(c), &answerConn{
			local: c.LocalAddr(), remote: c.RemoteAddr(), write: write, close: func() { close(answered) }, deadline: c.SetWriteDeadline,
		})
		<-answered
	}
}

func (l *listener) question(root *actor.RootContext, q *dnsquery.Question, client netip.AddrPort, c *answerConn) {
	rules := l.o.Rules.Load()
	a := &asked{
		protocol: "dns", host: q.Host, addr: q.Reverse, reverse: q.Reverse.IsValid(), resolve: !q.Reverse.IsValid(),
		family: family{v4: !q.IPv6, v6: q.IPv6},
	}
	if a.reverse {
		a.host = a.addr.String()
	}
	a.filter = &answers{family: a.family, rejectInternal: rules.RejectAnswers}
	a.front = &frontDNS{answers: a.filter, q: q}
	l.serve(root, rules, a, c, nil, client)
}

// frontDNS answers a DNS question.
type frontDNS struct {
	*answers
	q *dnsquery.Question
}

// Connected is not called: DNS only resolves.
func (*frontDNS) Connected(netip.Addr) []byte { return nil }

// Resolved answers with all that may be told. An exit that knows of addresses, but
// none that may be, tells that the name exists.
func (f *frontDNS) Resolved(all []cell.Answer) ([]byte, chivev1.Outcome) {
	var told []cell.Answer
	for _, a := range all {
		one := []cell.Answer{a}
		if addr, ok := f.address(one); ok {
			told = append(told, cell.Answer{Addr: addr, TTL: a.TTL})
		} else if name, ok := f.name(one); ok {
			told = append(told, cell.Answer{Name: name, TTL: a.TTL})
		}
		if a.Failed && len(told) == 0 {
			code := dnsquery.NoSuchName
			if a.Retry {
				code = dnsquery.ServerFailure
			}
			return f.q.Fail(code), chivev1.Outcome_OUTCOME_RESOLVE_FAILED
		}
	}
	return f.q.Answer(told), chivev1.Outcome_OUTCOME_OK
}

func (f *frontDNS) Refused(o chivev1.Outcome) []byte {
	switch o {
	case chivev1.Outcome_OUTCOME_RESOLVE_FAILED:
		return f.q.Fail(dnsquery.NoSuchName)
	case chivev1.Outcome_OUTCOME_REFUSED:
		return f.q.Fail(dnsquery.Refused)
	default:
		return f.q.Fail(dnsquery.ServerFailure)
	}
}

// answerConn is the stream.Conn of one question: what is written is its answer.
type answerConn struct {
	local, remote net.Addr
	write         func([]byte) error
	close         func() // once
	deadline      func(time.Time) error
	once          sync.Once
}

var _ stream.Conn = (*answerConn)(nil)

func (c *answerConn) Read([]byte) (int, error) { return 0, io.EOF }

func (c *answerConn) Write(p []byte) (int, error) {
	if err := c.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *answerConn) Close() error {
	c.once.Do(c.close)
	return nil
}

func (c *answerConn) CloseWrite() error                     { return nil }
func (c *answerConn) LocalAddr() net.Addr                   { return c.local }
func (c *answerConn) RemoteAddr() net.Addr                  { return c.remote }
func (c *answerConn) SetDeadline(time.Time) error           { return nil }
func (c *answerConn) SetReadDeadline(time.Time) error       { return nil }
func (c *answerConn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (c *answerConn) SetWriteDeadline(t time.Time) error {
	if c.deadline == nil {
		return nil
	}
	return c.deadline(t)
}
