package messages

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chive/messages/chivev1"
)

var epoch = time.Date(2026, 11, 24, 10, 0, 0, 120_000_000, time.UTC)

func fixed() time.Time { return epoch }

func opened() *chivev1.Envelope {
	return Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{Hops: 3})
}

// drainAll returns what a consumer gets that starts now and stops at once.
func drainAll(t *testing.T, r *Recorder) []*chivev1.Envelope {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got []*chivev1.Envelope
	if err := r.Drain(ctx, func(batch []*chivev1.Envelope) error {
		got = append(got, batch...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEmitStamps(t *testing.T) {
	r := NewRecorder("n1", fixed, 8)
	first := opened()
	if id := r.Emit(Because(first, "n1/0", "s9")); id != "n1/1" {
		t.Errorf("id = %q", id)
	}
	if first.Id != "n1/1" || first.Node != "n1" || first.Sequence != 1 || !first.Time.AsTime().Equal(epoch) {
		t.Errorf("stamped %v", first)
	}
	if first.CauseId != "n1/0" || first.CorrelationId != "s9" || first.ActorId != "c1" {
		t.Errorf("the caller's fields changed: %v", first)
	}
	if id := r.Emit(opened()); id != "n1/2" {
		t.Errorf("second id = %q", id)
	}
}

func TestFullRingDropsTheNewestAndTellsTheHole(t *testing.T) {
	r := NewRecorder("n1", fixed, 4)
	for range 7 {
		r.Emit(opened())
	}
	if r.Emitted() != 7 || r.Dropped() != 3 {
		t.Fatalf("emitted %d dropped %d", r.Emitted(), r.Dropped())
	}
	got := drainAll(t, r)
	if len(got) != 5 {
		t.Fatalf("consumer got %d events, want the 4 oldest and the word about the hole", len(got))
	}
	for i, e := range got[:4] {
		if e.Sequence != uint64(i+1) {
			t.Errorf("event %d has sequence %d", i, e.Sequence)
		}
	}
	hole := got[4].GetEventsDropped()
	if hole.GetCount() != 3 || hole.GetTotal() != 3 || got[4].Sequence != 8 {
		t.Errorf("hole told as %v", got[4])
	}
	r.Emit(opened())
	if next := drainAll(t, r); len(next) != 1 || next[0].Sequence != 9 {
		t.Errorf("after the hole: %v", next)
	}
}

func TestFailedDeliveryCountsAsDropped(t *testing.T) {
	r := NewRecorder("n1", fixed, 4)
	r.Emit(opened())
	r.Emit(opened())
	refused := errors.New("refused")
	if err := r.Drain(t.Context(), func([]*chivev1.Envelope) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("err = %v", err)
	}
	if r.Dropped() != 2 {
		t.Fatalf("dropped = %d", r.Dropped())
	}
	// A new consumer learns of the hole although nothing is emitted any more.
	ctx, cancel := context.WithCancel(t.Context())
	var got []*chivev1.Envelope
	if err := r.Drain(ctx, func(batch []*chivev1.Envelope) error {
		got = append(got, batch...)
		cancel()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].GetEventsDropped().GetCount() != 2 {
		t.Errorf("got %v", got)
	}
}

func TestDrainFollowsAndStopsWithTheRest(t *testing.T) {
	r := NewRecorder("n1", fixed, 2*batchSize+1)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan struct{})
	done := make(chan error, 1)
	var got []uint64
	go func() {
		done <- r.Drain(ctx, func(batch []*chivev1.Envelope) error {
			if got == nil {
				close(first)
			}
			for _, e := range batch {
				got = append(got, e.Sequence)
			}
			return nil
		})
	}()
	r.Emit(opened())
	<-first
	for range 2 * batchSize {
		r.Emit(opened())
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(got) != 2*batchSize+1 {
		t.Fatalf("got %d events", len(got))
	}
	for i, sequence := range got {
		if sequence != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i, sequence)
		}
	}
}

func TestStoppingConsumerIsNotHeldByNewEvents(t *testing.T) {
	r := NewRecorder("n1", fixed, 2)
	r.Emit(opened())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batches := 0
	if err := r.Drain(ctx, func(batch []*chivev1.Envelope) error {
		batches += len(batch)
		r.Emit(opened()) // as fast as the consumer can take
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if batches > 2 {
		t.Errorf("delivered %d events that came while stopping", batches)
	}
}

func TestEmitNeverBlocksOnAStuckConsumer(t *testing.T) {
	r := NewRecorder("n1", fixed, 4)
	entered, release := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var once sync.Once
	go func() {
		done <- r.Drain(ctx, func([]*chivev1.Envelope) error {
			once.Do(func() { close(entered); <-release })
			return nil
		})
	}()
	r.Emit(opened())
	<-entered
	for range 100 {
		r.Emit(opened()) // would deadlock the test if it waited
	}
	if r.Dropped() != 96 {
		t.Errorf("dropped = %d, want all that the ring of 4 cannot hold", r.Dropped())
	}
	close(release)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestObserversSeeEverythingInOrder(t *testing.T) {
	r := NewRecorder("n1", fixed, 1)
	var seen []uint64
	cancel := r.Observe(func(e *chivev1.Envelope) { seen = append(seen, e.Sequence) })
	for range 3 {
		r.Emit(opened())
	}
	cancel()
	cancel()
	r.Emit(opened())
	if fmt.Sprint(seen) != "[1 2 3]" {
		t.Errorf("seen %v", seen)
	}
}

func TestObserversOrderUnderConcurrentEmission(t *testing.T) {
	r := NewRecorder("n1", fixed, 1)
	var seen []uint64
	defer r.Observe(func(e *chivev1.Envelope) { seen = append(seen, e.Sequence) })()
	var emitters sync.WaitGroup
	for range 8 {
		emitters.Go(func() {
			for range 100 {
				r.Emit(opened())
			}
		})
	}
	emitters.Wait()
	for i, sequence := range seen {
		if sequence != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i, sequence)
		}
	}
	if len(seen) != 800 {
		t.Errorf("seen %d", len(seen))
	}
}

func TestPanickingObserverIsRemovedAndReported(t *testing.T) {
	r := NewRecorder("n1", fixed, 8)
	r.Observe(func(*chivev1.Envelope) { panic("payload") })
	var seen []string
	r.Observe(func(e *chivev1.Envelope) { seen = append(seen, Name(e)) })
	r.Emit(opened())
	r.Emit(opened())
	if fmt.Sprint(seen) != "[circuit-opened actor-failed circuit-opened]" {
		t.Errorf("seen %v", seen)
	}
	reason := drainAll(t, r)[1].GetActorFailed().GetReason()
	if want := "event observer: panic(string) at recorder_test.go:"; len(reason) < len(want) || reason[:len(want)] != want {
		t.Errorf("reason = %q", reason)
	}
}

func BenchmarkEmit(b *testing.B) {
	r := NewRecorder("n1", time.Now, 4096)
	defer r.Observe(func(*chivev1.Envelope) {})()
	b.ReportAllocs()
	for b.Loop() {
		r.Emit(opened())
	}
}
