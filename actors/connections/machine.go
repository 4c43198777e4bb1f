package connections

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/outcome"
	"chive/messages/chivev1"
	"chive/supervisor/retry"
	"chive/tor/upstream"
)

// A machine that has no descriptors left, or not the address that connections are to be made
// from, connects to no relay, and says nothing of any: else who uses up what it has, by
// visiting a hosted service say, would have guards change (rule 0). Nothing is dialled for a
// while then; whoever asks is told why. An address to connect from that is gone is one of IPv4
// or of IPv6: over the other it is dialled on.

// ErrMachine: nothing is dialled, as this machine cannot make connections.
var ErrMachine = errors.New("this machine cannot make connections; it is not tried again yet")

// machinePause is the wait after failures of the machine in a row. To try costs no more than a
// call of the system.
var machinePause = retry.Backoff{Min: 500 * time.Millisecond, Max: 10 * time.Second, Factor: 2, Jitter: 0.2}

// machine is how this machine fares; the zero value: as far as is known it works.
type machine struct {
	failures int       // in a row
	until    time.Time // nothing is dialled before
	cause    string    // id of the event that tells of the last failure
}

// families of addresses, of what is connected to.
const (
	ip4 family = iota
	ip6
	families
)

type family int

// familyOf is that of what a dial to a relay's address connects to: the proxy's, if there is one.
func (c *connections) familyOf(relay netip.AddrPort) family {
	to := relay
	if c.o.Dialer.Proxy.Kind != upstream.None {
		to = c.o.Dialer.Proxy.Addr
	}
	if to.Addr().Is6() {
		return ip6
	}
	return ip4
}

// worksHere: a connection over f got past this machine.
func (c *connections) worksHere(f family) { c.machine, c.bound[f] = machine{}, machine{} }

// tryHere forgets what failed here.
func (c *connections) tryHere() { c.machine, c.bound = machine{}, [families]machine{} }

// failsHere is what stops dials over f, for now; nil: nothing.
func (c *connections) failsHere(f family) *machine {
	for _, x := range []*machine{&c.machine, &c.bound[f]} {
		if c.o.Now().Before(x.until) {
			return x
		}
	}
	return nil
}

// fromHere notes how a dial over f failed as far as this machine goes; true: it is the first time
// that the machine failed.
func (c *connections) fromHere(f family, m *connection.Down) bool {
	x := &c.machine
	if outcome.OfBind(m.Err) {
		x = &c.bound[f]
	}
	switch m.Outcome {
	case chivev1.Outcome_OUTCOME_MACHINE_FAILED:
	case chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_CANCELLED, chivev1.Outcome_OUTCOME_INTERNAL:
		return false // it says nothing
	default:
		c.worksHere(f)
		return false
	}
	now := c.o.Now()
	if now.Before(x.until) {
		return false // it was dialled before that was known
	}
	x.failures++
	x.until, x.cause = now.Add(machinePause.Delay(x.failures, c.o.Rand)), m.Cause
	return x.failures == 1
}

// refuseHere answers a Want that is not dialled, as this machine cannot.
func (c *connections) refuseHere(ctx actor.Context, w *Want, x *machine) {
	ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED, Err: ErrMachine, Cause: x.cause})
}

// reason is what the system said, without the addresses that were to be connected.
func reason(err error) string {
	var (
		call  *os.SyscallError
		errno syscall.Errno
	)
	switch {
	case errors.As(err, &call):
		return call.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "unknown"
}
