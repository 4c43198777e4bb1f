package story

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chive/messages"
	"chive/messages/chivev1"
)

// Every cause, stage and step of the vocabulary has words.
func TestHealthVocabulary(t *testing.T) {
	for n := range chivev1.HealthCause_name {
		if c := chivev1.HealthCause(n); n != 0 && healthCauses[messages.CauseName(c)] == "" {
			t.Errorf("no words for the cause %s", messages.CauseName(c))
		}
	}
	for n := range chivev1.ProbeStage_name {
		if s := chivev1.ProbeStage(n); n != 0 && probeStages[messages.StageName(s)] == "" {
			t.Errorf("no words for the stage %s", messages.StageName(s))
		}
	}
	for n := range chivev1.HealStep_name {
		if s := chivev1.HealStep(n); n != 0 && healSteps[messages.StepName(s)] == "" {
			t.Errorf("no words for the step %s", messages.StepName(s))
		}
	}
}

func TestSayHealth(t *testing.T) {
	const (
		kind   = chivev1.Kind_KIND_HOSTING
		silent = chivev1.HealthCause_HEALTH_CAUSE_POINT_UNREACHABLE
	)
	l := &Log{}
	second := durationpb.New(time.Second)
	for want, e := range map[string]*chivev1.Envelope{
		"was visited as clients do, in 1s, through introduction point 3: they met": messages.Event(kind, "s", &chivev1.HostingProbed{
			Outcome: chivev1.Outcome_OUTCOME_OK, Stage: chivev1.ProbeStage_PROBE_STAGE_MEETING, Took: second, Point: 3,
		}),
		"when the introduction point was to introduce, through introduction point 3": messages.Event(kind, "s", &chivev1.HostingProbed{
			Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Stage: chivev1.ProbeStage_PROBE_STAGE_INTRODUCE, Took: second, Point: 3,
		}),
		"though the introduction came": messages.Event(kind, "s", &chivev1.HostingProbed{
			Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Stage: chivev1.ProbeStage_PROBE_STAGE_MEETING, Arrived: true,
		}),
		"is up: a client met it": messages.Event(kind, "s", &chivev1.HostingVerified{By: "client"}),
		"no network (offline)":   messages.Event(kind, "s", &chivev1.HostingUnverified{Cause: chivev1.HealthCause_HEALTH_CAUSE_OFFLINE}),
		"does not introduce (point-unreachable), seen before the introduction point was reached": messages.Event(kind, "s", &chivev1.HostingBroken{
			Cause: silent, Stage: chivev1.ProbeStage_PROBE_STAGE_POINT,
		}),
		"other relays in place of introduction point 2, step 4 (rotate)": messages.Event(kind, "s", &chivev1.HostingHealing{
			Step: chivev1.HealStep_HEAL_STEP_ROTATE, Cause: silent, Attempt: 4, Point: 2,
		}),
		"a new circuit to every introduction point": messages.Event(kind, "s", &chivev1.HostingHealing{
			Step: chivev1.HealStep_HEAL_STEP_NEW_CIRCUITS, Cause: silent, Attempt: 1,
		}),
		"after 1s and 2 steps, the last being republish": messages.Event(kind, "s", &chivev1.HostingHealed{
			After: second, Cause: silent, Step: chivev1.HealStep_HEAL_STEP_REPUBLISH, Steps: 2,
		}),
	} {
		if got := l.say(e); !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
}
