package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"chive/messages"
)

func laneOptions() messages.JournalLaneOptions {
	return messages.JournalLaneOptions{Aggregate: "guards", Snapshot: func() (messages.JournalEvent, error) { return event("all", "state"), nil }}
}

func ignore(messages.JournalEntry) error { return nil }

func openLane(t *testing.T, j *Journal, o messages.JournalLaneOptions) messages.JournalLane {
	t.Helper()
	l, err := j.OpenLane(testContext(t), o, ignore)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func record1(t *testing.T, l messages.JournalLane, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := l.Record(event("said", text)); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, l messages.JournalLane) {
	t.Helper()
	if err := l.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestALaneWritesInOrder(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	l := openLane(t, j, laneOptions())
	var want []string
	for i := range 200 {
		record1(t, l, fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	flush(t, l)
	if l.Durable() != 200 || l.Recorded() != 200 {
		t.Errorf("durable %d, recorded %d", l.Durable(), l.Recorded())
	}
	wantFold(t, fold(t, j.Load, "guards"), want...)
	j.Close()
	j = open(t, Options{Dir: dir})
	wantFold(t, fold(t, j.Load, "guards"), want...)
	l2 := openLane(t, j, laneOptions())
	record1(t, l2, "more")
	flush(t, l2)
	wantFold(t, fold(t, j.Load, "guards"), append(want, "more")...)
	if err := l.Record(event("said", "x")); !errors.Is(err, messages.ErrJournalClosed) {
		t.Errorf("a lane of a closed journal: %v", err)
	}
}

func TestALaneNeverWaitsForTheDisk(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	state := "none"
	o := laneOptions()
	o.Queue = 4
	o.Snapshot = func() (messages.JournalEvent, error) { return event("all", state), nil }
	l := openLane(t, j, o)
	<-j.turn // the disk is busy
	for i := range 20 {
		state = fmt.Sprint("up to ", i)
		record1(t, l, fmt.Sprint(i))
	}
	if l.Recorded() != 20 || l.Durable() != 0 {
		t.Errorf("recorded %d, durable %d", l.Recorded(), l.Durable())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush: %v", err)
	}
	j.give()
	flush(t, l)
	if l.Durable() != 20 {
		t.Errorf("durable %d", l.Durable())
	}
	// However the queue and what was in flight met, the fold is that of all 20.
	got := fold(t, j.Load, "guards")
	if len(got) == 0 || !strings.HasPrefix(got[0], "=up to ") {
		t.Fatalf("got %q", got)
	}
	var first int
	if _, err := fmt.Sscanf(got[0], "=up to %d", &first); err != nil {
		t.Fatal(err)
	}
	for i, text := range got[1:] {
		if text != fmt.Sprint(first+1+i) {
			t.Errorf("%q after the state of %d", got[1:], first)
		}
	}
	if first+len(got) != 20 {
		t.Errorf("got %q", got)
	}
	var lost uint64
	if _, err := j.History(testContext(t), "guards", nil, func(e messages.JournalEntry) error { lost += e.Lost; return nil }); err != nil || lost == 0 {
		t.Errorf("%d events stood for by states, %v", lost, err)
	}
}

func TestALaneWritesStates(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), Keep: 4})
	n := 0
	o := laneOptions()
	o.Every = 10
	o.Snapshot = func() (messages.JournalEvent, error) { return event("all", fmt.Sprint("state ", n)), nil }
	l := openLane(t, j, o)
	for i := range 25 {
		n++
		record1(t, l, fmt.Sprint(i))
		flush(t, l)
	}
	wantFold(t, fold(t, j.Load, "guards"), "=state 20", "20", "21", "22", "23", "24")
	wantFold(t, fold(t, j.History, "guards"), "16", "17", "18", "19", "=state 20", "20", "21", "22", "23", "24")
}

func TestOneLaneAnAggregate(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	first := openLane(t, j, laneOptions())
	record1(t, first, "a")
	flush(t, first)
	second := openLane(t, j, laneOptions())
	if err := first.Record(event("said", "b")); !errors.Is(err, messages.ErrJournalClosed) {
		t.Errorf("the first lane: %v", err)
	}
	record1(t, second, "c")
	flush(t, second)
	wantFold(t, fold(t, j.Load, "guards"), "a", "c")
	second.Close()
	second.Close()
	if err := second.Flush(testContext(t)); err != nil {
		t.Errorf("flush of a closed lane that had written all: %v", err)
	}
}

func TestALaneEndsWhenSomebodyElseWrites(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	l := openLane(t, j, laneOptions())
	appendText1(t, j, "guards", 0, "other")
	record1(t, l, "mine")
	if err := l.Flush(testContext(t)); !errors.Is(err, messages.ErrJournalConflict) {
		t.Errorf("flush: %v", err)
	}
	if err := l.Record(event("said", "x")); !errors.Is(err, messages.ErrJournalConflict) {
		t.Errorf("record: %v", err)
	}
	wantFold(t, fold(t, j.Load, "guards"), "other")
}

func TestLaneRefusals(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	if _, err := j.OpenLane(testContext(t), messages.JournalLaneOptions{Aggregate: "guards"}, ignore); !errors.Is(err, messages.ErrJournalInvalid) {
		t.Errorf("no snapshot: %v", err)
	}
	o := laneOptions()
	broken := errors.New("broken")
	o.Queue = 1
	o.Snapshot = func() (messages.JournalEvent, error) { return messages.JournalEvent{}, broken }
	l := openLane(t, j, o)
	if err := l.Record(messages.JournalEvent{Kind: "no version"}); !errors.Is(err, messages.ErrJournalInvalid) {
		t.Errorf("bad event: %v", err)
	}
	if err := l.Record(event("said", "a"), event("said", "b")); !errors.Is(err, messages.ErrJournalFull) || !errors.Is(err, broken) {
		t.Errorf("more than the queue takes, and no state: %v", err)
	}
	record1(t, l, "c")
	flush(t, l)
	wantFold(t, fold(t, j.Load, "guards"), "c")
	appendText1(t, j, "other", 0, "a")
	stop := errors.New("stop")
	o.Aggregate = "other"
	if _, err := j.OpenLane(testContext(t), o, func(messages.JournalEntry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("apply's error: %v", err)
	}
}
