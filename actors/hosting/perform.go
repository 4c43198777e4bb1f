package hosting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion/heal"
	"chive/tor/onion/host"
)

// perform does what the machine says.
func (a *serviceActor) perform(ctx actor.Context) {
	for commands := a.machine.Take(); len(commands) > 0; commands = a.machine.Take() {
		for _, c := range commands {
			a.do(ctx, c)
		}
	}
}

func (a *serviceActor) do(ctx actor.Context, c host.Command) {
	switch c := c.(type) {
	case host.Launch:
		if a.closed {
			return
		}
		target, ok := a.network.hop(c.Relay.Identity)
		if !ok { // of a view that was replaced
			a.machine.PointFailed(c.Point, errNoRelay, true, a.h.o.Now())
			return
		}
		a.points[c.Point] = a.open(ctx, &use{point: c.Point}, chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, &target)
	case host.Close:
		a.shut(ctx, a.points[c.Point])
	case host.Keep:
		a.keep(c.Floor)
	case host.Upload:
		if a.closed { // what it would say is wrong
			return
		}
		target, ok := a.network.directory(c.Directory)
		if !ok {
			a.machine.Uploaded(c.ID, errNoRelay, a.h.o.Now())
			return
		}
		a.uploads[c.ID] = a.open(ctx, &use{upload: &c}, chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, &target)
	case host.CancelUpload:
		a.endWork(c.ID)
		a.shut(ctx, a.uploads[c.ID])
	case host.Meet:
		if !c.Visit {
			a.e.meter.rendezvous.Add(1)
		}
		a.meetings[c.ID] = a.open(ctx, &use{meeting: &c}, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS, circuits.HopAt(c.Point))
	case host.Abandon:
		a.shut(ctx, a.meetings[c.ID])
	case host.CutOff:
		for token, u := range a.uses {
			if u.met {
				a.shut(ctx, token)
			}
		}
	case host.Told:
		a.told(c.Event)
	}
}

// errNoRelay: the consensus has it no longer.
var errNoRelay = errors.New("not a relay of the consensus")

// keep puts a floor on disk. If that fails, revisions still grow with time.
func (a *serviceActor) keep(f host.Floor) {
	a.floors.Raise(f)
	if err := a.store.SaveFloors(a.floors); err != nil {
		a.health.judge.Note(heal.Disk, a.h.o.Now())
		a.h.o.Log.Warn("the revision of an onion service's descriptor could not be kept", "folder", a.service.Dir, "err", err)
	}
}

func (a *serviceActor) open(ctx actor.Context, u *use, purpose chivev1.Purpose, target *torcircuit.Hop) uint64 {
	a.token++
	u.began = a.h.o.Now()
	a.uses[a.token] = u
	ctx.Send(a.h.o.Circuits, &circuits.Open{Owner: ctx.Self(), Token: a.token, Purpose: purpose, Target: target})
	return a.token
}

// shut ends a circuit; 0 is none.
func (a *serviceActor) shut(ctx actor.Context, token uint64) {
	u := a.uses[token]
	if u == nil {
		return
	}
	a.drop(token, u)
	ctx.Send(a.h.o.Circuits, &circuits.Shut{Owner: ctx.Self(), Token: token})
}

// drop forgets a circuit that is no more.
func (a *serviceActor) drop(token uint64, u *use) {
	delete(a.uses, token)
	switch {
	case u.point != 0 && a.points[u.point] == token:
		delete(a.points, u.point)
	case u.upload != nil && a.uploads[u.upload.ID] == token:
		delete(a.uploads, u.upload.ID)
	case u.meeting != nil && a.meetings[u.meeting.ID] == token:
		delete(a.meetings, u.meeting.ID)
	}
}

// ready: a circuit is open, and can be used for what it is for.
func (a *serviceActor) ready(ctx actor.Context, m *circuits.Ready, now time.Time) {
	u := a.uses[m.Token]
	if u == nil {
		return // it was shut meanwhile
	}
	u.ready = m
	switch {
	case u.point != 0:
		ctx.Send(m.PID, &circuit.Prove{})
	case u.upload != nil:
		a.publish(ctx, m.Token, u.upload, now)
	default:
		u.number = a.h.number()
		inc := 0
		if u.meeting.CongestionControl {
			inc = a.network.shared.Increment
		}
		ctx.Send(m.PID, &circuit.Meet{Message: u.meeting.Message, Keys: u.meeting.Keys, Increment: inc, Serve: a.rules.serving(m.ID, u.number)})
	}
}

func (a *serviceActor) publish(ctx actor.Context, token uint64, up *host.Upload, now time.Time) {
	work, cancel := context.WithTimeout(context.Background(), publishTime)
	if !a.bound(up.ID, cancel, now) {
		cancel()
		a.shut(ctx, token)
		a.machine.Uploaded(up.ID, errNotOurTurn, now)
		return
	}
	a.work[up.ID] = cancel
	root, self, publish := ctx.ActorSystem().Root, ctx.Self(), a.h.o.Publish
	kernel.Go("publish a descriptor", func() {
		status, err := publish(work, self, token, up.Text)
		if err == nil && status != 200 {
			err = fmt.Errorf("%w: status %d", host.ErrRefused, status)
		}
		root.Send(self, &published{up.ID, err})
	}, func(p *kernel.Panic) { root.Send(self, &published{up.ID, p}) })
}

func (a *serviceActor) endWork(id host.UploadID) {
	if cancel := a.work[id]; cancel != nil {
		a.unbound(id)
		cancel()
		delete(a.work, id)
	}
}

// building: a circuit was waited for, and is being built from now on, or has to wait again.
func (a *serviceActor) building(m *circuits.Building, now time.Time) {
	switch u := a.uses[m.Token]; {
	case u == nil || u.ready != nil:
	case u.point != 0:
		a.machine.PointBuilding(u.point, m.Waits, now)
	case u.upload != nil:
		a.machine.UploadBuilding(u.upload.ID, m.Waits, now)
	case u.meeting != nil:
		a.machine.MeetingBuilding(u.meeting.ID, m.Waits, now)
	}
}

// lostError is why a circuit is no more.
type lostError chivev1.Outcome

func (e lostError) Error() string { return messages.OutcomeName(chivev1.Outcome(e)) }

// over: a circuit is no more, or could not be had.
func (a *serviceActor) over(m *circuits.Over, now time.Time) {
	u := a.uses[m.Token]
	if u == nil {
		return
	}
	a.drop(m.Token, u)
	switch {
	case u.point != 0 && m.Outcome == chivev1.Outcome_OUTCOME_REPLACED:
		a.machine.PointReplaced(u.point, lostError(m.Outcome), now)
	case u.point != 0:
		a.machine.PointFailed(u.point, lostError(m.Outcome), ours(m.Outcome), now)
	case u.upload != nil:
		a.endWork(u.upload.ID)
		a.machine.Uploaded(u.upload.ID, lostError(m.Outcome), now)
	case u.meeting.Visit:
		a.machine.MeetingFailed(u.meeting.ID, lostError(m.Outcome), now)
	case !u.met:
		if !u.meeting.Visit {
			a.e.meter.lost(m.Outcome, u.ready != nil, u.meeting.Attempt > 1)
		}
		a.machine.MeetingFailed(u.meeting.ID, lostError(m.Outcome), now)
	}
}

// ours says of an end whether the path and its last hop have no part in it.
func ours(out chivev1.Outcome) bool {
	switch out {
	case chivev1.Outcome_OUTCOME_DESTROYED, chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL,
		chivev1.Outcome_OUTCOME_HANDSHAKE_AUTH:
		return false
	}
	return true
}

// outcomeOf is the outcome of what the machine was told.
func outcomeOf(err error) chivev1.Outcome {
	var lost lostError
	switch {
	case err == nil:
		return chivev1.Outcome_OUTCOME_OK
	case errors.As(err, &lost):
		return chivev1.Outcome(lost)
	case errors.Is(err, host.ErrRefused):
		return chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, host.ErrAbandoned), errors.Is(err, host.ErrTimeout):
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case errors.Is(err, host.ErrQueued):
		return chivev1.Outcome_OUTCOME_OVERLOADED
	case errors.Is(err, errNoRelay):
		return chivev1.Outcome_OUTCOME_NO_PATH
	}
	return chivev1.Outcome_OUTCOME_CONNECTION_LOST
}

// told emits what the machine tells.
func (a *serviceActor) told(e host.Event) {
	id := a.e.id
	const kind = chivev1.Kind_KIND_HOSTING
	a.toldMachine(e, a.h.o.Now())
	switch e := e.(type) {
	case host.PointUp:
		a.e.relays.note(e.Point, e.Relay)
		up := &chivev1.HostingPointUp{Point: uint64(e.Point), Relay: e.Relay[:]}
		if u := a.uses[a.points[e.Point]]; u != nil && u.ready != nil {
			up.CircuitId = u.ready.ID
			a.e.meter.toIntroduction.observe(a.h.o.Now().Sub(u.began))
		}
		a.emit(messages.Event(kind, id, up))
	case host.PointDown:
		a.e.relays.note(e.Point, e.Relay)
		a.emit(messages.Event(kind, id, &chivev1.HostingPointDown{Point: uint64(e.Point), Outcome: outcomeOf(e.Cause), Relay: e.Relay[:]}))
	case host.PointGone:
		a.tally.forget(a.machine)
		a.emit(messages.Event(kind, id, &chivev1.HostingPointGone{Point: uint64(e.Point), Reason: e.Reason.String(), Relay: e.Relay[:]}))
	case host.Described:
		a.emit(messages.Event(kind, id, &chivev1.HostingDescribed{
			Points: uint32(e.Points), Reason: e.Because.String(), Period: e.Period.Number, Revision: e.Revision,
		}))
	case host.Stored:
		a.emit(messages.Event(kind, id, &chivev1.HostingStored{Outcome: outcomeOf(e.Cause), Period: e.Period.Number, Directory: e.Directory[:]}))
	case host.Published:
		a.emit(messages.Event(kind, id, &chivev1.HostingPublished{Period: e.Period.Number, Directories: uint32(e.Directories)}))
	case host.Unpublishable:
		a.h.o.Log.Warn("an onion service cannot be published", "folder", a.service.Dir, "err", e.Cause)
		a.emit(messages.Event(kind, id, &chivev1.HostingUnpublished{Period: e.Period.Number, Reason: e.Cause.Error()}))
	case host.KeysEnd:
		a.keysEnd(e)
	case host.Refused:
		a.tally.refuse(e.Cause, 1)
		if !a.e.meter.reject(e.Cause) {
			a.taken--
		}
	case host.MeetingLost:
		if e.Visit {
			return // it is told with the visit
		}
		a.tally.missed++
		a.e.meter.missed(e.Cause)
		a.emit(messages.Event(kind, id, &chivev1.HostingMissed{Outcome: outcomeOf(e.Cause)}))
	}
}
