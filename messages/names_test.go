package messages

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"chive/messages/chivev1"
)

func TestValidName(t *testing.T) {
	for name, ok := range map[string]bool{
		"n1": true, "edge-7": true, "a": true, "0": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a b": false, "a*": false, ">": false,
		"a_b": false, "é": false, strings.Repeat("a", 64): false, "a\x00": false,
	} {
		if err := ValidName(name); (err == nil) != ok {
			t.Errorf("ValidName(%q) = %v, want ok=%v", name, err, ok)
		}
	}
}

func TestRandomID(t *testing.T) {
	form := regexp.MustCompile(`^[a-z2-7]{13}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := RandomID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("id %q: malformed or repeated", id)
		}
		seen[id] = true
	}
}

func TestSubject(t *testing.T) {
	for want, e := range map[string]*chivev1.Envelope{
		"chive.v1.f.n1.evt.circuit.c1.opened":             Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{}),
		"chive.v1.f.n1.evt.node.n1.events-dropped":        Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.EventsDropped{}),
		"chive.v1.f.n1.evt.node.n1.started":               Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.NodeStarted{}),
		"chive.v1.f.n1.evt.circuit.c1.actor-failed":       Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.ActorFailed{}),
		"chive.v1.f.n1.evt.directory.d.document-verified": Event(chivev1.Kind_KIND_DIRECTORY, "d", &chivev1.DocumentVerified{}),
		"chive.v1.f.n1.evt.supervisor.s.state-changed":    Event(chivev1.Kind_KIND_SUPERVISOR, "s", &chivev1.SupervisorStateChanged{}),
		"chive.v1.f.n1.evt.supervisor.s.breaker-opened":   Event(chivev1.Kind_KIND_SUPERVISOR, "s", &chivev1.BreakerOpened{}),
		"chive.v1.f.n1.evt.stream.a_b_c_.ended":           Event(chivev1.Kind_KIND_STREAM, "a.b>c*", &chivev1.StreamEnded{}),
		"chive.v1.f.n1.evt.stream._.ended":                Event(chivev1.Kind_KIND_STREAM, "", &chivev1.StreamEnded{}),
		"chive.v1.f.n1.evt.unspecified.x.none":            {ActorId: "x"},
	} {
		e.Node = "n1"
		if got := Subject("f", e); got != want {
			t.Errorf("Subject = %s, want %s", got, want)
		}
	}
	if got := ControlSubject("f", "n1", "status"); got != "chive.v1.f.n1.ctl.status" {
		t.Errorf("ControlSubject = %s", got)
	}
}

// Every event of the oneof has a constructor and one unambiguous subject.
func TestEveryEventIsNamedAndWrapped(t *testing.T) {
	fields := (*chivev1.Envelope)(nil).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	if len(eventNames) != fields.Len() {
		t.Fatalf("%d names for %d events", len(eventNames), fields.Len())
	}
	token := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for i := range fields.Len() {
		field := fields.Get(i)
		direct := &chivev1.Envelope{}
		body := direct.ProtoReflect().NewField(field)
		direct.ProtoReflect().Set(field, body)
		wrapped := &chivev1.Envelope{}
		wrap(wrapped, body.Message().Interface())
		if reflect.TypeOf(wrapped.Event) != reflect.TypeOf(direct.Event) {
			t.Errorf("%s: Event wraps it as %T", field.Name(), wrapped.Event)
		}
		if name, verb := Name(direct), Verb(direct); !token.MatchString(name) || !token.MatchString(verb) || !strings.HasSuffix(name, verb) {
			t.Errorf("%s: name %q verb %q", field.Name(), name, verb)
		}
		if bodyOf(direct).Descriptor() != field.Message() {
			t.Errorf("%s: body is %v", field.Name(), bodyOf(direct).Descriptor().FullName())
		}
	}
}

func TestKindTokensRoundTrip(t *testing.T) {
	for _, name := range Kinds() {
		kind, err := ParseKind(name)
		if err != nil || KindToken(kind) != name {
			t.Errorf("%s: %v, %v", name, kind, err)
		}
	}
	if len(Kinds()) != len(chivev1.Kind_name)-1 {
		t.Errorf("kinds %v", Kinds())
	}
	if _, err := ParseKind("unspecified"); err == nil {
		t.Error("the zero kind parses")
	}
}

func TestOutcomeNames(t *testing.T) {
	for outcome, want := range map[chivev1.Outcome]string{
		chivev1.Outcome_OUTCOME_EXIT_POLICY:    "exit-policy",
		chivev1.Outcome_OUTCOME_OK:             "ok",
		chivev1.Outcome_OUTCOME_HANDSHAKE_AUTH: "handshake-auth",
		chivev1.Outcome(999):                   "unspecified",
	} {
		if got := OutcomeName(outcome); got != want {
			t.Errorf("OutcomeName(%d) = %q, want %q", outcome, got, want)
		}
	}
	for number := range chivev1.Outcome_name {
		outcome := chivev1.Outcome(number)
		if outcome == chivev1.Outcome_OUTCOME_UNSPECIFIED {
			continue
		}
		if back, err := ParseOutcome(OutcomeName(outcome)); err != nil || back != outcome {
			t.Errorf("%v -> %q -> %v, %v", outcome, OutcomeName(outcome), back, err)
		}
	}
	_, err := ParseOutcome("exit_policy")
	if err == nil || !strings.Contains(err.Error(), "exit-policy") {
		t.Errorf("err = %v, want one that lists the names", err)
	}
}

func TestOtherNames(t *testing.T) {
	if got := PurposeName(chivev1.Purpose_PURPOSE_DIRECTORY); got != "directory" {
		t.Error(got)
	}
	if got := PhaseName(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_ENOUGH_DIRECTORY); got != "enough-directory" {
		t.Error(got)
	}
	if got := DocumentName(chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS); got != "consensus" {
		t.Error(got)
	}
}

func BenchmarkSubject(b *testing.B) {
	e := opened()
	e.Node = "n1"
	b.ReportAllocs()
	for b.Loop() {
		Subject("default", e)
	}
}
