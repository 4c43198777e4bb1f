package story

import (
	"fmt"
	"strings"

	"chive/messages"
	"chive/messages/chivev1"
)

// sayHosting is say for what onion services of this node are about.
func (l *Log) sayHosting(e *chivev1.Envelope) string {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingStarted:
		if body.HostingStarted.GetRestricted() {
			return "hosts an onion service, for authorised clients"
		}
		return "hosts an onion service"
	case *chivev1.Envelope_HostingStopped:
		return "hosts the onion service no more: " + meaning(body.HostingStopped.GetOutcome())
	case *chivev1.Envelope_HostingPointUp:
		return fmt.Sprintf("has introduction point %d, on circuit %s", body.HostingPointUp.GetPoint(), body.HostingPointUp.GetCircuitId())
	case *chivev1.Envelope_HostingPointDown:
		return fmt.Sprintf("lost the circuit to introduction point %d: %s", body.HostingPointDown.GetPoint(), meaning(body.HostingPointDown.GetOutcome()))
	case *chivev1.Envelope_HostingPointGone:
		return fmt.Sprintf("lists introduction point %d no more: %s", body.HostingPointGone.GetPoint(), body.HostingPointGone.GetReason())
	case *chivev1.Envelope_HostingDescribed:
		d := body.HostingDescribed
		return fmt.Sprintf("made a descriptor with %s for period %d: %s", plural(int(d.GetPoints()), "introduction point"), d.GetPeriod(), d.GetReason())
	case *chivev1.Envelope_HostingStored:
		if out := body.HostingStored.GetOutcome(); out != chivev1.Outcome_OUTCOME_OK {
			return fmt.Sprintf("could not give the descriptor of period %d to a directory: %s", body.HostingStored.GetPeriod(), meaning(out))
		}
		return fmt.Sprintf("gave the descriptor of period %d to a directory", body.HostingStored.GetPeriod())
	case *chivev1.Envelope_HostingPublished:
		p := body.HostingPublished
		return fmt.Sprintf("is published for period %d, at %d directories", p.GetPeriod(), p.GetDirectories())
	case *chivev1.Envelope_HostingUnpublished:
		return fmt.Sprintf("cannot be published for period %d: %s", body.HostingUnpublished.GetPeriod(), body.HostingUnpublished.GetReason())
	case *chivev1.Envelope_HostingDelegationEnding:
		if body.HostingDelegationEnding.GetOver() {
			return "has no delegated keys any more: they have run out"
		}
		return fmt.Sprintf("has delegated keys for %s more", plural(int(body.HostingDelegationEnding.GetHoursLeft()), "hour"))
	case *chivev1.Envelope_HostingRefused:
		return fmt.Sprintf("did not answer %s: %s", plural(int(body.HostingRefused.GetCount()), "introduction"), body.HostingRefused.GetReason())
	case *chivev1.Envelope_HostingMet:
		paid := ""
		if effort := body.HostingMet.GetEffort(); effort > 0 {
			paid = fmt.Sprintf(" who paid an effort of %d", effort)
		}
		return "met a client" + paid + ", on circuit " + body.HostingMet.GetCircuitId()
	case *chivev1.Envelope_HostingLeaseTaken, *chivev1.Envelope_HostingLeaseLost, *chivev1.Envelope_HostingLeaseRefused,
		*chivev1.Envelope_HostingPublisherChanged, *chivev1.Envelope_HostingMembersChanged:
		return sayShared(e)
	case *chivev1.Envelope_HostingMissed:
		return "could not meet a client: " + meaning(body.HostingMissed.GetOutcome())
	}
	if text := sayHealth(e); text != "" {
		return text
	}
	return strings.ReplaceAll(messages.Verb(e), "-", " ")
}

// lossWords say why a node publishes a shared service no more.
var lossWords = map[string]string{
	"not-renewed": "it could not renew the lease in time", "clock": "its clock was set, or the machine slept",
	"replaced": "somebody else holds the lease", "given-back": "it takes no part any more, or has no introduction points",
}

// sayShared is sayHosting for what nodes agree on that share a service.
func sayShared(e *chivev1.Envelope) string {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_HostingLeaseTaken:
		l := body.HostingLeaseTaken
		if l.GetFrom() == "" || l.GetFrom() == e.GetNode() {
			return fmt.Sprintf("publishes for all nodes of the service, epoch %d", l.GetEpoch())
		}
		return fmt.Sprintf("publishes for all nodes of the service, in place of %s, epoch %d", l.GetFrom(), l.GetEpoch())
	case *chivev1.Envelope_HostingLeaseLost:
		l := body.HostingLeaseLost
		why := lossWords[l.GetReason()]
		if why == "" {
			why = l.GetReason()
		}
		return fmt.Sprintf("publishes for the nodes of the service no more, epoch %d: %s", l.GetEpoch(), why)
	case *chivev1.Envelope_HostingLeaseRefused:
		return fmt.Sprintf("was not the first to take the lease, epoch %d", body.HostingLeaseRefused.GetEpoch())
	case *chivev1.Envelope_HostingPublisherChanged:
		c := body.HostingPublisherChanged
		if c.GetPublisher() == "" {
			return "no node is known to publish it: the fleet's servers store nothing, or are away"
		}
		return fmt.Sprintf("is published by %s, epoch %d", c.GetPublisher(), c.GetEpoch())
	case *chivev1.Envelope_HostingMembersChanged:
		m := body.HostingMembersChanged
		have := "have"
		if m.GetNodes() == 1 {
			have = "has"
		}
		return fmt.Sprintf("is shared with %s that %s %s", plural(int(m.GetNodes()), "other node"), have, plural(int(m.GetPoints()), "introduction point"))
	}
	return ""
}
