package hosting

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/onions"
	"chive/actors/outcome"
	"chive/messages/chivev1"
	"chive/tor/onion"
	"chive/tor/onion/client"
	"chive/tor/onion/heal"
)

type (
	// visit asks for one, by the service's actor; visited answers.
	visit struct {
		owner   *actor.PID
		probe   heal.Probe
		address onion.Address
		key     [32]byte // opens the descriptor, should the service be restricted
		what    client.Visit
		least   uint64 // what the directory is known to have: an older revision is a failure
	}
	// visited is what was found.
	visited struct {
		result heal.Result // but for what only the service knows
		auth   [32]byte    // of the introduction point that was tried; zero: none was
		out    chivev1.Outcome
		period uint64
		took   time.Duration
		times  []StageTime
	}
	// expecting tells the service what the visit is about to send.
	expecting struct{ message []byte }
	// left: the service is hosted no more, and nobody wants to know.
	left struct{ owner *actor.PID }
	// visitsLost: who visits has failed, and what was under way is not heard of again.
	visitsLost struct{}
)

// StageTime is how long a stage of a visit took.
type StageTime struct {
	Stage string        `json:"stage"`
	Took  time.Duration `json:"took_ns"`
}

// What a visit waits for at most. Circuits have limits of their own; these are for those that
// do not come to be built.
const (
	visitFetch = 20 * time.Second
	visitOpen  = 20 * time.Second
	// controlTime is for the circuit that tells a service that cannot be reached from a
	// network that cannot.
	controlTime = 15 * time.Second
	// mostControls is how many of those are tried, as one alone may end by any relay on its way.
	mostControls = 3
)

// visiting is a visit under way. It has a client of its own: nothing is known from before,
// and nothing of it is known after.
type visiting struct {
	*visit
	machine *client.Service
	attempt client.ID
	began   time.Time
	fetch   time.Duration // how long the directory is waited for
	stage   time.Time     // when the last stage was over
	tokens  map[client.ID]uint64
	work    context.CancelFunc

	answer  visited
	lost    chivev1.Outcome // of the circuit that was lost last
	short   bool            // that did not come as far as its last relay
	opened  bool            // the circuit to the introduction point
	solving bool            // a proof of work is searched for
	waited  bool            // the rendezvous point waits
	sent    bool
	acked   bool

	control  uint64 // token of the circuit that shows whether there is a network; 0: none yet
	controls int    // how many were tried
	giveUpAt time.Time
}

// opening is a circuit of a visit.
type opening struct {
	v     *visiting
	id    client.ID // 0: the control
	what  client.Action
	ready *circuits.Ready
}

// passed notes that a stage is over.
func (v *visiting) passed(s heal.Stage, now time.Time) {
	v.answer.times = append(v.answer.times, StageTime{s.String(), now.Sub(v.stage)})
	v.stage = now
}

// at is the stage that a visit is at.
func (v *visiting) at() heal.Stage {
	switch {
	case v.acked:
		return heal.Meeting
	case v.sent:
		return heal.Introduce
	case v.waited:
		return heal.Point
	case v.opened:
		return heal.Rendezvous
	}
	return v.answer.result.Stage
}

// fetched takes the answer of a directory, and gives whether the visit goes on.
func (v *visiting) fetched(text []byte, err error, now time.Time) bool {
	r := &v.answer.result
	r.Answer = err == nil || errors.Is(err, onions.ErrNone)
	switch {
	case errors.Is(err, onions.ErrNone):
		v.answer.out = chivev1.Outcome_OUTCOME_ONION_NOT_FOUND
	case errors.Is(err, context.DeadlineExceeded):
		v.answer.out = chivev1.Outcome_OUTCOME_TIMEOUT
	case err != nil:
		v.answer.out = chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
	}
	if err != nil {
		return false
	}
	v.passed(heal.Directory, now)
	r.Stage = heal.Descriptor
	return true
}

// read looks at the descriptor that the machine took; false: it is of no use.
func (v *visiting) read(now time.Time) bool {
	revision, ok := v.machine.Revision()
	switch {
	case !ok:
		v.answer.out = chivev1.Outcome_OUTCOME_ONION_INVALID
		return false
	case v.answer.result.Tried.Directory == v.what.Directory && revision < v.least:
		v.answer.out = chivev1.Outcome_OUTCOME_DOCUMENT_STALE
		return false
	}
	v.passed(heal.Descriptor, now)
	return true
}

// failed says how it ended that the machine gave up.
func (v *visiting) failed(m *client.Failed) {
	r := &v.answer.result
	if r.Stage >= heal.Descriptor && v.answer.auth != [32]byte{} {
		r.Stage = v.at()
		if !v.waited && !v.opened {
			r.Stage = heal.Point
			if m.Cause == client.RendezvousFailed {
				r.Stage = heal.Rendezvous
			}
		}
	}
	r.Answer = r.Answer && r.Stage <= heal.Descriptor || v.answer.out == chivev1.Outcome_OUTCOME_ONION_INTRODUCTION
	r.Short = v.short && !r.Answer && r.Stage <= heal.Point
	// The circuit waited for a proof until it was too late: so much is asked for.
	r.Crowded = v.solving && v.opened && v.lost == 0 && m.Cause == client.IntroTimedOut
	switch {
	case v.answer.out != 0:
	case v.lost != 0:
		v.answer.out = v.lost
	default:
		v.answer.out = outcome.FromOnion(m.Cause)
	}
}
