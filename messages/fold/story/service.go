package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// What is known of an onion service at a time. Beside what events say of it, it is removed after
// it was taken out of its node, which is no failure of anything, not hosted after it was stopped
// for another reason, and not-running after its node ended.
const (
	stateStarting   = "starting"
	statePublished  = "published" // and nobody has met it yet
	stateStandby    = "standby"   // other nodes host it too, one of which is to publish it, and nobody has met it through this one yet
	stateUp         = "up"
	stateImpaired   = "impaired" // a part of it is of no use
	stateBroken     = "broken"
	stateUnverified = "unverified" // it cannot be said
	stateRemoved    = "removed"    // nobody wants it to be reached
	stateNotHosted  = "not-hosted" // what hosts it failed
	stateNotRunning = "not-running"
)

// Service is what became of an onion service that a node hosts, over its runs.
type Service struct {
	State   string    `json:"state"` // the last one
	Cause   string    `json:"cause,omitempty"`
	Began   time.Time `json:"began,omitzero"`       // of the state
	Since   time.Time `json:"known_since,omitzero"` // the oldest event about it that is kept: what was before is not known
	Until   time.Time `json:"until,omitzero"`       // the last of the node
	Summary string    `json:"summary"`

	// Node is the one whose events these are. Shared: other nodes host the service, too, and
	// have stories of their own.
	Node      string `json:"node,omitempty"`
	Shared    bool   `json:"shared,omitempty"`
	Publisher string `json:"publisher,omitempty"` // of a shared one, at the last word about it; none is known: empty
	Away      bool   `json:"away,omitempty"`      // the node takes no part in it now, and hears no more of who does ([Service.Leave])

	Down       time.Duration `json:"down_ns"`     // nobody reached it, or its node did not run
	Impaired   time.Duration `json:"impaired_ns"` // a part of it was of no use
	Unverified time.Duration `json:"unverified_ns"`
	Outages    int           `json:"outages"` // that Down is the sum of

	Spells []Spell `json:"spells"` // in order
}

// Spell is a time in which the same was known of it.
type Spell struct {
	State  string        `json:"state"`
	Cause  string        `json:"cause,omitempty"` // one of the closed list
	Text   string        `json:"text"`
	Point  uint64        `json:"introduction_point,omitempty"` // that is suspected
	Relay  string        `json:"relay,omitempty"`              // its relay, if that is known
	Began  time.Time     `json:"began"`
	Ended  time.Time     `json:"ended,omitzero"` // zero: it is so still
	Lasted time.Duration `json:"lasted_ns"`

	Healing   []Healing `json:"healing"`   // what was done to have it up again
	Happened  []Step    `json:"happened"`  // to it
	Meanwhile []Step    `json:"meanwhile"` // what failed in the node, while it was not up
}

// Healing is a step of repair.
type Healing struct {
	Time    time.Time     `json:"time"`
	Step    string        `json:"step"`
	Attempt uint32        `json:"attempt"` // from 1, of all since it broke
	Point   uint64        `json:"introduction_point,omitempty"`
	Relay   string        `json:"relay,omitempty"`
	Cause   string        `json:"cause"`
	Outcome string        `json:"outcome"` // healed, not yet, or unknown
	Took    time.Duration `json:"took_ns,omitempty"`
	Text    string        `json:"text"`
}

// Run is the events of one boot of the node.
type Run []*chivev1.Envelope

// Hosted tells what became of the service that has these names in events; nil if no event
// is about it. Relays are those of introduction points, as far as somebody knows them, by
// the service's name and the point's number. Spells that ended before since are left out. now
// is when it is told, and running says whether the node does, then; zero: when the last event was.
func Hosted(runs []Run, names []string, relays map[string]map[uint64]string, since, now time.Time, running bool) *Service {
	h := &hosted{names: names, relays: relays}
	for _, run := range runs {
		h.run(run)
	}
	if len(h.spells) == 0 {
		return nil
	}
	if !running {
		h.over()
	}
	if now.After(h.until) {
		h.until = now
	}
	out := &Service{Until: h.until, Since: h.spells[0].Began, Node: h.node, Shared: h.shared, Publisher: h.publisher, Spells: []Spell{}}
	for i := range h.spells {
		s := &h.spells[i]
		last := i == len(h.spells)-1
		if s.Lasted = s.Ended.Sub(s.Began); last {
			s.Lasted = h.until.Sub(s.Began)
			out.State, out.Cause, out.Began = s.State, s.Cause, s.Began
		}
		if !last && s.Ended.Before(since) {
			continue
		}
		switch {
		case isDown(s.State):
			out.Down += s.Lasted
			if n := len(out.Spells); n == 0 || !isDown(out.Spells[n-1].State) {
				out.Outages++
			}
		case s.State == stateImpaired:
			out.Impaired += s.Lasted
		case s.State == stateUnverified:
			out.Unverified += s.Lasted
		}
		s.Meanwhile = h.failures(s)
		out.Spells = append(out.Spells, *s)
	}
	out.Summary = out.say()
	return out
}

// isDown: nobody reaches the service, who should.
func isDown(state string) bool {
	return state == stateBroken || state == stateNotRunning || state == stateNotHosted
}

// Know says which node publishes a shared service now; "": nobody knows. It may be newer than
// the events.
func (s *Service) Know(publisher string) {
	s.Shared, s.Publisher = true, publisher
	s.Summary = s.say()
}

// Leave says that the node takes no part in a shared service now: no event does.
func (s *Service) Leave() {
	s.Away = true
	s.Summary = s.say()
}

func (s *Service) say() string {
	state := stateWords[s.State]
	switch waits := slices.Contains([]string{stateStarting, statePublished, stateStandby}, s.State); {
	case waits && s.Away:
		state = "left to other nodes, for this one is drained or about to end"
	case s.State == stateStandby && s.Publisher == "":
		state += ", and no node is known to publish it"
	case s.State == stateStandby:
		state += ", and published by node " + s.Publisher
	}
	text := fmt.Sprintf("the onion service is %s, since %s", state, span(s.Until.Sub(s.Began)))
	if s.Outages > 0 {
		text += fmt.Sprintf("; it was down for %s, %s", span(s.Down), times(s.Outages))
	} else {
		text += "; it was never down"
	}
	text += ", as far as the history goes"
	if s.Impaired > 0 {
		text += fmt.Sprintf("; for %s a part of it was of no use", span(s.Impaired))
	}
	if s.Unverified > 0 {
		text += fmt.Sprintf("; for %s it could not be said", span(s.Unverified))
	}
	return text
}

// stateWords are the states in words.
var stateWords = map[string]string{
	stateStarting: "being published", statePublished: "published, and nobody has met it yet", stateUp: "up",
	stateStandby:  "on standby here",
	stateImpaired: "up in part", stateBroken: "down", stateUnverified: "up or not, which cannot be said",
	stateRemoved: "hosted no more", stateNotHosted: "not hosted", stateNotRunning: "down, as its node does not run",
}

// hosted is the fold: the spells so far, and what is needed to go on.
type hosted struct {
	names  []string
	relays map[string]map[uint64]string
	runs   []*Log
	spells []Spell
	until  time.Time
	log    *Log
	here   bool     // an event of this run was about it
	leaves bool     // the node has begun to stop
	fails  *Spell   // from when on the service could not be started in this run; nil: it could, or nobody tried
	step   *Healing // whose outcome is not known yet; in the last spell or the one before
	ended  time.Time

	node, publisher string
	shared          bool
}

func (h *hosted) run(events Run) {
	if len(events) == 0 {
		return
	}
	log := NewLog(events)
	h.runs = append(h.runs, log)
	if h.log != nil && h.here {
		h.over()
	}
	h.log, h.here, h.leaves, h.fails, h.step = log, false, false, nil, nil
	for _, e := range log.events {
		h.until, h.ended = timeOf(e), timeOf(e)
		switch {
		case e.GetNodeStopping() != nil:
			h.leaves = true
		case e.GetKind() == chivev1.Kind_KIND_HOSTING && slices.Contains(h.names, e.GetActorId()):
			h.here = true
			h.apply(e)
		case e.GetActorFailed() != nil && e.GetKind() == chivev1.Kind_KIND_NODE:
			h.partFailed(e)
		case e.GetKind() == chivev1.Kind_KIND_SUPERVISOR && h.fails == nil && slices.Contains(h.names, e.GetActorId()):
			h.fails = &Spell{State: stateNotHosted, Began: timeOf(e), Text: "its node runs, and cannot host it: the node's log says why"}
		}
	}
	switch {
	case len(h.spells) == 0 || h.here:
	case h.fails != nil:
		h.begin(*h.fails)
	default:
		h.begin(Spell{State: stateRemoved, Began: timeOf(log.events[0]), Text: "its node runs, and does not host it"})
	}
}

// partFailed: services that end with a part of the node are stopped as those are that are taken
// out; that the part failed is told after it.
func (h *hosted) partFailed(e *chivev1.Envelope) {
	part, _, _ := strings.Cut(e.GetActorFailed().GetReason(), ":")
	if !h.here || part != "hosting" && part != "node" {
		return
	}
	if s := &h.spells[len(h.spells)-1]; s.State == stateRemoved && timeOf(e).Sub(s.Began) <= atOnce {
		s.State, s.Text = stateNotHosted, "a part of its node failed"
	}
}

// over: the node ended.
func (h *hosted) over() {
	if s := h.spells[len(h.spells)-1].State; s == stateNotRunning || s == stateNotHosted || s == stateRemoved {
		return
	}
	h.begin(Spell{State: stateNotRunning, Began: h.ended, Text: unstopped})
}

// unstopped is how a node ended whose last event is not that it stops.
const unstopped = "its node ended without being stopped: it was killed, it crashed, or the machine went down"

// begin ends the last spell with another.
func (h *hosted) begin(s Spell) {
	if n := len(h.spells); n > 0 {
		last := &h.spells[n-1]
		if last.State == s.State && last.Cause == s.Cause && last.Point == s.Point {
			return
		}
		last.Ended = s.Began
	}
	s.Healing, s.Happened = []Healing{}, []Step{}
	h.spells = append(h.spells, s)
}

// apply folds one event about the service in.
func (h *hosted) apply(e *chivev1.Envelope) {
	s := Spell{Began: timeOf(e), Text: h.log.say(e)}
	h.share(e)
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStarted:
		s.State = stateStarting
	case *chivev1.Envelope_HostingPublished:
		if n := len(h.spells); n > 0 && h.spells[n-1].State == stateStarting {
			s.State = statePublished
		}
	case *chivev1.Envelope_HostingLeaseTaken, *chivev1.Envelope_HostingLeaseLost, *chivev1.Envelope_HostingPublisherChanged:
		h.turn(e, &s)
	case *chivev1.Envelope_HostingVerified:
		s.State = stateUp
	case *chivev1.Envelope_HostingUnverified:
		s.State, s.Cause = stateUnverified, messages.CauseName(body.HostingUnverified.GetCause())
	case *chivev1.Envelope_HostingBroken:
		b := body.HostingBroken
		s.State, s.Cause, s.Point = stateBroken, messages.CauseName(b.GetCause()), b.GetPoint()
		if b.GetPartly() {
			s.State = stateImpaired
		}
		s.Relay = h.relay(e, b.GetPoint())
	case *chivev1.Envelope_HostingStopped:
		switch s.State = stateNotHosted; {
		case h.leaves:
			s.State, s.Text = stateNotRunning, "its node was stopped"
		case body.HostingStopped.GetOutcome() == chivev1.Outcome_OUTCOME_SHUTDOWN:
			s.State, s.Text = stateRemoved, "it was taken out of the node's configuration"
		}
	}
	if s.State != "" {
		h.begin(s)
	}
	if len(h.spells) == 0 { // its beginning is not in this log
		h.begin(Spell{State: stateStarting, Began: s.Began})
		first := &h.spells[0]
		h.turn(e, first)
		first.Text = "what was before is not in the history"
	}
	h.heal(e)
	h.happened(e)
}

// turn is the state of a shared service that nobody has met yet, as this node is to publish it or
// is not. One that was met stays what visits say of it, whoever publishes.
func (h *hosted) turn(e *chivev1.Envelope, s *Spell) {
	if len(h.spells) == 0 {
		return
	}
	last := h.spells[len(h.spells)-1].State
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingLeaseTaken:
		if last == stateStandby {
			s.State = stateStarting
		}
		return
	case *chivev1.Envelope_HostingPublisherChanged:
		if p := body.HostingPublisherChanged.GetPublisher(); p == "" || p == e.GetNode() {
			return
		}
	case *chivev1.Envelope_HostingLeaseLost:
	default:
		return
	}
	if last == stateStarting || last == statePublished {
		s.State, s.Text = stateStandby, "it is not this node's turn to publish it"
	}
}

// share follows which node publishes the service.
func (h *hosted) share(e *chivev1.Envelope) {
	h.node = e.GetNode()
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStarted, *chivev1.Envelope_HostingStopped, *chivev1.Envelope_HostingLeaseLost:
		h.publisher = ""
	case *chivev1.Envelope_HostingLeaseTaken:
		h.publisher, h.shared = e.GetNode(), true
	case *chivev1.Envelope_HostingPublisherChanged:
		h.publisher, h.shared = body.HostingPublisherChanged.GetPublisher(), true
	case *chivev1.Envelope_HostingMembersChanged:
		h.shared = true
	}
}

// relay is the relay of an introduction point; "" if nobody knows.
func (h *hosted) relay(e *chivev1.Envelope, point uint64) string {
	return h.relays[e.GetActorId()][point]
}

// heal keeps the steps of repair, with what became of each.
func (h *hosted) heal(e *chivev1.Envelope) {
	spell := &h.spells[len(h.spells)-1]
	settle := func(outcome string) {
		if h.step != nil {
			h.step.Outcome, h.step.Took, h.step = outcome, timeOf(e).Sub(h.step.Time), nil
		}
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingHealing:
		settle("not yet")
		b := body.HostingHealing
		spell.Healing = append(spell.Healing, Healing{
			Time: timeOf(e), Step: messages.StepName(b.GetStep()), Attempt: b.GetAttempt(), Point: b.GetPoint(), Relay: h.relay(e, b.GetPoint()),
			Cause: messages.CauseName(b.GetCause()), Outcome: "unknown", Text: h.log.say(e),
		})
		h.step = &spell.Healing[len(spell.Healing)-1]
	case *chivev1.Envelope_HostingProbed:
		if bad(body.HostingProbed.GetOutcome()) && body.HostingProbed.GetReason() == "step" {
			settle("not yet")
		}
	case *chivev1.Envelope_HostingVerified:
		settle("healed")
	case *chivev1.Envelope_HostingHealed: // it follows the verification
		spell.Text = h.log.say(e)
	}
}

// happened keeps what else belongs to the spell.
func (h *hosted) happened(e *chivev1.Envelope) {
	spell := &h.spells[len(h.spells)-1]
	if timeOf(e).Equal(spell.Began) && h.log.say(e) == spell.Text || !tells(e, spell.State) {
		return
	}
	st := h.log.step(e)
	if p := pointOf(e); p != 0 {
		st.Relay = h.relay(e, p)
	}
	if n := len(spell.Happened); n > 0 && spell.Happened[n-1].Text == st.Text {
		st.Count = max(spell.Happened[n-1].Count, 1) + 1
		spell.Happened[n-1] = st
		return
	}
	if spell.Happened = append(spell.Happened, st); len(spell.Happened) > most { // the beginning and the end of it
		spell.Happened = slices.Delete(spell.Happened, most/2, most/2+1)
	}
}

// tells: does an event say something of why a service is in a state? What goes well in one
// that is up does not.
func tells(e *chivev1.Envelope, state string) bool {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStopped, *chivev1.Envelope_HostingHealing, *chivev1.Envelope_HostingHealed, *chivev1.Envelope_HostingMet, *chivev1.Envelope_HostingDescribed:
		return false // told otherwise, or of no interest
	case *chivev1.Envelope_HostingStored:
		return bad(body.HostingStored.GetOutcome())
	case *chivev1.Envelope_HostingProbed:
		p := body.HostingProbed
		return state != stateUp || bad(p.GetOutcome()) || shaken[p.GetReason()] != ""
	case *chivev1.Envelope_HostingPublished, *chivev1.Envelope_HostingPointUp:
		return state != stateUp && state != statePublished
	}
	return true
}

// pointOf is the introduction point that an event is about; 0: none.
func pointOf(e *chivev1.Envelope) uint64 {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingPointUp:
		return body.HostingPointUp.GetPoint()
	case *chivev1.Envelope_HostingPointDown:
		return body.HostingPointDown.GetPoint()
	case *chivev1.Envelope_HostingPointGone:
		return body.HostingPointGone.GetPoint()
	case *chivev1.Envelope_HostingProbed:
		return body.HostingProbed.GetPoint()
	case *chivev1.Envelope_HostingBroken:
		return body.HostingBroken.GetPoint()
	}
	return 0
}

// before is how long before a service was found to be down what failed in the node may
// have led to it.
const before = time.Minute

// failures are what failed in the parts of the node that reach relays while nobody reached
// the service, alike ones as one step, the latest of them.
func (h *hosted) failures(s *Spell) []Step {
	out := []Step{}
	if s.State != stateBroken && s.State != stateUnverified {
		return out
	}
	until := s.Ended
	if until.IsZero() {
		until = h.until
	}
	for _, log := range h.runs {
		var during []*chivev1.Envelope
		for _, e := range log.events {
			if at := timeOf(e); !at.Before(s.Began.Add(-before)) && !at.After(until) {
				during = append(during, e)
			}
		}
		if len(during) > 0 {
			out = append(out, (&Log{events: during, actors: log.actors, byID: log.byID}).failures(s.Began.Add(-before), nil)...)
		}
	}
	return out
}
