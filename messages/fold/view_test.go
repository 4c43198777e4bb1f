package fold

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
)

const (
	kGuard      = chivev1.Kind_KIND_GUARD
	kSupervisor = chivev1.Kind_KIND_SUPERVISOR
	kNode       = chivev1.Kind_KIND_NODE
)

func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

// told folds events, one a second from second 1 on.
func told(events ...*chivev1.Envelope) *Node {
	n := &Node{}
	for i, e := range events {
		e.Time = &timestamppb.Timestamp{Seconds: int64(i + 1)}
		n.Apply(e)
	}
	return n
}

func TestViewsJoinWhatBelongsTogether(t *testing.T) {
	general := chivev1.Purpose_PURPOSE_GENERAL
	relay := func(e *chivev1.Envelope) *chivev1.Envelope { return messages.Because(e, "", "g") }
	took := durationpb.New(120 * time.Millisecond)
	n := told(
		messages.Event(kGuard, "g", &chivev1.GuardSampled{}),                                                  // 1
		relay(messages.Event(kConnection, "k", &chivev1.ConnectionDialled{Purpose: general, Attempt: 1})),     // 2
		relay(messages.Event(kConnection, "k", &chivev1.ConnectionOpened{Took: took, LinkVersion: 5})),        // 3
		messages.Event(kCircuit, "c", &chivev1.CircuitLaunched{Purpose: general, Hops: 2, ConnectionId: "k"}), // 4
		hop1("c"), hop2("c"), // 5, 6
		messages.Event(kCircuit, "c", &chivev1.CircuitOpened{Hops: 2, Took: took}),                                // 7
		messages.Event(kStream, "s", &chivev1.StreamRequested{Purpose: general, Isolation: "i", ListenerId: "l"}), // 8
		dirtied("c"), attached("s"), // 9, 10
		messages.Event(kStream, "s", &chivev1.StreamConnected{Took: took}),                                                  // 11
		messages.Event(kCircuit, "d", &chivev1.CircuitLaunched{Purpose: general, Hops: 2, ConnectionId: "k"}),               // 12
		messages.Event(kCircuit, "d", &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Hop: 1, Took: took}), // 13
	)
	circuits := []CircuitView{
		{
			ID: "c", State: "open", Purpose: "general", Hops: 2, Reached: 2, Connection: "k", Relay: "g", Isolation: "i", Streams: 1,
			Launched: at(4), Opened: at(7), BuildMS: 120,
		},
		{
			ID: "d", State: "failed", Purpose: "general", Hops: 2, Connection: "k", Relay: "g",
			Launched: at(12), Ended: at(13), BuildMS: 120, FailedHop: 1, Outcome: "timeout",
		},
	}
	if got := n.CircuitViews(true); !reflect.DeepEqual(got, circuits) {
		t.Errorf("circuits %+v\nwant %+v", got, circuits)
	}
	if got := n.CircuitViews(false); !reflect.DeepEqual(got, circuits[:1]) {
		t.Errorf("circuits that are there: %+v", got)
	}
	streams := []StreamView{{
		ID: "s", State: "connected", Purpose: "general", Isolation: "i", Circuit: "c", Attempts: 1, Listener: "l",
		Requested: at(8), Connected: at(11), ConnectMS: 120,
	}}
	if got := n.StreamViews(false); !reflect.DeepEqual(got, streams) {
		t.Errorf("streams %+v\nwant %+v", got, streams)
	}
	connections := []ConnectionView{{
		ID: "k", State: "open", Purpose: "general", Attempt: 1, Relay: "g", Circuits: 1, Streams: 1,
		Dialled: at(2), Opened: at(3), TookMS: 120, LinkVersion: 5,
	}}
	if got := n.ConnectionViews(false); !reflect.DeepEqual(got, connections) {
		t.Errorf("connections %+v\nwant %+v", got, connections)
	}
	guards := []GuardView{{ID: "g", State: "reachable", Since: at(3), Connections: 1, Circuits: 1, LastReached: at(3)}}
	if got := n.GuardViews(); !reflect.DeepEqual(got, guards) {
		t.Errorf("guards %+v\nwant %+v", got, guards)
	}
	if got, want := n.Tally(), (Tally{Connections: 1, Circuits: 1, Streams: 1}); got != want {
		t.Errorf("tally %+v, want %+v", got, want)
	}
}

func TestGuardsFailAndComeBack(t *testing.T) {
	timeout := chivev1.Outcome_OUTCOME_TIMEOUT
	down := []*chivev1.Envelope{
		messages.Event(kGuard, "g", &chivev1.GuardReachable{}),                   // 1
		messages.Event(kGuard, "g", &chivev1.GuardUnreachable{Outcome: timeout}), // 2
		messages.Because(messages.Event(kSupervisor, "b", &chivev1.BreakerOpened{ // 3
			Child: "connection/k", RetryAfter: durationpb.New(time.Minute), Outcome: timeout,
		}), "", "g"),
	}
	got := told(down...).GuardViews()
	want := GuardView{
		ID: "g", State: "unreachable", Since: at(2), Failures: 1, Outcome: "timeout", Breaker: "open", RetryAfter: at(63),
		LastReached: at(1), LastFailed: at(2),
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("guards %+v\nwant %+v", got, want)
	}
	back := append(down,
		messages.Because(messages.Event(kConnection, "k2", &chivev1.ConnectionOpened{}), "", "g"), // 4
		messages.Event(kSupervisor, "b", &chivev1.BreakerClosed{}),                                // 5
	)
	got = told(back...).GuardViews()
	want = GuardView{ID: "g", State: "reachable", Since: at(4), Connections: 1, Failures: 1, LastReached: at(4), LastFailed: at(2)}
	if len(got) != 1 || got[0] != want {
		t.Errorf("guards %+v\nwant %+v", got, want)
	}
}

func TestWhatAStatusShows(t *testing.T) {
	n := told(
		messages.Event(kNode, "n", &chivev1.NodeStarted{Version: "v"}), // 1
		messages.Event(kNode, "n", &chivev1.BootstrapAdvanced{Phase: 3, Percent: 40, Summary: "later"}),
		messages.Event(kNode, "n", &chivev1.BootstrapAdvanced{Phase: 2, Percent: 10, Summary: "earlier"}),
		messages.Event(kNode, "n", &chivev1.EventsDropped{Count: 2, Total: 2}),
		messages.Event(chivev1.Kind_KIND_CONFIG, "configuration", &chivev1.ConfigApplied{Revision: 2, Mouth: "file", Options: "LogLevel"}), // 5
		messages.Event(chivev1.Kind_KIND_CONFIG, "configuration", &chivev1.ConfigRejected{Stage: "check", Reason: "no"}),                   // 6
		messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentVerified{
			Kind: chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS, ValidUntil: timestamppb.New(at(99)),
		}),
		requested("w"), launched("b"),
		messages.Event(kNode, "n", &chivev1.NodeStopping{}), // 10
	)
	want := &Node{
		Version: "v", Started: at(1), Stopped: at(10), Last: at(10), Events: 10, Dropped: 2, Phase: 3, Percent: 40, Summary: "later",
		ValidUntil: at(99), Config: Config{Revision: 2, Mouth: "file", Applied: at(5), Options: "LogLevel", Rejected: 1, Refused: at(6), Stage: "check", Reason: "no"},
	}
	if got, want := n.Tally(), (Tally{Building: 1, Waiting: 1}); got != want {
		t.Errorf("tally %+v, want %+v", got, want)
	}
	n.Circuits, n.Streams = nil, nil
	if !reflect.DeepEqual(n, want) {
		t.Errorf("folded %+v\nwant %+v", n, want)
	}
}

// A log whose beginning is gone still tells what it can.
func TestFromTheMiddle(t *testing.T) {
	n := told(hop2("c"), opened("c"), connected("s"), kOpened("k"), cClosed("gone"), panicked("unheard"), ended("over"))
	if got, want := n.Tally(), (Tally{Connections: 1, Circuits: 1, Streams: 1}); got != want {
		t.Errorf("tally %+v, want %+v", got, want)
	}
	all := n.CircuitViews(true)
	if len(all) != 2 || all[0].ID != "c" || all[0].State != "open" || all[1].ID != "gone" || all[1].Outcome != "idle" {
		t.Errorf("circuits %+v", all)
	}
	if n.CircuitEnds["idle"] != 1 || n.StreamEnds["ok"] != 1 {
		t.Errorf("ends %v, %v", n.CircuitEnds, n.StreamEnds)
	}
}
