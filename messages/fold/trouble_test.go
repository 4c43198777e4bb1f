package fold

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
)

// What keeps a node from the network, by what happened a second after the other.
func TestTrouble(t *testing.T) {
	const (
		refused   = chivev1.Outcome_OUTCOME_CONNECT_REFUSED
		lost      = chivev1.Outcome_OUTCOME_CONNECTION_LOST
		slow      = chivev1.Outcome_OUTCOME_TIMEOUT
		cancelled = chivev1.Outcome_OUTCOME_CANCELLED
		machines  = chivev1.Outcome_OUTCOME_MACHINE_FAILED
		general   = chivev1.Purpose_PURPOSE_GENERAL
	)
	ids := 0
	var log []*chivev1.Envelope
	add := func(events ...*chivev1.Envelope) { log = append(log, events...) }
	to := func(relay string, e *chivev1.Envelope) *chivev1.Envelope { return messages.Because(e, "", relay) }
	dials := func(relay string) string {
		ids++
		id := fmt.Sprint("k", ids)
		add(to(relay, messages.Event(kConnection, id, &chivev1.ConnectionDialled{Attempt: 1})))
		return id
	}
	opens := func(relay string) (id string) {
		id = dials(relay)
		add(messages.Event(kConnection, id, &chivev1.ConnectionOpened{LinkVersion: 5}))
		return id
	}
	closes := func(id string, why chivev1.Outcome) {
		add(messages.Event(kConnection, id, &chivev1.ConnectionClosed{Outcome: why}))
	}
	fails := func(why chivev1.Outcome, relays ...string) {
		for _, relay := range relays {
			add(messages.Event(kConnection, dials(relay), &chivev1.ConnectionFailed{Outcome: why}))
		}
	}
	guards := func(names ...string) {
		for _, name := range names {
			add(messages.Event(kGuard, name, &chivev1.GuardSampled{}))
		}
	}
	circuit := func(purpose chivev1.Purpose, hops uint32, ends ...func(id string)) {
		ids++
		id := fmt.Sprint("c", ids)
		add(messages.Event(kCircuit, id, &chivev1.CircuitLaunched{Purpose: purpose, Hops: hops, ConnectionId: "k"}))
		for _, end := range ends {
			end(id)
		}
	}
	open := func(hops uint32) func(string) {
		return func(id string) { add(messages.Event(kCircuit, id, &chivev1.CircuitOpened{Hops: hops})) }
	}
	fail := func(id string) { add(messages.Event(kCircuit, id, &chivev1.CircuitFailed{Outcome: slow, Hop: 2})) }
	gone := func(id string) { add(messages.Event(kCircuit, id, &chivev1.CircuitClosed{Outcome: lost})) }
	times := func(n int, f func()) {
		for range n {
			f()
		}
	}

	for _, tt := range []struct {
		name string
		does func()
		what string // the trouble; "": none
		at   int    // since the nth event
		why  chivev1.Outcome
	}{
		{name: "nothing has happened", does: func() {}},
		{name: "this machine fails", does: func() { guards("g"); fails(machines, "g", "g", "g") }, what: NoGuard, at: 1, why: machines},
		{name: "two directories are away", does: func() { fails(refused, "a", "b") }},
		{name: "three directories are away", does: func() { fails(refused, "a", "b"); fails(slow, "c") }, what: NoRelay, at: 1, why: slow},
		{name: "then one answers", does: func() { fails(refused, "a", "b", "c"); opens("d") }},
		{
			name: "a directory answers and no guard does",
			does: func() { opens("d"); guards("g", "h"); fails(refused, "g", "h", "g") }, what: NoGuard, at: 1, why: refused,
		},
		{
			name: "every connection is lost",
			does: func() {
				guards("g", "h")
				k := opens("g")
				closes(k, lost)
				fails(refused, "g", "h", "g")
			}, what: NoGuard, at: 6, why: refused,
		},
		{name: "lost, and not tried yet", does: func() { guards("g", "h"); closes(opens("g"), lost); fails(refused, "g", "h") }},
		{name: "one guard is away, another is there", does: func() { guards("g", "h"); opens("h"); fails(refused, "g", "g", "g", "g") }},
		{name: "what came to nothing by ourselves", does: func() { guards("g"); fails(cancelled, "g", "g", "g", "g") }},
		{
			name: "idle, after failures that are over",
			does: func() { guards("g"); fails(refused, "g", "g", "g"); closes(opens("g"), chivev1.Outcome_OUTCOME_IDLE) },
		},
		{
			name: "no circuit opens",
			does: func() { guards("g"); opens("g"); times(6, func() { circuit(general, 3, fail) }) }, what: NoCircuit, at: 1, why: slow,
		},
		{
			name: "no more circuits open",
			does: func() {
				guards("g")
				opens("g")
				circuit(general, 3, open(3), gone)
				times(6, func() { circuit(general, 3, fail) })
			}, what: NoCircuit, at: 7, why: slow,
		},
		{
			name: "one that was open is enough",
			does: func() {
				guards("g")
				opens("g")
				circuit(general, 3, open(3))
				times(20, func() { circuit(general, 3, fail) })
			},
		},
		{
			name: "for a directory there is one hop",
			does: func() {
				guards("g")
				opens("g")
				circuit(chivev1.Purpose_PURPOSE_DIRECTORY, 1, open(1))
				times(6, func() { circuit(general, 3, fail) })
			}, what: NoCircuit, at: 1, why: slow,
		},
		{
			name: "to where others want them",
			does: func() {
				guards("g")
				opens("g")
				times(20, func() { circuit(chivev1.Purpose_PURPOSE_INTRODUCTION, 4, fail) })
			},
		},
		{
			name: "many at once, with their guard",
			does: func() {
				guards("g")
				opens("g")
				circuit(general, 3, open(3), gone)
				guards("h", "i", "j", "k", "l", "m", "n", "o", "p", "q") // time goes by
				times(5, func() { circuit(general, 3, fail) })
			},
		},
	} {
		log, ids = []*chivev1.Envelope{messages.Event(kNode, "n", &chivev1.NodeStarted{})}, 0
		tt.does()
		n := &Node{}
		for i, e := range log {
			e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: int64(i + 1)}, uint64(i+1)
			n.Apply(e)
		}
		if got := n.Trouble(); got != nil && (got.Text() == "this machine cannot make connections") != (got.Outcome == machines) {
			t.Errorf("%s: %s", tt.name, got.Text())
		}
		switch got := n.Trouble(); {
		case got == nil && tt.what == "":
		case got == nil || tt.what == "":
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.what)
		case got.What != tt.what || !got.Since.Equal(at(int64(tt.at))) || got.Outcome != tt.why:
			t.Errorf("%s: %+v since %d, want %s since %d for %v", tt.name, got, got.Since.Unix(), tt.what, tt.at, tt.why)
		}
	}
}

// What is forgotten of a long outage does not change since when it is one.
func TestLongTrouble(t *testing.T) {
	n, second := &Node{Retain: 4}, int64(0)
	tell := func(e *chivev1.Envelope) {
		second++
		e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: second}, uint64(second)
		n.Apply(messages.Because(e, "", "g"))
	}
	tell(messages.Event(kGuard, "g", &chivev1.GuardSampled{}))
	tell(messages.Event(kConnection, "k", &chivev1.ConnectionDialled{Attempt: 1}))
	tell(messages.Event(kConnection, "k", &chivev1.ConnectionOpened{LinkVersion: 5}))
	tell(messages.Event(kConnection, "k", &chivev1.ConnectionClosed{Outcome: chivev1.Outcome_OUTCOME_CONNECTION_LOST}))
	for i := range 100 {
		tell(messages.Event(kConnection, fmt.Sprint(i), &chivev1.ConnectionDialled{Attempt: 1}))
		tell(messages.Event(kConnection, fmt.Sprint(i), &chivev1.ConnectionFailed{Outcome: chivev1.Outcome_OUTCOME_CONNECT_REFUSED}))
	}
	if n.Connections["k"] != nil {
		t.Fatal("nothing was forgotten")
	}
	if got := n.Trouble(); got == nil || got.What != NoGuard || !got.Since.Equal(at(4)) {
		t.Errorf("%+v", got)
	}
}

// A clock that is set back by an hour keeps no trouble from being told: none since the first
// failure, as the clock has it now.
func TestTroubleOfAClockThatWasSetBack(t *testing.T) {
	for _, tt := range []struct {
		what  string
		works func(id string) []*chivev1.Envelope
		fails func(id string) []*chivev1.Envelope
	}{
		{NoGuard, func(id string) []*chivev1.Envelope {
			return []*chivev1.Envelope{
				messages.Event(kConnection, id, &chivev1.ConnectionDialled{Attempt: 1}),
				messages.Event(kConnection, id, &chivev1.ConnectionOpened{LinkVersion: 5}),
				messages.Event(kConnection, id, &chivev1.ConnectionClosed{Outcome: chivev1.Outcome_OUTCOME_CONNECTION_LOST}),
			}
		}, func(id string) []*chivev1.Envelope {
			return []*chivev1.Envelope{
				messages.Event(kConnection, id, &chivev1.ConnectionDialled{Attempt: 1}),
				messages.Event(kConnection, id, &chivev1.ConnectionFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}),
			}
		}},
		{NoCircuit, func(id string) []*chivev1.Envelope {
			return []*chivev1.Envelope{launched(id), hop1(id), hop2(id), opened(id), cClosed(id)}
		}, func(id string) []*chivev1.Envelope {
			failed := messages.Event(kCircuit, id, &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
			general := messages.Event(kCircuit, id, &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_GENERAL, Hops: 3, ConnectionId: "k"})
			return []*chivev1.Envelope{general, failed}
		}},
	} {
		n, second, number := &Node{}, int64(10_000), uint64(0)
		tell := func(all []*chivev1.Envelope) {
			for _, e := range all {
				second++
				number++
				e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: second}, number
				n.Apply(messages.Because(e, "", "g"))
			}
		}
		tell([]*chivev1.Envelope{messages.Event(kNode, "n", &chivev1.NodeStarted{}), messages.Event(kGuard, "g", &chivev1.GuardSampled{})})
		tell(tt.works("w"))
		second -= 3600
		since := second + 2
		for i := range 12 {
			tell(tt.fails(fmt.Sprint("f", i)))
		}
		if got := n.Trouble(); got == nil || got.What != tt.what || !got.Since.Equal(at(since)) || got.Outcome != chivev1.Outcome_OUTCOME_TIMEOUT {
			t.Errorf("%s since %d: %+v", tt.what, since, got)
		}
		tell(tt.works("v"))
		if got := n.Trouble(); got != nil {
			t.Errorf("%s: it works again: %+v", tt.what, got)
		}
	}
}

// What failed since a clock was set back is newer than what ended before, and is not what is
// forgotten: the trouble lasts until something works, however often it is tried.
func TestTroubleLastsOnAClockThatWasSetBack(t *testing.T) {
	n, second, number := &Node{Retain: 8}, int64(10_000), uint64(0)
	tell := func(all ...*chivev1.Envelope) {
		for _, e := range all {
			second++
			number++
			e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: second}, number
			n.Apply(messages.Because(e, "", "g"))
		}
	}
	failed := func(id string) {
		tell(messages.Event(kConnection, id, &chivev1.ConnectionDialled{Attempt: 1}),
			messages.Event(kConnection, id, &chivev1.ConnectionFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}))
	}
	tell(messages.Event(kNode, "n", &chivev1.NodeStarted{}), messages.Event(kGuard, "g", &chivev1.GuardSampled{}))
	for i := range 8 {
		failed(fmt.Sprint("before", i))
	}
	tell(messages.Event(kConnection, "w", &chivev1.ConnectionDialled{Attempt: 1}),
		messages.Event(kConnection, "w", &chivev1.ConnectionOpened{LinkVersion: 5}),
		messages.Event(kConnection, "w", &chivev1.ConnectionClosed{Outcome: chivev1.Outcome_OUTCOME_CONNECTION_LOST}))
	second -= 3600
	for i := range 40 {
		failed(fmt.Sprint("after", i))
		if got := n.Trouble(); i >= connectionsInVain && (got == nil || got.What != NoGuard) {
			t.Fatalf("after %d failures: %+v", i+1, got)
		}
	}
	n.Trim()
	if got := n.Trouble(); got == nil || got.What != NoGuard {
		t.Errorf("in a snapshot: %+v", got)
	}
}

// A guard is what was found of it last, whatever the clock was set to meanwhile.
func TestGuardOfAClockThatWasSetBack(t *testing.T) {
	up := func() *chivev1.Envelope { return messages.Event(kGuard, "g", &chivev1.GuardReachable{}) }
	opened := func() *chivev1.Envelope { return messages.Event(kConnection, "k", &chivev1.ConnectionOpened{}) }
	down := func() *chivev1.Envelope {
		return messages.Event(kGuard, "g", &chivev1.GuardUnreachable{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
	}
	for want, tell := range map[string][]func() *chivev1.Envelope{
		"unreachable": {opened, up, down}, "reachable": {down, up}, "reachable since 2": {down, opened},
	} {
		n := &Node{}
		for i, event := range append([]func() *chivev1.Envelope{func() *chivev1.Envelope { return messages.Event(kGuard, "g", &chivev1.GuardSampled{}) }}, tell...) {
			e := event()
			e.Time, e.Sequence = &timestamppb.Timestamp{Seconds: int64(10_000 - 3600*i)}, uint64(i+1)
			n.Apply(messages.Because(e, "", "g"))
		}
		state, _, _ := strings.Cut(want, " ")
		if v := n.GuardViews(); len(v) != 1 || v[0].State != state || !v[0].Since.Equal(at(int64(10_000-3600*len(tell)))) {
			t.Errorf("%s: %+v", want, v)
		}
	}
}
