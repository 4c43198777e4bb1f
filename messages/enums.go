package messages

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages/chivev1"
)

// enumNames maps an enum to its short lower-case names and back:
// OUTCOME_EXIT_POLICY is "exit-policy".
type enumNames[E interface {
	~int32
	protoreflect.Enum
}] struct {
	byValue map[E]string
	byName  map[string]E
	ordered []string
}

func namesOf[E interface {
	~int32
	protoreflect.Enum
}](prefix string) enumNames[E] {
	var zero E
	n := enumNames[E]{byValue: map[E]string{}, byName: map[string]E{}}
	values := zero.Descriptor().Values()
	for i := range values.Len() {
		v := values.Get(i)
		short := shortName(prefix, string(v.Name()))
		n.byValue[E(v.Number())] = short
		if v.Number() != 0 {
			n.byName[short] = E(v.Number())
			n.ordered = append(n.ordered, short)
		}
	}
	return n
}

func shortName(prefix, value string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}

func (n enumNames[E]) short(v E) string {
	if s, ok := n.byValue[v]; ok {
		return s
	}
	return n.byValue[0]
}

func (n enumNames[E]) parse(what, s string) (E, error) {
	if v, ok := n.byName[s]; ok {
		return v, nil
	}
	return 0, fmt.Errorf("%s %q: want one of %s", what, s, strings.Join(n.ordered, ", "))
}

func (n enumNames[E]) names() []string { return append([]string(nil), n.ordered...) }

var (
	kinds     = namesOf[chivev1.Kind]("KIND_")
	outcomes  = namesOf[chivev1.Outcome]("OUTCOME_")
	purposes  = namesOf[chivev1.Purpose]("PURPOSE_")
	phases    = namesOf[chivev1.BootstrapPhase]("BOOTSTRAP_PHASE_")
	documents = namesOf[chivev1.DocumentKind]("DOCUMENT_KIND_")
	stages    = namesOf[chivev1.ProbeStage]("PROBE_STAGE_")
	causes    = namesOf[chivev1.HealthCause]("HEALTH_CAUSE_")
	steps     = namesOf[chivev1.HealStep]("HEAL_STEP_")
)

// OutcomeName is the short name of an outcome ("exit-policy"), as in logs,
// metrics labels and the CLI; "unspecified" for one not in the vocabulary.
func OutcomeName(o chivev1.Outcome) string { return outcomes.short(o) }

// ParseOutcome is the inverse of OutcomeName.
func ParseOutcome(name string) (chivev1.Outcome, error) { return outcomes.parse("outcome", name) }

// Outcomes lists the short names of all outcomes.
func Outcomes() []string { return outcomes.names() }

// PurposeName is the short name of a purpose ("general").
func PurposeName(p chivev1.Purpose) string { return purposes.short(p) }

// Purposes lists the short names of all purposes.
func Purposes() []string { return purposes.names() }

// PhaseName is the short name of a bootstrap phase ("enough-directory").
func PhaseName(p chivev1.BootstrapPhase) string { return phases.short(p) }

// DocumentName is the short name of a kind of document ("consensus").
func DocumentName(k chivev1.DocumentKind) string { return documents.short(k) }

// StageName is the short name of a stage of a probe ("introduce").
func StageName(s chivev1.ProbeStage) string { return stages.short(s) }

// CauseName is the short name of why an onion service is not up ("relay-gone").
func CauseName(c chivev1.HealthCause) string { return causes.short(c) }

// StepName is the short name of a step of healing ("republish").
func StepName(s chivev1.HealStep) string { return steps.short(s) }
