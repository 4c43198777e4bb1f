package invariant

import "chive/messages/chivev1"

// health is what was told of whether a hosted service is up.
type health struct {
	met     bool   // by a probe or a client, since a failure was told
	broken  bool   // and not healed since
	unsure  bool   // it cannot be said just now
	attempt uint32 // steps since it broke
	last    chivev1.HealStep
}

// healthOf checks the story of a service: nothing is claimed that nobody saw, and nothing
// done that there was no reason for.
func (c *checker) healthOf(e *chivev1.Envelope) {
	id := e.GetActorId()
	h := c.health[id]
	if h == nil {
		h = &health{}
		c.health[id] = h
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStarted:
		*h = health{}
	case *chivev1.Envelope_HostingStopped:
		delete(c.health, id)
	case *chivev1.Envelope_HostingMet:
		h.met = true
	case *chivev1.Envelope_HostingProbed:
		c.probed(e, h, body.HostingProbed)
	case *chivev1.Envelope_HostingVerified:
		if !h.met {
			c.missing(e, "a service is said to be up that nobody has met")
		}
		h.unsure = false
	case *chivev1.Envelope_HostingUnverified:
		if body.HostingUnverified.GetCause() == 0 {
			c.say(e, "no cause")
		}
		h.unsure = true
	case *chivev1.Envelope_HostingBroken:
		if body.HostingBroken.GetCause() == 0 {
			c.say(e, "no cause")
		}
		if !h.broken {
			h.attempt, h.last = 0, 0
		}
		h.met, h.broken, h.unsure = false, true, false
	case *chivev1.Envelope_HostingHealing:
		c.healing(e, h, body.HostingHealing)
	case *chivev1.Envelope_HostingHealed:
		b := body.HostingHealed
		switch {
		case !h.broken:
			c.missing(e, "healed of what was not told")
		case b.GetSteps() != h.attempt || b.GetStep() != h.last:
			c.missing(e, "healed after %d steps, the last %v, where %d were made, the last %v", b.GetSteps(), b.GetStep(), h.attempt, h.last)
		}
		h.broken = false
	}
}

func (c *checker) probed(e *chivev1.Envelope, h *health, p *chivev1.HostingProbed) {
	met := p.GetOutcome() == chivev1.Outcome_OUTCOME_OK
	switch {
	case p.GetStage() == 0 || p.GetOutcome() == 0:
		c.say(e, "a visit that ended nowhere")
	case met && p.GetCause() != 0 || !met && p.GetCause() == 0:
		c.say(e, "a visit that failed has a cause, and no other has")
	case met && p.GetStage() == chivev1.ProbeStage_PROBE_STAGE_MEETING:
		h.met = true
	}
}

// healing: a step is one more of those since the service broke. It is let be without a word
// when nothing helps that one directory, so that a new count may begin.
func (c *checker) healing(e *chivev1.Envelope, h *health, b *chivev1.HostingHealing) {
	switch {
	case !h.broken:
		c.missing(e, "a step, where nothing is broken")
	case h.unsure:
		c.say(e, "a step, though it cannot be said whether the service is up")
	case b.GetAttempt() != h.attempt+1 && b.GetAttempt() != 1:
		c.missing(e, "step %d after %d", b.GetAttempt(), h.attempt)
	}
	h.attempt, h.last = b.GetAttempt(), b.GetStep()
}
