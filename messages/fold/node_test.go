package fold

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"chive/messages"
	"chive/messages/chivev1"
)

var outcomes = []chivev1.Outcome{
	chivev1.Outcome_OUTCOME_OK, chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_CONNECT_REFUSED, chivev1.Outcome_OUTCOME_DESTROYED,
}

// lifeOf draws the whole life of one actor, or its beginning, in order.
func lifeOf(t *rapid.T, i int) []*chivev1.Envelope {
	id := fmt.Sprintf("a%d", i)
	outcome := func() chivev1.Outcome { return rapid.SampledFrom(outcomes).Draw(t, "outcome") }
	took := func() *durationpb.Duration {
		return durationpb.New(time.Duration(rapid.IntRange(0, 900).Draw(t, "took")) * 10 * time.Millisecond)
	}
	relay := func(e *chivev1.Envelope) *chivev1.Envelope {
		return messages.Because(e, "", fmt.Sprintf("r%d", i%3))
	}
	var life []*chivev1.Envelope
	add := func(e *chivev1.Envelope) { life = append(life, e) }
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		add(relay(messages.Event(kConnection, id, &chivev1.ConnectionDialled{Attempt: 1})))
		if rapid.Bool().Draw(t, "opens") {
			add(relay(messages.Event(kConnection, id, &chivev1.ConnectionOpened{Took: took(), LinkVersion: 5})))
			add(relay(messages.Event(kConnection, id, &chivev1.ConnectionClosed{Outcome: outcome(), Circuits: 2})))
		} else {
			add(relay(messages.Event(kConnection, id, &chivev1.ConnectionFailed{Outcome: outcome(), Took: took()})))
		}
	case 1:
		add(messages.Event(kCircuit, id, &chivev1.CircuitLaunched{Hops: 2, ConnectionId: "a0", Purpose: chivev1.Purpose_PURPOSE_GENERAL}))
		add(messages.Event(kCircuit, id, &chivev1.CircuitExtended{Hop: 1}))
		if rapid.Bool().Draw(t, "opens") {
			add(messages.Event(kCircuit, id, &chivev1.CircuitExtended{Hop: 2}))
			add(messages.Event(kCircuit, id, &chivev1.CircuitOpened{Hops: 2, Took: took()}))
			add(messages.Event(kCircuit, id, &chivev1.CircuitDirtied{Isolation: "i"}))
			add(messages.Event(kCircuit, id, &chivev1.ActorFailed{}))
			add(messages.Event(kCircuit, id, &chivev1.CircuitClosed{Outcome: outcome(), Streams: 3, CellsIn: 9}))
		} else {
			add(messages.Event(kCircuit, id, &chivev1.CircuitFailed{Outcome: outcome(), Hop: 2, Took: took()}))
		}
	case 2:
		add(messages.Event(kStream, id, &chivev1.StreamRequested{Isolation: "i", ListenerId: "l"}))
		for attempt := range rapid.IntRange(0, 2).Draw(t, "attempts") {
			circuit := fmt.Sprintf("a%d", attempt)
			add(messages.Event(kStream, id, &chivev1.StreamAttached{CircuitId: circuit, Attempt: uint32(attempt + 1)}))
			add(messages.Event(kStream, id, &chivev1.StreamDetached{CircuitId: circuit, Outcome: outcome()}))
		}
		add(messages.Event(kStream, id, &chivev1.StreamAttached{CircuitId: "a1", Attempt: 9}))
		add(messages.Event(kStream, id, &chivev1.StreamConnected{Took: took()}))
		add(messages.Event(kStream, id, &chivev1.StreamEnded{Outcome: outcome(), BytesIn: 1024}))
	case 3:
		guard := chivev1.Kind_KIND_GUARD
		add(messages.Event(guard, fmt.Sprintf("r%d", i%3+10*i), &chivev1.GuardSampled{}))
		add(messages.Event(guard, fmt.Sprintf("r%d", i%3+10*i), &chivev1.GuardUnreachable{Outcome: outcome()}))
		add(messages.Event(guard, fmt.Sprintf("r%d", i%3+10*i), &chivev1.GuardReachable{}))
	case 4:
		supervisor := chivev1.Kind_KIND_SUPERVISOR
		add(relay(messages.Event(supervisor, id, &chivev1.SupervisorStateChanged{Child: "connection/a0", State: "backoff", Attempt: 1, Delay: took()})))
		add(relay(messages.Event(supervisor, id, &chivev1.BreakerOpened{Child: "connection/a0", RetryAfter: took(), Outcome: outcome()})))
		add(relay(messages.Event(supervisor, id, &chivev1.RetriesExhausted{Child: "connection/a0", Outcome: outcome()})))
		add(relay(messages.Event(supervisor, id, &chivev1.BreakerHalfOpened{})))
		add(relay(messages.Event(supervisor, id, &chivev1.BreakerClosed{})))
	case 5:
		add(messages.Event(chivev1.Kind_KIND_LISTENER, id, &chivev1.ListenerOpened{Protocol: "socks5", Loopback: true}))
		add(messages.Event(chivev1.Kind_KIND_LISTENER, id, &chivev1.ListenerClosed{}))
	}
	// The beginning may be lost, and the end still to come.
	from := rapid.IntRange(0, 1).Draw(t, "from")
	return life[from:rapid.IntRange(from, len(life)).Draw(t, "to")]
}

// interleave merges the lives in a drawn order that keeps each one's own.
func interleave(t *rapid.T, lives [][]*chivev1.Envelope) []*chivev1.Envelope {
	left := slices.Clone(lives)
	var out []*chivev1.Envelope
	for {
		left = slices.DeleteFunc(left, func(l []*chivev1.Envelope) bool { return len(l) == 0 })
		if len(left) == 0 {
			return out
		}
		i := rapid.IntRange(0, len(left)-1).Draw(t, "next")
		out = append(out, left[i][0])
		left[i] = left[i][1:]
	}
}

func drawLives(t *rapid.T) [][]*chivev1.Envelope {
	lives := make([][]*chivev1.Envelope, rapid.IntRange(1, 12).Draw(t, "actors"))
	second := 0
	for i := range lives {
		lives[i] = lifeOf(t, i)
		for _, e := range lives[i] {
			second++
			e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: int64(second)}, uint64(second)
		}
	}
	return lives
}

func folding(events []*chivev1.Envelope, retain int, into *Node) string {
	into.Retain = retain
	for _, e := range events {
		into.Apply(e)
	}
	into.Trim()
	text, err := json.Marshal(into)
	if err != nil {
		panic(err)
	}
	views, err := json.Marshal([]any{into.CircuitViews(true), into.StreamViews(true), into.ConnectionViews(true), into.GuardViews(), into.Tally(), into.Trouble()})
	if err != nil {
		panic(err)
	}
	return string(text) + string(views)
}

// Folding a snapshot and the rest gives what folding all gives.
func TestSnapshotsAreWholeStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := interleave(t, drawLives(t))
		retain := rapid.IntRange(1, 4).Draw(t, "retain")
		want := folding(events, retain, &Node{})
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		first := &Node{}
		folding(events[:cut], retain, first)
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second := &Node{}
		if err := json.Unmarshal(text, second); err != nil {
			t.Fatal(err)
		}
		if got := folding(events[cut:], retain, second); got != want {
			t.Fatalf("cut at %d of %d:\n%s\nwant\n%s", cut, len(events), got, want)
		}
	})
}

// The order of events about different actors does not matter.
func TestOrderMattersWithinAnActorOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lives := drawLives(t)
		retain := rapid.IntRange(1, 4).Draw(t, "retain")
		one := folding(interleave(t, lives), retain, &Node{})
		if other := folding(interleave(t, lives), retain, &Node{}); one != other {
			t.Fatalf("%s\nand\n%s", one, other)
		}
	})
}

// What is remembered is bounded, and it is the latest.
func TestTheOldestEndedAreForgotten(t *testing.T) {
	n := &Node{Retain: 3}
	for i := range 100 {
		for _, e := range []*chivev1.Envelope{requested(fmt.Sprintf("s%02d", i)), ended(fmt.Sprintf("s%02d", i))} {
			e.Time = &timestamppb.Timestamp{Seconds: int64(i)}
			n.Apply(e)
		}
		if len(n.Streams) > 2*3 {
			t.Fatalf("%d streams are remembered", len(n.Streams))
		}
	}
	n.Apply(requested("open"))
	n.Trim()
	var ids []string
	for _, s := range n.StreamViews(true) {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	if want := []string{"open", "s97", "s98", "s99"}; !slices.Equal(ids, want) {
		t.Errorf("remembered %v, want %v", ids, want)
	}
	if got := n.StreamEnds["ok"]; got != 100 {
		t.Errorf("%d streams ended, want 100", got)
	}
}
