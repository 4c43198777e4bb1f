package fold

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

type event = func(id string) *chivev1.Envelope

func about[B messages.Body](kind chivev1.Kind, body B) event {
	return func(id string) *chivev1.Envelope { return messages.Event(kind, id, body) }
}

const (
	kConnection = chivev1.Kind_KIND_CONNECTION
	kCircuit    = chivev1.Kind_KIND_CIRCUIT
	kStream     = chivev1.Kind_KIND_STREAM
)

var (
	dialled  = about(kConnection, &chivev1.ConnectionDialled{Attempt: 1})
	dialled2 = about(kConnection, &chivev1.ConnectionDialled{Attempt: 2})
	kOpened  = about(kConnection, &chivev1.ConnectionOpened{})
	kFailed  = about(kConnection, &chivev1.ConnectionFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
	kClosed  = about(kConnection, &chivev1.ConnectionClosed{Outcome: chivev1.Outcome_OUTCOME_IDLE})

	launched    = about(kCircuit, &chivev1.CircuitLaunched{Hops: 2, ConnectionId: "k"})
	hop1        = about(kCircuit, &chivev1.CircuitExtended{Hop: 1})
	hop2        = about(kCircuit, &chivev1.CircuitExtended{Hop: 2})
	hop3        = about(kCircuit, &chivev1.CircuitExtended{Hop: 3})
	opened      = about(kCircuit, &chivev1.CircuitOpened{Hops: 2})
	dirtied     = about(kCircuit, &chivev1.CircuitDirtied{Isolation: "i"})
	stem        = about(kCircuit, &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_ONION_STEM, Hops: 2, ConnectionId: "k"})
	taken       = about(kCircuit, &chivev1.CircuitAssigned{Purpose: chivev1.Purpose_PURPOSE_RENDEZVOUS, Hops: 2})
	longer      = about(kCircuit, &chivev1.CircuitAssigned{Purpose: chivev1.Purpose_PURPOSE_INTRODUCTION, Hops: 3})
	opened3     = about(kCircuit, &chivev1.CircuitOpened{Hops: 3})
	cFailed     = about(kCircuit, &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	cClosed     = about(kCircuit, &chivev1.CircuitClosed{Outcome: chivev1.Outcome_OUTCOME_IDLE})
	setLaunched = about(kCircuit, &chivev1.CircuitSetLaunched{Legs: 2})
	legLinked   = about(kCircuit, &chivev1.CircuitLegLinked{CircuitId: "l"})
	setLinked   = about(kCircuit, &chivev1.CircuitSetLinked{Legs: 2})
	legLost     = about(kCircuit, &chivev1.CircuitLegLost{CircuitId: "l", Linked: true})
	unlinked    = about(kCircuit, &chivev1.CircuitLegLost{CircuitId: "l"})
	panicked    = about(kCircuit, &chivev1.ActorFailed{})
	requested   = about(kStream, &chivev1.StreamRequested{Isolation: "i"})
	attached    = about(kStream, &chivev1.StreamAttached{CircuitId: "c", Attempt: 1})
	attached2   = about(kStream, &chivev1.StreamAttached{CircuitId: "d", Attempt: 2})
	nowhere     = about(kStream, &chivev1.StreamAttached{Attempt: 3})
	connected   = about(kStream, &chivev1.StreamConnected{})
	detached    = about(kStream, &chivev1.StreamDetached{CircuitId: "c"})
	ended       = about(kStream, &chivev1.StreamEnded{Outcome: chivev1.Outcome_OUTCOME_OK})
)

type folded interface {
	Apply(*chivev1.Envelope) error
	Ended() bool
}

func TestTransitions(t *testing.T) {
	tests := []struct {
		name   string
		events []event
		state  string // at the end
		last   string // what the error for the last event says; "" if it is legal
	}{
		{"connection used", []event{dialled, kOpened, kClosed}, "closed", ""},
		{"connection failed", []event{dialled, kFailed}, "failed", ""},
		{"connection dialled again", []event{dialled, kFailed, dialled2}, "dialled", ""},
		{"the same attempt again", []event{dialled, kFailed, dialled}, "failed", "does not count up"},
		{"opened undialled", []event{kOpened}, "none", "connection-opened in state none"},
		{"failed after opened", []event{dialled, kOpened, kFailed}, "open", "connection-failed in state open"},
		{"closed before opened", []event{dialled, kClosed}, "dialled", "connection-closed"},
		{"dialled after closed", []event{dialled, kOpened, kClosed, dialled2}, "closed", "connection-dialled"},

		{"circuit used", []event{launched, hop1, hop2, opened, dirtied, cClosed}, "closed", ""},
		{"circuit failed", []event{launched, hop1, cFailed}, "failed", ""},
		{"circuit's actor failed", []event{launched, panicked, cFailed, panicked}, "failed", ""},
		{"launched twice", []event{launched, launched}, "building", "circuit-launched in state building"},
		{"hop skipped", []event{launched, hop2}, "building", "to hop 2 after 0 of 2"},
		{"hop repeated", []event{launched, hop1, hop1}, "building", "to hop 1 after 1"},
		{"too many hops", []event{launched, hop1, hop2, hop3}, "building", "to hop 3 after 2 of 2"},
		{"opened half way", []event{launched, hop1, opened}, "building", "1 of 2 reached"},
		{"failed after opened", []event{launched, hop1, hop2, opened, cFailed}, "open", "circuit-failed in state open"},
		{"closed before opened", []event{launched, cClosed}, "building", "circuit-closed"},
		{"dirtied twice", []event{launched, hop1, hop2, opened, dirtied, dirtied}, "open", "once"},
		{"dirtied while building", []event{launched, dirtied}, "building", "while open"},
		{"extended after closed", []event{launched, hop1, hop2, opened, cClosed, hop1}, "closed", "circuit-extended in state closed"},

		{"built ahead", []event{stem, hop1, hop2, opened, taken, dirtied, cClosed}, "closed", ""},
		{"built ahead and extended", []event{stem, hop1, hop2, opened, longer, hop3, opened3, cClosed}, "closed", ""},
		{"built ahead and not extended", []event{stem, hop1, hop2, opened, longer, cFailed}, "failed", ""},
		{"extended, and it failed", []event{stem, hop1, hop2, opened, longer, dirtied}, "building", "while open"},
		{"assigned twice", []event{stem, hop1, hop2, opened, taken, taken}, "open", "assigned once"},
		{"assigned while building", []event{stem, hop1, taken}, "building", "assigned once"},
		{"assigned that was not built ahead", []event{launched, hop1, hop2, opened, taken}, "open", "assigned once"},
		{"assigned with fewer hops", []event{stem, hop1, hop2, opened, about(kCircuit, &chivev1.CircuitAssigned{Hops: 1})}, "open", "1 hops, and it had 2"},

		{"set used", []event{setLaunched, unlinked, legLinked, legLinked, setLinked, dirtied, legLost, cClosed}, "closed", ""},
		{"set without a leg", []event{setLaunched, legLinked, legLost, unlinked, cFailed}, "failed", ""},
		{"set launched twice", []event{setLaunched, setLaunched}, "building", "circuit-set-launched in state building"},
		{"set of one leg", []event{about(kCircuit, &chivev1.CircuitSetLaunched{Legs: 1})}, "none", "of 1 legs"},
		{"linked too early", []event{setLaunched, legLinked, setLinked}, "building", "1 of 2 linked"},
		{"a leg too many", []event{setLaunched, legLinked, legLinked, legLinked}, "building", "2 legs of 2"},
		{"a leg later", []event{setLaunched, legLinked, legLinked, setLinked, legLost, legLinked}, "open", "1 legs of 2"},
		{"a leg lost that was not linked", []event{setLaunched, legLost}, "building", "0 legs of 2"},
		{"a leg lost after the end", []event{setLaunched, cFailed, unlinked}, "failed", "circuit-leg-lost in state failed"},
		{"a leg of what is no set", []event{launched, legLinked}, "building", "0 legs of 0"},
		{"a set that opens as a circuit", []event{setLaunched, opened}, "building", "with 2 hops"},

		{"stream used", []event{requested, attached, connected, ended}, "ended", ""},
		{"stream never attached", []event{requested, ended}, "ended", ""},
		{"stream moved", []event{requested, attached, detached, attached2, connected, ended}, "ended", ""},
		{"stream detached after connected", []event{requested, attached, connected, detached}, "waiting", ""},
		{"attached twice", []event{requested, attached, attached2}, "attached", "stream-attached in state attached"},
		{"attached to nothing", []event{requested, nowhere}, "waiting", "no circuit"},
		{"attempt repeated", []event{requested, attached, detached, attached}, "waiting", "count up"},
		{"connected unattached", []event{requested, connected}, "waiting", "stream-connected"},
		{"detached from another", []event{requested, attached, detached, attached2, detached}, "attached", "from circuit c, it is on d"},
		{"ended twice", []event{requested, ended, ended}, "ended", "stream-ended in state ended"},
		{"ended unrequested", []event{ended}, "none", "stream-ended in state none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var connection Connection
			var circuit Circuit
			var stream Stream
			var err error
			state := func() string {
				switch tt.events[0]("x").GetKind() {
				case kConnection:
					return connection.State.String()
				case kCircuit:
					return circuit.State.String()
				default:
					return stream.State.String()
				}
			}
			for i, next := range tt.events {
				e := next("x")
				target := map[chivev1.Kind]folded{kConnection: &connection, kCircuit: &circuit, kStream: &stream}[e.GetKind()]
				if err = target.Apply(e); err != nil && i < len(tt.events)-1 {
					t.Fatalf("event %d: %v", i, err)
				}
				if gone := state() == "failed" || state() == "closed" || state() == "ended"; target.Ended() != gone {
					t.Errorf("state %s, Ended %v", state(), target.Ended())
				}
			}
			if state() != tt.state {
				t.Errorf("state %s, want %s", state(), tt.state)
			}
			var transition *TransitionError
			switch {
			case tt.last == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.last != "" && (!errors.As(err, &transition) || !strings.Contains(err.Error(), tt.last)):
				t.Errorf("err = %v, want one with %q", err, tt.last)
			}
		})
	}
}

func TestForeignEventsAreRefused(t *testing.T) {
	for name, e := range map[string]*chivev1.Envelope{
		"another circuit": hop1("y"), "no id": hop1(""), "another kind": attached("x"),
		"a foreign event of the kind": messages.Event(kCircuit, "x", &chivev1.StreamEnded{}), "no event": {Kind: kCircuit, ActorId: "x"},
	} {
		var c Circuit
		if err := c.Apply(launched("x")); err != nil {
			t.Fatal(err)
		}
		before := c
		if err := c.Apply(e); err == nil || c != before {
			t.Errorf("%s: err %v, state %+v", name, err, c)
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	r := messages.NewRecorder("n", func() time.Time { return time.Unix(5, 0) }, 1)
	var c Circuit
	for _, next := range []event{launched, hop1, hop2, opened, dirtied, cClosed} {
		e := next("x")
		r.Emit(e)
		if err := c.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	want := Circuit{
		ID: "x", State: CircuitClosed, Connection: "k", Hops: 2, Reached: 2, Dirty: true, Isolation: "i",
		Since: time.Unix(5, 0).UTC(), Outcome: chivev1.Outcome_OUTCOME_IDLE,
	}
	if c != want {
		t.Errorf("folded %+v\nwant %+v", c, want)
	}
}
