package story

import (
	"fmt"

	"chive/messages"
	"chive/messages/chivev1"
)

// healthCauses say why an onion service of this node is not up, by the cause's name.
var healthCauses = map[string]string{
	"unknown":           "nothing explains it",
	"relay-gone":        "the relay of an introduction point is away",
	"point-unreachable": "an introduction point that is listed does not introduce",
	"not-stored":        "directories do not give its newest descriptor",
	"rendezvous":        "introductions come, but rendezvous points are not reached from here",
	"connections":       "the guards cannot be reached, or the connections to them were lost",
	"offline":           "this machine has no network",
	"consensus":         "there is no consensus that is live",
	"clock":             "the clock was set",
	"slept":             "the machine was asleep, or the process stopped",
	"restarted":         "the node, or what hosts the service, was started anew",
	"disk":              "the service's folder could not be written",
	"journal":           "the journal, or the NATS server with it, is away",
	"overload":          "more introductions come than are answered",
	"no-clients":        "it is for authorised clients, and has none",
}

// healthCause is a cause in words and by its name.
func healthCause(c chivev1.HealthCause) string {
	name := messages.CauseName(c)
	if text := healthCauses[name]; text != "" {
		return text + " (" + name + ")"
	}
	return name // of a later vocabulary
}

// probeStages say what failed, by the stage at which a probe ended.
var probeStages = map[string]string{
	"directory":  "when asking a directory for the descriptor",
	"descriptor": "when reading the descriptor that a directory gave",
	"rendezvous": "before a relay waited for the service",
	"point":      "before the introduction point was reached",
	"introduce":  "when the introduction point was to introduce",
	"meeting":    "when waiting for the service to come",
}

func probeStage(s chivev1.ProbeStage) string {
	name := messages.StageName(s)
	if text := probeStages[name]; text != "" {
		return text
	}
	return "at " + name // of a later vocabulary
}

// healSteps say what is done, by the step's name.
var healSteps = map[string]string{
	"new-circuits": "makes a new circuit to",
	"republish":    "publishes new descriptors",
	"rotate":       "takes other relays in place of",
	"rebuild":      "makes everything anew",
}

func atPoint(point uint64) string {
	if point == 0 {
		return ""
	}
	return fmt.Sprintf(", through introduction point %d", point)
}

// sayHealth is say for whether onion services of this node are up; "": it is about
// something else.
func sayHealth(e *chivev1.Envelope) string {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingProbed:
		return sayProbed(body.HostingProbed)
	case *chivev1.Envelope_HostingVerified:
		return "is up: a " + body.HostingVerified.GetBy() + " met it"
	case *chivev1.Envelope_HostingUnverified:
		return "may be up or not, which cannot be said now: " + healthCause(body.HostingUnverified.GetCause())
	case *chivev1.Envelope_HostingBroken:
		b := body.HostingBroken
		text := "is not up"
		if b.GetPartly() {
			text = "is not up in part"
		}
		text += ": " + healthCause(b.GetCause())
		if b.GetStage() != 0 {
			text += ", seen " + probeStage(b.GetStage())
		}
		return text + atPoint(b.GetPoint())
	case *chivev1.Envelope_HostingHealing:
		return sayHealing(body.HostingHealing)
	case *chivev1.Envelope_HostingHealed:
		h := body.HostingHealed
		text := fmt.Sprintf("is up again, after %s and %s", span(h.GetAfter().AsDuration()), plural(int(h.GetSteps()), "step"))
		if h.GetStep() != 0 {
			text += ", the last being " + messages.StepName(h.GetStep())
		}
		return text + ": it was that " + healthCause(h.GetCause())
	}
	return ""
}

// shaken are the reasons of a visit that are news themselves.
var shaken = map[string]string{
	"network": "the way to the network is another, or was gone", "woken": "the machine was asleep, or the node was stopped", "clock": "the clock was set",
}

func sayProbed(p *chivev1.HostingProbed) string {
	text := "was visited as clients do"
	if why := shaken[p.GetReason()]; why != "" {
		text += ", as " + why
	}
	if p.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
		if p.GetStage() == chivev1.ProbeStage_PROBE_STAGE_DESCRIPTOR {
			return text + ", by its descriptor alone: it is good"
		}
		return fmt.Sprintf("%s, in %s%s: they met", text, span(p.GetTook().AsDuration()), atPoint(p.GetPoint()))
	}
	text += fmt.Sprintf(", and failed after %s %s%s", span(p.GetTook().AsDuration()), probeStage(p.GetStage()), atPoint(p.GetPoint()))
	if p.GetArrived() {
		text += ", though the introduction came"
	}
	return text + ": " + meaning(p.GetOutcome())
}

func sayHealing(h *chivev1.HostingHealing) string {
	name := messages.StepName(h.GetStep())
	text := healSteps[name]
	if text == "" {
		text = name // of a later vocabulary
	}
	if s := h.GetStep(); s == chivev1.HealStep_HEAL_STEP_NEW_CIRCUITS || s == chivev1.HealStep_HEAL_STEP_ROTATE {
		if h.GetPoint() == 0 {
			text += " every introduction point"
		} else {
			text += fmt.Sprintf(" introduction point %d", h.GetPoint())
		}
	}
	return fmt.Sprintf("%s, step %d (%s), for %s", text, h.GetAttempt(), name, healthCause(h.GetCause()))
}
