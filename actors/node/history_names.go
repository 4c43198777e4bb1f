package node

import (
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/base32"

	"chive/messages/chivev1"
	"chive/messages/fold"
)

// names gives relays opaque names for what is shown and kept: random, for one
// boot, so that a guard, its connections and its breaker can be told to belong
// together and nothing else. It says with them what only the forensic fields
// tell: which relay a connection, a breaker or a guard's failure is about.
//
// It is used from inside the recorder's lock, one event at a time.
type names struct {
	key         [32]byte
	connections map[string]*named // by actor id
	ended       []string          // connections that are over, the oldest first
	failed      map[string]string // relay → id of the event that a connection to it failed
}

// named is a connection's relay and the id of the last event about it.
type named struct{ relay, event string }

// rememberEnded is how many connections that are over are still known: what
// supervision makes of them comes a moment later.
const rememberEnded = 256

func newNames() *names {
	n := &names{connections: map[string]*named{}, failed: map[string]string{}}
	_, _ = crand.Read(n.key[:]) // never fails; see crypto/rand
	return n
}

var nameEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// relay is the name of a relay; "" of none.
func (n *names) relay(identity []byte) string {
	if len(identity) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write(identity)
	return nameEncoding.EncodeToString(mac.Sum(nil)[:8])
}

// name is e with relays named: a connection's and a breaker's as correlation
// id, a guard's as actor id; and with the cause that its emitter could not know.
// What is not about a relay is e itself.
func (n *names) name(e *chivev1.Envelope) *chivev1.Envelope {
	switch e.GetKind() {
	case chivev1.Kind_KIND_CONNECTION:
		return n.connection(e)
	case chivev1.Kind_KIND_SUPERVISOR:
		return n.supervisor(e)
	case chivev1.Kind_KIND_GUARD:
		return n.guard(e)
	}
	return e
}

func (n *names) connection(e *chivev1.Envelope) *chivev1.Envelope {
	k := n.connections[e.GetActorId()]
	if d := e.GetConnectionDialled(); d != nil {
		k = &named{relay: n.relay(d.GetRelay())}
		n.connections[e.GetActorId()] = k
	}
	if k == nil {
		return e
	}
	k.event = e.GetId()
	switch e.GetEvent().(type) {
	case *chivev1.Envelope_ConnectionOpened:
		delete(n.failed, k.relay)
	case *chivev1.Envelope_ConnectionFailed:
		n.failed[k.relay] = e.GetId()
		n.over(e.GetActorId())
	case *chivev1.Envelope_ConnectionClosed:
		n.over(e.GetActorId())
	}
	return because(e, "", k.relay)
}

// over remembers a connection for a while more.
func (n *names) over(id string) {
	n.ended = append(n.ended, id)
	if len(n.ended) <= rememberEnded {
		return
	}
	half := rememberEnded / 2
	for _, id := range n.ended[:half] {
		if k := n.connections[id]; k != nil && n.failed[k.relay] == k.event {
			delete(n.failed, k.relay)
		}
		delete(n.connections, id)
	}
	n.ended = append(n.ended[:0], n.ended[half:]...)
}

func (n *names) supervisor(e *chivev1.Envelope) *chivev1.Envelope {
	var child string
	var relay []byte
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_SupervisorStateChanged:
		child = body.SupervisorStateChanged.GetChild()
	case *chivev1.Envelope_RetriesExhausted:
		child = body.RetriesExhausted.GetChild()
	case *chivev1.Envelope_InputQuarantined:
		child = body.InputQuarantined.GetChild()
	case *chivev1.Envelope_BreakerOpened:
		child, relay = body.BreakerOpened.GetChild(), body.BreakerOpened.GetRelay()
	case *chivev1.Envelope_BreakerHalfOpened:
		relay = body.BreakerHalfOpened.GetRelay() // what is tried next has no event yet
	case *chivev1.Envelope_BreakerClosed:
		child, relay = body.BreakerClosed.GetChild(), body.BreakerClosed.GetRelay()
	}
	name, cause := n.relay(relay), ""
	if k := n.connections[fold.ConnectionOf(child)]; k != nil {
		name, cause = k.relay, k.event
	}
	return because(e, cause, name)
}

func (n *names) guard(e *chivev1.Envelope) *chivev1.Envelope {
	var relay []byte
	cause := ""
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_GuardSampled:
		relay = body.GuardSampled.GetRelay()
	case *chivev1.Envelope_GuardConfirmed:
		relay = body.GuardConfirmed.GetRelay()
	case *chivev1.Envelope_GuardRemoved:
		relay = body.GuardRemoved.GetRelay()
	case *chivev1.Envelope_GuardReachable:
		relay = body.GuardReachable.GetRelay()
	case *chivev1.Envelope_GuardUnreachable:
		relay = body.GuardUnreachable.GetRelay()
		cause = n.failed[n.relay(relay)]
	}
	if len(relay) == 0 {
		return e
	}
	named := because(e, cause, "")
	if named == e {
		named = shallow(e)
	}
	named.ActorId = n.relay(relay)
	return named
}

// because adds what e does not say itself: events are read-only, so to a copy.
func because(e *chivev1.Envelope, cause, correlation string) *chivev1.Envelope {
	adds := cause != "" && e.GetCauseId() == "" || correlation != "" && e.GetCorrelationId() == ""
	if !adds {
		return e
	}
	out := shallow(e)
	if out.CauseId == "" {
		out.CauseId = cause
	}
	if out.CorrelationId == "" {
		out.CorrelationId = correlation
	}
	return out
}

// shallow is another envelope with the same event in it.
func shallow(e *chivev1.Envelope) *chivev1.Envelope {
	return &chivev1.Envelope{
		Id: e.GetId(), Time: e.GetTime(), Node: e.GetNode(), Kind: e.GetKind(), ActorId: e.GetActorId(),
		Sequence: e.GetSequence(), CauseId: e.GetCauseId(), CorrelationId: e.GetCorrelationId(), Event: e.GetEvent(),
	}
}
