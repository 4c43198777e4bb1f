package invariant

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"chive/messages"
	"chive/messages/chivev1"
)

func TestHealth(t *testing.T) {
	const (
		kind  = chivev1.Kind_KIND_HOSTING
		cause = chivev1.HealthCause_HEALTH_CAUSE_NOT_STORED
		step  = chivev1.HealStep_HEAL_STEP_REPUBLISH
	)
	ev := func(body any) *chivev1.Envelope {
		switch b := body.(type) {
		case *chivev1.HostingProbed:
			return messages.Event(kind, "s", b)
		case *chivev1.HostingBroken:
			return messages.Event(kind, "s", b)
		case *chivev1.HostingHealing:
			return messages.Event(kind, "s", b)
		case *chivev1.HostingHealed:
			return messages.Event(kind, "s", b)
		case *chivev1.HostingUnverified:
			return messages.Event(kind, "s", b)
		}
		panic(body)
	}
	started := messages.Event(kind, "s", &chivev1.HostingStarted{})
	verified := messages.Event(kind, "s", &chivev1.HostingVerified{By: "probe"})
	met := ev(&chivev1.HostingProbed{Outcome: chivev1.Outcome_OUTCOME_OK, Stage: chivev1.ProbeStage_PROBE_STAGE_MEETING})
	failed := ev(&chivev1.HostingProbed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Stage: chivev1.ProbeStage_PROBE_STAGE_POINT, Cause: cause})
	broken := ev(&chivev1.HostingBroken{Cause: cause})
	healing := ev(&chivev1.HostingHealing{Step: step, Cause: cause, Attempt: 1})
	healed := ev(&chivev1.HostingHealed{Step: step, Steps: 1})
	unsure := ev(&chivev1.HostingUnverified{Cause: cause})
	for name, tt := range map[string]struct {
		log  []*chivev1.Envelope
		want int
	}{
		"sound":              {[]*chivev1.Envelope{started, met, verified, failed, failed, broken, healing, met, verified, healed}, 0},
		"without a network":  {[]*chivev1.Envelope{started, met, verified, failed, unsure, met, verified}, 0},
		"nobody met it":      {[]*chivev1.Envelope{started, verified}, 1},
		"nobody since":       {[]*chivev1.Envelope{started, met, verified, broken, verified}, 1},
		"no reason":          {[]*chivev1.Envelope{started, met, verified, healing}, 1},
		"a step in the dark": {[]*chivev1.Envelope{started, failed, broken, unsure, healing}, 1},
		"a step is missing":  {[]*chivev1.Envelope{started, broken, ev(&chivev1.HostingHealing{Step: step, Cause: cause, Attempt: 3})}, 1},
		"healed of nothing":  {[]*chivev1.Envelope{started, met, healed}, 1},
		"healed by magic":    {[]*chivev1.Envelope{started, broken, healed}, 1},
		"failed for nothing": {[]*chivev1.Envelope{started, ev(&chivev1.HostingProbed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Stage: chivev1.ProbeStage_PROBE_STAGE_POINT})}, 1},
		"ended nowhere":      {[]*chivev1.Envelope{started, ev(&chivev1.HostingProbed{Outcome: chivev1.Outcome_OUTCOME_OK})}, 1},
		"broken for nothing": {[]*chivev1.Envelope{started, ev(&chivev1.HostingBroken{})}, 1},
		"unsure for nothing": {[]*chivev1.Envelope{started, ev(&chivev1.HostingUnverified{})}, 1},
		"a second beginning": {[]*chivev1.Envelope{started, broken, healing, healing, met, verified, healed}, 0},
	} {
		for i, e := range tt.log {
			c := proto.CloneOf(e) // some are there twice
			c.Sequence = uint64(i + 1)
			tt.log[i] = c
		}
		if found := Check(tt.log); len(found) != tt.want {
			t.Errorf("%s: %v", name, found)
		}
	}
}
