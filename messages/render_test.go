package messages

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages/chivev1"
)

func stamped(e *chivev1.Envelope) *chivev1.Envelope {
	NewRecorder("n1", fixed, 1).Emit(e)
	return e
}

func TestText(t *testing.T) {
	for want, e := range map[string]*chivev1.Envelope{
		"2026-11-24T10:00:00.120Z circuit c1 opened hops=3 took=340ms": Event(chivev1.Kind_KIND_CIRCUIT, "c1",
			&chivev1.CircuitOpened{Hops: 3, Took: Took(343 * time.Millisecond)}),
		"2026-11-24T10:00:00.120Z stream s1 ended outcome=exit-policy lived=1.5s bytes-in=2048": Event(chivev1.Kind_KIND_STREAM, "s1",
			&chivev1.StreamEnded{Outcome: chivev1.Outcome_OUTCOME_EXIT_POLICY, Lived: Took(1500 * time.Millisecond), BytesIn: Bytes(1025)}),
		`2026-11-24T10:00:00.120Z node n1 bootstrap-advanced phase=consensus percent=25 summary="asking \x1b[31m for it\n"`: Event(chivev1.Kind_KIND_NODE, "n1",
			&chivev1.BootstrapAdvanced{Phase: chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONSENSUS, Percent: 25, Summary: "asking \x1b[31m for it\n"}),
		"2026-11-24T10:00:00.120Z directory d document-verified kind=consensus items=9 valid-until=2026-11-24T13:00:00Z": Event(chivev1.Kind_KIND_DIRECTORY, "d",
			&chivev1.DocumentVerified{Kind: chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS, Items: 9, ValidUntil: timestamppb.New(time.Date(2026, 11, 24, 13, 0, 0, 0, time.UTC))}),
		"2026-11-24T10:00:00.120Z stream s1 ended outcome=999": Event(chivev1.Kind_KIND_STREAM, "s1", &chivev1.StreamEnded{Outcome: 999}),
		"2026-11-24T10:00:00.120Z stream requested":            Event(chivev1.Kind_KIND_STREAM, "", &chivev1.StreamRequested{Target: "example.com:443"}),
		"2026-11-24T10:00:00.120Z unspecified none":            {},
		"2026-11-24T10:00:00.120Z config rejected mouth=file":  Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigRejected{Mouth: "file"}),
		"2026-11-24T10:00:00.120Z node node actor-failed":      Event(chivev1.Kind_KIND_NODE, "node", &chivev1.ActorFailed{}),
	} {
		if got := Text(stamped(e)); got != want {
			t.Errorf("Text =\n  %s, want\n  %s", got, want)
		}
	}
}

func TestJSONIsOneStableLineThatParsesBack(t *testing.T) {
	e := stamped(Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{Hops: 3, Took: Took(340 * time.Millisecond)}))
	want := `{"id":"n1/1","time":"2026-11-24T10:00:00.120Z","node":"n1","kind":"KIND_CIRCUIT","actorId":"c1","sequence":"1","circuitOpened":{"hops":3,"took":"0.340s"}}`
	got, err := JSON(e)
	if err != nil || string(got) != want {
		t.Fatalf("JSON = %s, %v\nwant %s", got, err, want)
	}
	back := &chivev1.Envelope{}
	if err := protojson.Unmarshal(got, back); err != nil || !proto.Equal(back, e) {
		t.Errorf("parsed back as %v, %v", back, err)
	}
}

func TestJSONKeepsLineBreaksInside(t *testing.T) {
	e := stamped(Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.ActorFailed{Reason: "a\nb"}))
	line, err := JSON(e)
	if err != nil || strings.Contains(string(line), "\n") || !json.Valid(line) {
		t.Errorf("line %q, %v", line, err)
	}
}

func TestJSONRefusesInvalidText(t *testing.T) {
	e := stamped(Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.ActorFailed{Reason: "\xff"}))
	if line, err := JSON(e); err == nil {
		t.Errorf("JSON = %s, want an error for text that is not UTF-8", line)
	}
}

func TestRounding(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0: 0, 4 * time.Millisecond: 0, 5 * time.Millisecond: 10 * time.Millisecond,
		1234 * time.Millisecond: 1230 * time.Millisecond, -time.Second: 0,
	} {
		if got := Took(in).AsDuration(); got != want {
			t.Errorf("Took(%v) = %v, want %v", in, got, want)
		}
	}
	if got := Skew(-1600 * time.Millisecond).AsDuration(); got != -2*time.Second {
		t.Errorf("Skew = %v", got)
	}
	for in, want := range map[uint64]uint64{0: 0, 1: 1024, 1024: 1024, 1025: 2048, 1<<64 - 1: 1<<64 - 1024} {
		if got := Bytes(in); got != want {
			t.Errorf("Bytes(%d) = %d, want %d", in, got, want)
		}
	}
	for in, want := range map[uint64]uint64{0: 0, 1: 1, 2: 2, 3: 4, 1000: 1024, 1024: 1024, 1<<64 - 1: 1 << 63} {
		if got := Cells(in); got != want {
			t.Errorf("Cells(%d) = %d, want %d", in, got, want)
		}
	}
}
