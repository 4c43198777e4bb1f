package ingress

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/socks"
)

var (
	errTooManyFiles = [...]error{syscall.EMFILE, syscall.ENFILE}
	errAborted      = error(syscall.ECONNABORTED)
)

// BEGIN flags for host names and preferences (tor-spec §6.2).
const (
	flagIPv6OK        = 1
	flagIPv4NotOK     = 2
	flagIPv6Preferred = 4
)

// dialogue reads one application's request and passes it on. Bytes behind the
// request belong to the stream.
func (l *listener) dialogue(root *actor.RootContext, c stream.Conn) {
	req, early := l.negotiate(c)
	if !l.untrack(c) || req == nil {
		_ = c.Close() // refused, gone, or the listener closed
		return
	}
	rules := l.o.Rules.Load()
	spec := l.spec(rules, c, req, early)
	spec.Cause = l.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{
		Purpose: spec.Purpose, Isolation: spec.Isolation, ListenerId: l.id, Target: spec.Target,
	}), "", spec.ID))
	out := refuses(rules, req)
	if out == chivev1.Outcome_OUTCOME_OK {
		out = l.admit()
	}
	if out != chivev1.Outcome_OUTCOME_OK {
		stream.Refuse(spec, out)
		l.o.Recorder.Emit(stream.EndedEvent(spec, out, l.o.Now(), 0, 0))
		return
	}
	l.request(root, spec)
}

// negotiate runs the SOCKS machine to its end; nil means that it was refused
// (and answered) or that the application left.
func (l *listener) negotiate(c net.Conn) (*socks.Request, []byte) {
	if err := c.SetDeadline(l.o.Now().Add(dialogueTime)); err != nil {
		return nil, nil
	}
	machine := socks.New(socks.Config{ExtendedErrors: l.o.Rules.Load().Port.ExtendedErrors})
	buf := make([]byte, 1024)
	for {
		n, err := c.Read(buf)
		if n == 0 && err != nil {
			return nil, nil
		}
		used, reply, req, refusal := machine.Feed(buf[:n])
		if len(reply) > 0 {
			if _, err := c.Write(reply); err != nil {
				return nil, nil
			}
		}
		if refusal != nil {
			l.refused(refusal)
			return nil, nil
		}
		if req != nil {
			return req, append([]byte(nil), buf[used:n]...)
		}
	}
}

// refused tells the operator what is wrong with an application's set-up: the
// rule broken, never the content.
func (l *listener) refused(err error) {
	var r *socks.RefusalError
	if errors.As(err, &r) {
		l.o.Log.Info("SOCKS request refused", "reason", r.Err.Error())
	}
}

func (l *listener) spec(rules *Rules, c stream.Conn, req *socks.Request, early []byte) *stream.Spec {
	_ = c.SetDeadline(time.Time{}) // a socket that fails here fails at its first use
	addr, err := netip.ParseAddr(req.Host)
	isIP := err == nil
	target := net.JoinHostPort(req.Host, strconv.Itoa(int(req.Port)))
	if req.Resolve {
		target = req.Host
	}
	id := messages.RandomID()
	return &stream.Spec{
		ID: id, Conn: c, Early: early,
		Target: target, Resolve: req.Resolve, Port: portOf(req),
		IPv6:      isIP && addr.Is6(),
		Flags:     beginFlags(rules.Port, isIP),
		Purpose:   chivev1.Purpose_PURPOSE_GENERAL,
		Isolation: isolation(l.o.IsolationKey, rules.Port, l.o.Group, id, clientAddr(c), req),
		Front:     &front{extended: rules.Port.ExtendedErrors, onion: socks.IsOnion(req.Host), rejectInternal: rules.RejectInternal},
		Requested: l.o.Now(),
	}
}

// portOf: names are asked of exits that carry the web's port, which most do.
func portOf(req *socks.Request) uint16 {
	if req.Resolve {
		return 443
	}
	return req.Port
}

func beginFlags(p config.SocksPort, isIP bool) uint32 {
	var flags uint32
	if isIP {
		return 0
	}
	if p.IPv6Traffic {
		flags |= flagIPv6OK
	}
	if !p.IPv4Traffic {
		flags |= flagIPv4NotOK
	}
	if p.PreferIPv6 && p.IPv6Traffic {
		flags |= flagIPv6Preferred
	}
	return flags
}

// refuses decides what never reaches a circuit.
func refuses(rules *Rules, req *socks.Request) chivev1.Outcome {
	if socks.IsOnion(req.Host) {
		return chivev1.Outcome_OUTCOME_REFUSED // onion services are not supported yet
	}
	addr, err := netip.ParseAddr(req.Host)
	switch {
	case err != nil:
		if rules.RejectInternal && localName(req.Host) {
			return chivev1.Outcome_OUTCOME_REFUSED
		}
		return chivev1.Outcome_OUTCOME_OK
	case addr.Is4() && !rules.Port.IPv4Traffic, addr.Is6() && !rules.Port.IPv6Traffic:
		return chivev1.Outcome_OUTCOME_REFUSED
	case rules.RejectInternal && internal(addr):
		return chivev1.Outcome_OUTCOME_REFUSED
	default:
		return chivev1.Outcome_OUTCOME_OK
	}
}

// admit refuses a request when the node is at a limit of its own.
func (l *listener) admit() chivev1.Outcome {
	if block.Pressed() {
		return chivev1.Outcome_OUTCOME_OVERLOADED
	}
	if ok, _ := l.o.Limits.Requests().Allow(); !ok {
		return chivev1.Outcome_OUTCOME_OVERLOADED
	}
	return chivev1.Outcome_OUTCOME_OK
}

// localName: a name that means something only on the machine or network that
// resolves it.
func localName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local")
}

// internal: an address that means something only where the exit is.
func internal(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalMulticast()
}

// front answers in SOCKS5.
type front struct{ extended, onion, rejectInternal bool }

// Connected makes the reply that the stream is there. The exit's address is
// not passed on: applications that ask by name do not expect one.
func (f *front) Connected(netip.Addr) []byte {
	return socks.AppendReply(nil, socks.ReplySucceeded, netip.AddrPort{})
}

// Resolved makes the reply with an address; one that means something only where
// the exit is, is not passed on.
func (f *front) Resolved(addr netip.Addr) []byte {
	if f.rejectInternal && internal(addr) {
		return socks.AppendReply(nil, socks.ReplyHostUnreachable, netip.AddrPort{})
	}
	return socks.AppendReply(nil, socks.ReplySucceeded, netip.AddrPortFrom(addr, 0))
}

// Refused makes the reply that it is not, and why.
func (f *front) Refused(o chivev1.Outcome) []byte {
	code := outcome.Reply(o)
	if f.onion {
		code = socks.ReplyOnionUnavailable
	}
	if !f.extended {
		code = code.Basic()
	}
	return socks.AppendReply(nil, code, netip.AddrPort{})
}
