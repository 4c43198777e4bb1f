package node

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/connections"
	"chive/actors/directory"
	"chive/actors/kernel"
	"chive/tor/guard"
)

// What failed before the machine slept, or on another network, says nothing about now. So
// guards and relays that failed are tried again, at once, when the machine wakes or its
// addresses change, and when the operator asks. That decides when, never which: the guards
// stay those of guard-spec.

const (
	// lookEvery is how often clocks and addresses are looked at.
	lookEvery = 2 * time.Second
	// sleptFor is by how much the clocks must differ, or a look be late, to count as sleep.
	sleptFor = 10 * time.Second
	// retryPause is between two retries of our own accord: addresses change in bursts.
	retryPause = 5 * time.Second
)

type (
	look struct{}
	// tryAgain has relays that failed tried at once; nil: all.
	tryAgain struct {
		relays [][20]byte
		renew  bool // the way to the network is another one
	}
)

// wake notices that the machine slept or came to another network.
type wake struct {
	last      time.Time // of the monotonic clock
	wall      time.Time // at the same moment
	addresses string
	retried   time.Time
	pending   guard.Reason
	renew     bool // what is open may be dead: the machine slept, or an address is gone
	boot      time.Duration
	clock     bool // it was the clock that was set; the machine did not sleep
}

// see takes a look: now is of the monotonic clock, which stands still while the machine
// sleeps, wallNow of the other, and addresses are the machine's, in one text. It gives the
// reason to try again, or "".
func (w *wake) see(now, wallNow time.Time, addresses string) guard.Reason {
	if w.last.IsZero() {
		w.last, w.wall, w.addresses = now, wallNow, addresses
		return ""
	}
	passed, wall := now.Sub(w.last), wallNow.Sub(w.wall)
	changed := addresses != w.addresses
	for _, a := range strings.Fields(w.addresses) {
		w.renew = w.renew || !slices.Contains(strings.Fields(addresses), a)
	}
	w.last, w.wall, w.addresses = now, wallNow, addresses
	switch {
	case (wall-passed).Abs() > sleptFor || passed > lookEvery+sleptFor:
		w.pending, w.renew = guard.Woken, true
	case changed && addresses != "":
		w.pending = guard.NetChanged
	}
	if w.pending == "" || !w.retried.IsZero() && now.Sub(w.retried) < retryPause {
		return ""
	}
	why := w.pending
	w.pending, w.retried = "", now
	return why
}

// set looks whether the clock was set since the last look, before see takes one: boot is of
// the clock that goes on while the machine sleeps and cannot be set, 0 where there is none.
// Then only a clock that was set back is known from sleep.
func (w *wake) set(wallNow time.Time, boot time.Duration) {
	before := w.boot
	w.boot = boot
	switch wall := wallNow.Sub(w.wall); {
	case w.last.IsZero():
	case before == 0 || boot == 0:
		w.clock = w.clock || wall < -sleptFor
	default:
		w.clock = w.clock || (wall-(boot-before)).Abs() > sleptFor
	}
}

// localAddresses are the machine's that reach further than its own links; "" if it has
// none, or does not tell.
func localAddresses() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// beginRetries joins the guards to this actor, and begins to look.
func (r *rootActor) beginRetries(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	r.n.guards.onRetried(func(relays [][20]byte) { root.Send(self, &tryAgain{relays: relays}) })
	r.look(ctx)
}

func (r *rootActor) look(ctx actor.Context) {
	if r.down != nil {
		return
	}
	r.looker = kernel.After(ctx.ActorSystem(), ctx.Self(), lookEvery, &look{})
	r.tellTrouble()
	now := r.n.o.Now()
	r.wake.set(now.Round(0), r.n.o.Boot())
	why := r.wake.see(now, now.Round(0), localAddresses())
	if why == "" {
		return
	}
	r.n.o.Log.Info("guards and relays that failed are tried again", "because", string(why))
	r.n.guards.retry(why)
	r.tryAgain(ctx, &tryAgain{renew: r.wake.renew})
	r.shaken(ctx, why, r.wake.clock)
	r.wake.renew, r.wake.clock = false, false
}

// tryAgain passes on that relays may be tried at once.
func (r *rootActor) tryAgain(ctx actor.Context, m *tryAgain) {
	r.pass(ctx, "connections", &connections.Forgive{Relays: m.relays, Renew: m.renew})
	r.pass(ctx, "circuits", &circuits.GuardsRetried{Renew: m.renew})
	if m.relays == nil {
		r.pass(ctx, "directory", &directory.Retry{})
	}
}

// GuardsRetryAnswer is the answer to the verb guards-retry.
type GuardsRetryAnswer struct {
	Guards int `json:"guards"` // how many had failed
}

// answerGuardsRetry has guards and relays that failed tried again at once.
func (n *Node) answerGuardsRetry([]byte) ([]byte, error) {
	failed := n.guards.retry(guard.Asked)
	n.system.Root.Send(n.root, &tryAgain{})
	return json.Marshal(GuardsRetryAnswer{Guards: failed})
}
