package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/actors/node/history"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

const (
	connectionKind = chivev1.Kind_KIND_CONNECTION
	supervisorKind = chivev1.Kind_KIND_SUPERVISOR
	guardKind      = chivev1.Kind_KIND_GUARD
)

// naming passes events through a recorder and names.
func naming(events ...*chivev1.Envelope) []*chivev1.Envelope {
	r, n := messages.NewRecorder("n", time.Now, 1), newNames()
	var out []*chivev1.Envelope
	for _, e := range events {
		r.Emit(e)
		out = append(out, n.name(e))
	}
	return out
}

func TestRelaysHaveOneOpaqueNameEach(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 20)
	timeout := chivev1.Outcome_OUTCOME_TIMEOUT
	out := naming(
		messages.Event(connectionKind, "k1", &chivev1.ConnectionDialled{Relay: one}),
		messages.Event(connectionKind, "k1", &chivev1.ConnectionFailed{Outcome: timeout}),
		messages.Event(supervisorKind, "b1", &chivev1.SupervisorStateChanged{Child: "connection/k1", State: "backoff"}),
		messages.Event(supervisorKind, "b1", &chivev1.BreakerOpened{Child: "connection/k1", Relay: one}),
		messages.Event(guardKind, "guard", &chivev1.GuardUnreachable{Outcome: timeout, Relay: one}),
		messages.Event(guardKind, "guard", &chivev1.GuardSampled{Relay: two}),
		messages.Event(chivev1.Kind_KIND_CIRCUIT, "c", &chivev1.CircuitLaunched{ConnectionId: "k1", Path: [][]byte{one}}),
		messages.Event(supervisorKind, "b1", &chivev1.BreakerHalfOpened{Child: "connection/k1", Relay: one}),
	)
	name := out[0].GetCorrelationId()
	if len(name) != 13 || strings.Contains(name, "AQEB") {
		t.Fatalf("the relay is called %q", name)
	}
	for i, want := range []struct{ actor, cause, correlation string }{
		{"k1", "", name},
		{"k1", "", name},
		{"b1", "n/2", name},
		{"b1", "n/2", name},
		{name, "n/2", ""},
		{out[5].GetActorId(), "", ""},
		{"c", "", ""},
		{"b1", "", name},
	} {
		if e := out[i]; e.GetActorId() != want.actor || e.GetCauseId() != want.cause || e.GetCorrelationId() != want.correlation {
			t.Errorf("event %d: about %q because of %q in the story %q, want %+v", i, e.GetActorId(), e.GetCauseId(), e.GetCorrelationId(), want)
		}
	}
	if other := out[5].GetActorId(); other == name || other == "guard" {
		t.Errorf("another guard is called %q", other)
	}
	if again := naming(messages.Event(guardKind, "guard", &chivev1.GuardSampled{Relay: one})); again[0].GetActorId() == name {
		t.Error("the name outlives the boot")
	}
}

// Whatever comes, what is remembered for names is bounded, and events that the
// recorder holds are not changed.
func TestNamesAreBoundedAndEventsReadOnly(t *testing.T) {
	r, n := messages.NewRecorder("n", time.Now, 1), newNames()
	for i := range 3000 {
		id := messages.RandomID()
		relay := []byte{byte(i), byte(i >> 8)}
		dialled := messages.Event(connectionKind, id, &chivev1.ConnectionDialled{Relay: relay})
		r.Emit(dialled)
		n.name(dialled)
		if dialled.GetCorrelationId() != "" {
			t.Fatal("the recorder's event was changed")
		}
		failed := messages.Event(connectionKind, id, &chivev1.ConnectionFailed{})
		r.Emit(failed)
		n.name(failed)
	}
	if len(n.connections) > rememberEnded || len(n.failed) > rememberEnded || len(n.ended) > rememberEnded {
		t.Errorf("%d connections, %d failures, %d ended", len(n.connections), len(n.failed), len(n.ended))
	}
}

// ask asks a node that runs.
func ask(t *testing.T, n *Node, what string) []byte {
	t.Helper()
	b, err := n.answerStatus([]byte(`{"what":"` + what + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func boots(t *testing.T, n *Node) []*history.Boot {
	t.Helper()
	all, err := history.Read(history.Dir(n.Config().DataDirectory))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnsweringForThePresentAndThePast(t *testing.T) {
	n := runs(t, free(t), nil)
	<-n.Listening()
	var status Status
	b, err := n.answerStatus(nil)
	if err != nil || json.Unmarshal(b, &status) != nil || status.Node != "node" {
		t.Fatalf("status %s, %v", b, err)
	}
	var state fold.Node
	if err := history.Inflate(ask(t, n, "state"), &state); err != nil || state.Started.IsZero() || len(state.Listeners) != 1 {
		t.Fatalf("state %+v, %v", state, err)
	}
	var kept Kept
	if err := json.Unmarshal(ask(t, n, "history"), &kept); err != nil || !kept.On {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	all := boots(t, n)
	if len(all) != 1 || all[0].Boot != kept.Boot || all[0].Damage != nil || all[0].Holes != 0 {
		t.Fatalf("boots %+v", all)
	}
	events := all[0].Events()
	if events[0].GetNodeStarted() == nil || events[0].GetSequence() != 1 {
		t.Errorf("the history begins with %v", events[0])
	}
	for i, e := range events {
		if e.GetSequence() != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i, e.GetSequence())
		}
	}
	for what, want := range map[string]string{`{"what":"the weather"}`: "want state or history", `{`: "the question"} {
		if _, err := n.answerStatus([]byte(what)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// EventHistory 0 deletes what was kept, and what comes later knows what was not.
func TestHistoryIsHot(t *testing.T) {
	n := runs(t, free(t), nil)
	<-n.Listening()
	ask(t, n, "history")
	dir := history.Dir(n.Config().DataDirectory)
	if r := set(t, n, "EventHistory 0"); !r.Applied {
		t.Fatalf("%+v", r)
	}
	var kept Kept
	if err := json.Unmarshal(ask(t, n, "history"), &kept); err != nil || kept.On {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Fatalf("%v is left, %v", left, err)
	}
	if r := set(t, n, "EventHistory 1 hour"); !r.Applied {
		t.Fatalf("%+v", r)
	}
	ask(t, n, "history")
	all := boots(t, n)
	if len(all) != 1 || all[0].Segments[0].State == nil || all[0].Segments[0].State.Started.IsZero() || all[0].Holes == 0 {
		t.Fatalf("boots %+v", all)
	}
}

// A data directory whose history cannot be written does not keep a node from
// running; it is said once, and nobody waits for it.
func TestHistoryThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(history.Dir(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	d := newDiary(dir, history.Head{Boot: "b"}, func() time.Duration { return time.Hour }, newStatus().copied, time.Now, slog.New(slog.NewTextHandler(&said, nil)))
	d.start()
	for range 3 {
		d.see(messages.Event(connectionKind, "k", &chivev1.ConnectionOpened{}))
		if err := d.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(history.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	d.see(messages.Event(connectionKind, "k", &chivev1.ConnectionOpened{}))
	d.close()
	if err := d.flush(t.Context()); err != nil {
		t.Errorf("flush after close: %v", err)
	}
	if text := said.String(); strings.Count(text, "events are not kept") != 1 || strings.Count(text, "kept again") != 1 {
		t.Errorf("said %q", text)
	}
	all, err := history.Read(history.Dir(dir))
	if err != nil || len(all) != 1 || all[0].Holes != 3 || len(all[0].Events()) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// A disk that does not keep up costs events, which is told, and no memory; what
// comes after knows what they led to.
func TestHistoryThatDoesNotKeepUp(t *testing.T) {
	dir := t.TempDir()
	status := newStatus()
	d := newDiary(dir, history.Head{Boot: "b"}, func() time.Duration { return time.Hour }, status.copied, time.Now, slog.New(slog.DiscardHandler))
	n := &Node{o: Options{Now: time.Now}, names: newNames(), status: status, diary: d}
	r := messages.NewRecorder("n", time.Now, 1)
	r.Observe(n.observe)
	emit := func(count int) {
		for range count {
			r.Emit(messages.Event(connectionKind, messages.RandomID(), &chivev1.ConnectionOpened{}))
		}
	}
	emit(diaryRoom + 5) // nothing writes yet
	d.start()
	if err := d.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	emit(3)
	if err := d.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.close()
	all, err := history.Read(history.Dir(dir))
	if err != nil || len(all) != 1 || len(all[0].Events()) != diaryRoom+3 || all[0].Holes != 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	now := all[0].At(all[0].Until())
	if want := status.copied(); now.Events != want.Events || len(now.Connections) != diaryRoom+8 {
		t.Errorf("%d events and %d connections are told, want %d and %d", now.Events, len(now.Connections), want.Events, diaryRoom+8)
	}
}

// What is lost at the very end is told, too.
func TestHistoryEndsInAHole(t *testing.T) {
	dir := t.TempDir()
	d := newDiary(dir, history.Head{Boot: "b"}, func() time.Duration { return time.Hour }, newStatus().copied, time.Now, slog.New(slog.DiscardHandler))
	for range diaryRoom + 2 {
		d.see(messages.Event(connectionKind, "k", &chivev1.ConnectionOpened{}))
	}
	d.start()
	d.close()
	all, err := history.Read(history.Dir(dir))
	if err != nil || len(all) != 1 || len(all[0].Events()) != diaryRoom || all[0].Holes != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
}

// More than one message holds is an error that says what to do.
func TestStateThatIsTooLarge(t *testing.T) {
	n := &Node{status: newStatus()}
	for range 40_000 {
		id := messages.RandomID()
		n.status.apply(messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamRequested{Isolation: messages.RandomID()}))
	}
	if _, err := n.answerStatus([]byte(`{"what":"state"}`)); !errors.Is(err, errTooMany) || !strings.Contains(err.Error(), "--at") {
		t.Errorf("err = %v", err)
	}
}

// BenchmarkSee is what an event costs the actor that emits it: naming, the fold
// and the queue.
func BenchmarkSee(b *testing.B) {
	status := newStatus()
	d := newDiary(b.TempDir(), history.Head{Boot: "b"}, func() time.Duration { return time.Hour }, status.copied, time.Now, slog.New(slog.DiscardHandler))
	d.start()
	n := &Node{o: Options{Now: time.Now}, names: newNames(), status: status, diary: d}
	r := messages.NewRecorder("n", time.Now, 1)
	r.Observe(n.observe)
	for b.Loop() {
		id := messages.RandomID()
		r.Emit(messages.Event(connectionKind, id, &chivev1.ConnectionDialled{Relay: []byte("twenty bytes of this")}))
		r.Emit(messages.Event(connectionKind, id, &chivev1.ConnectionOpened{}))
		r.Emit(messages.Event(connectionKind, id, &chivev1.ConnectionClosed{}))
	}
	d.close()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*3), "ns/event")
}
