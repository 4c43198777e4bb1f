package ingress

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/httpconnect"
	"chive/tor/socks"
)

var (
	errTooManyFiles = [...]error{syscall.EMFILE, syscall.ENFILE}
	errAborted      = error(syscall.ECONNABORTED)
)

// dialogue reads one application's request and passes it on. Bytes behind the
// request belong to the stream.
func (l *listener) dialogue(root *actor.RootContext, self *actor.PID, c stream.Conn) {
	defer l.over(root, self)
	rules := l.o.Rules.Load()
	switch rules.Port.Protocol {
	case config.DNS:
		l.questions(root, c)
		return
	case config.Metrics:
		l.scrape(rules, c)
		return
	}
	a, early := l.negotiate(rules, c)
	if !l.untrack(c) || a == nil {
		_ = c.Close() // refused, gone, or the listener closed
		return
	}
	_ = c.SetDeadline(time.Time{}) // a socket that fails here fails at its first use
	l.serve(root, rules, a, c, early, clientAddr(c))
}

// serve answers a request, or sees to it that a stream does.
func (l *listener) serve(root *actor.RootContext, rules *Rules, a *asked, c stream.Conn, early []byte, client netip.AddrPort) {
	a.original = a.host
	own, meant := l.o.Names.meant(rules.Mapping, a)
	out := a.reach()
	id := a.id
	if id == "" {
		id = messages.RandomID()
	}
	spec := &stream.Spec{
		ID: id, Conn: c, Early: early,
		Target: a.target(), Resolve: a.resolve || a.reverse, Port: a.exitPort(),
		IPv6:       a.exitIPv6(),
		Flags:      a.beginFlags(),
		Onion:      a.onion,
		Purpose:    a.purpose(),
		Isolation:  isolated(&l.o.IsolationKey, rules.Port, rules.Group, id, client, a),
		KeepAlive:  rules.Port.KeepAliveIsolateSOCKSAuth && rules.Port.IsolateSOCKSAuth && a.authenticated,
		Identities: identities(l.o.IsolationKey, a),
		Front:      a.front,
		Requested:  l.o.Now(),
	}
	spec.Unwanted = a.unwanted(rules)
	spec.Cause = l.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{
		Purpose: spec.Purpose, Isolation: spec.Isolation.Name(), ListenerId: *l.id.Load(), Target: spec.Target,
	}), "", spec.ID))
	switch {
	case out != chivev1.Outcome_OUTCOME_OK && own == nil:
	case meant && (own != nil || !a.refuses(rules)):
		out = l.admit()
	default:
		out = chivev1.Outcome_OUTCOME_REFUSED
	}
	switch {
	case out != chivev1.Outcome_OUTCOME_OK:
		stream.Refuse(spec, out)
	case own != nil:
		a.trust()
		out = stream.Resolve(spec, own)
	case a.known():
		out = stream.Resolve(spec, []cell.Answer{{Addr: a.addr}})
	default:
		l.request(root, spec)
		return
	}
	l.o.Recorder.Emit(stream.EndedEvent(spec, out, l.o.Now(), 0, 0))
}

// talker is the machine of a protocol: bytes in, reply and at last a request out.
type talker func(in []byte) (n int, reply []byte, a *asked, err error)

// talker chooses the protocol by the first byte that came.
func (l *listener) talker(rules *Rules, first byte) (talker, error) {
	http := httpconnect.Speaks(first)
	switch {
	case http:
		m := httpconnect.New()
		return func(in []byte) (int, []byte, *asked, error) {
			n, reply, req, err := m.Feed(in)
			if req == nil {
				return n, reply, nil, err
			}
			return n, reply, askedHTTP(rules, req), nil
		}, nil
	case rules.Port.Protocol == config.HTTP:
		return nil, errNotHTTP
	default:
		m := socks.New(socks.Config{ExtendedErrors: rules.Port.ExtendedErrors, PreferNoAuth: rules.Port.PreferSOCKSNoAuth})
		return func(in []byte) (int, []byte, *asked, error) {
			n, reply, req, err := m.Feed(in)
			if req == nil {
				return n, reply, nil, err
			}
			return n, reply, askedSOCKS(rules, req), nil
		}, nil
	}
}

var errNotHTTP = errors.New("not HTTP on an HTTPTunnelPort")

// negotiate runs a protocol's machine to its end; nil means that it was refused
// (and answered) or that the application left.
func (l *listener) negotiate(rules *Rules, c stream.Conn) (*asked, []byte) {
	if err := c.SetDeadline(l.o.Now().Add(dialogueTime)); err != nil {
		return nil, nil
	}
	w, err := newWire(c)
	if err != nil {
		return nil, nil
	}
	var feed talker
	buf := make([]byte, 1024)
	for {
		n, err := w.Read(buf)
		if n == 0 && err != nil {
			return nil, nil
		}
		if n == 0 {
			continue
		}
		if feed == nil {
			if feed, err = l.talker(rules, buf[0]); err != nil {
				l.refused(err)
				return nil, nil
			}
		}
		used, reply, a, refusal := feed(buf[:n])
		if len(reply) > 0 {
			if _, err := w.Write(reply); err != nil {
				return nil, nil
			}
		}
		if refusal != nil {
			l.refused(refusal)
			return nil, nil
		}
		if a != nil {
			return a, append([]byte(nil), buf[used:n]...)
		}
	}
}

// refused tells the operator what is wrong with an application's set-up: the
// rule broken, never the content.
func (l *listener) refused(err error) {
	if errors.Is(err, httpconnect.ErrOptions) {
		return // it asked and was answered
	}
	if out := ofTarget(err); out != chivev1.Outcome_OUTCOME_OK {
		l.turnedAway(messages.RandomID(), out)
	}
	reason := err
	if inner := errors.Unwrap(err); inner != nil {
		reason = inner
	}
	l.o.Log.Info("request refused", "protocol", l.o.Rules.Load().Port.Protocol, "reason", reason)
}

// ofTarget is how a request ends whose protocol's machine refused it for what it is to; OK: it
// was refused for something else, and was none.
func ofTarget(err error) chivev1.Outcome {
	for out, causes := range map[chivev1.Outcome][]error{
		chivev1.Outcome_OUTCOME_ONION_ADDRESS: {socks.ErrOnionAddress, socks.ErrOnionV2, httpconnect.ErrOnion},
		chivev1.Outcome_OUTCOME_REFUSED:       {socks.ErrHost, socks.ErrExit, httpconnect.ErrTarget, httpconnect.ErrExit},
	} {
		if slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) }) {
			return out
		}
	}
	return chivev1.Outcome_OUTCOME_OK
}

// turnedAway tells of a request to what no stream could be to, as of any other that is
// refused. It has no isolation, and its target is told nowhere: it may be all but an address.
func (l *listener) turnedAway(id string, out chivev1.Outcome) {
	spec := &stream.Spec{ID: id, Requested: l.o.Now()}
	spec.Cause = l.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamRequested{
		Purpose: chivev1.Purpose_PURPOSE_GENERAL, ListenerId: *l.id.Load(),
	}), "", id))
	l.o.Recorder.Emit(stream.EndedEvent(spec, out, l.o.Now(), 0, 0))
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
