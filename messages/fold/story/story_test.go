package story

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"chive/messages"
	"chive/messages/chivev1"
)

const (
	node       = chivev1.Kind_KIND_NODE
	connection = chivev1.Kind_KIND_CONNECTION
	circuit    = chivev1.Kind_KIND_CIRCUIT
	stream     = chivev1.Kind_KIND_STREAM
	guard      = chivev1.Kind_KIND_GUARD
	supervisor = chivev1.Kind_KIND_SUPERVISOR
	general    = chivev1.Purpose_PURPOSE_GENERAL
)

// script makes a log: events a second apart, stamped as a node does.
type script struct {
	at  time.Time
	r   *messages.Recorder
	log []*chivev1.Envelope
}

func newScript() *script {
	s := &script{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	s.r = messages.NewRecorder("n", func() time.Time { return s.at }, 1)
	s.add(messages.Event(node, "n", &chivev1.NodeStarted{}))
	return s
}

func (s *script) add(e *chivev1.Envelope) string {
	s.at = s.at.Add(time.Second)
	s.log = append(s.log, e)
	return s.r.Emit(e)
}

func of(relay string, e *chivev1.Envelope) *chivev1.Envelope { return messages.Because(e, "", relay) }

func (s *script) connection(id, relay string) {
	s.add(of(relay, messages.Event(connection, id, &chivev1.ConnectionDialled{Purpose: general, Attempt: 1})))
	s.add(of(relay, messages.Event(connection, id, &chivev1.ConnectionOpened{Took: durationpb.New(40 * time.Millisecond)})))
}

func (s *script) circuit(id, on string) {
	s.add(messages.Event(circuit, id, &chivev1.CircuitLaunched{Purpose: general, Hops: 3, ConnectionId: on}))
	s.add(messages.Event(circuit, id, &chivev1.CircuitOpened{Hops: 3, Took: durationpb.New(120 * time.Millisecond)}))
}

func (s *script) requested(id string) {
	s.add(messages.Because(messages.Event(stream, id, &chivev1.StreamRequested{Purpose: general, ListenerId: "lst", Isolation: "iso"}), "", id))
}

func (s *script) attached(id, on string, attempt uint32) {
	s.add(messages.Because(messages.Event(stream, id, &chivev1.StreamAttached{CircuitId: on, Attempt: attempt}), "", id))
}

func (s *script) connected(id string) {
	s.add(messages.Because(messages.Event(stream, id, &chivev1.StreamConnected{}), "", id))
}

func (s *script) streamEnded(id string, out chivev1.Outcome) {
	s.add(messages.Because(messages.Event(stream, id, &chivev1.StreamEnded{Outcome: out, BytesIn: 2048}), "", id))
}

func (s *script) circuitClosed(id string, out chivev1.Outcome) {
	s.add(messages.Event(circuit, id, &chivev1.CircuitClosed{Outcome: out, Streams: 1}))
}

func (s *script) connectionFailed(id, relay string, out chivev1.Outcome) {
	s.add(of(relay, messages.Event(connection, id, &chivev1.ConnectionDialled{Purpose: general, Attempt: 2})))
	failed := s.add(of(relay, messages.Event(connection, id, &chivev1.ConnectionFailed{Outcome: out})))
	s.add(messages.Because(messages.Event(supervisor, "sup", &chivev1.SupervisorStateChanged{
		Child: "connection/" + id, State: "backoff", Attempt: 2, Delay: durationpb.New(2 * time.Second), Outcome: out,
	}), failed, relay))
	s.add(messages.Because(messages.Event(supervisor, "sup", &chivev1.BreakerOpened{
		Child: "connection/" + id, InARow: 5, RetryAfter: durationpb.New(30 * time.Second), Outcome: out,
	}), failed, relay))
	s.add(messages.Because(messages.Event(guard, relay, &chivev1.GuardUnreachable{Outcome: out}), failed, ""))
}

func texts(steps []Step) string {
	var b strings.Builder
	for _, st := range steps {
		fmt.Fprintf(&b, "%s %s: %s\n", st.Kind, st.ID, st.Text)
		if st.Count > 1 {
			fmt.Fprintf(&b, "  ×%d\n", st.Count)
		}
	}
	return b.String()
}

func TestStories(t *testing.T) {
	const (
		ok       = chivev1.Outcome_OUTCOME_OK
		refused  = chivev1.Outcome_OUTCOME_TARGET_REFUSED
		lost     = chivev1.Outcome_OUTCOME_CONNECTION_LOST
		timeout  = chivev1.Outcome_OUTCOME_TIMEOUT
		down     = chivev1.Outcome_OUTCOME_CONNECT_REFUSED
		policy   = chivev1.Outcome_OUTCOME_REFUSED
		shutdown = chivev1.Outcome_OUTCOME_SHUTDOWN
		defect   = chivev1.Outcome_OUTCOME_INTERNAL
		machines = chivev1.Outcome_OUTCOME_MACHINE_FAILED
	)
	tests := []struct {
		name               string
		script             func(*script)
		about              Subject
		summary, hint      string // substrings
		because, meanwhile string // whole
		ledTo, carried     string // whole; carried only if it is not ""
		happened           []string
	}{
		{
			name: "the target refuses: the exit says so, its circuit has no part in it",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.streamEnded("s", refused)
				s.circuitClosed("c", lost)
			},
			about:   Subject{stream, "s"},
			summary: "stream s failed after 2s: the target refused the connection (target-refused)",
			hint:    "nothing listens on that port",
			happened: []string{
				"connection k: opened to relay g, after 40ms", "circuit c: opened, built in 120ms",
				"stream s: requested by an application on listener lst, isolation iso", "stream s: attached to circuit c, attempt 1",
				"stream s: ended: the target refused the connection (target-refused); 2 KiB in, nothing out",
			},
		},
		{
			name: "a connection goes silent under a circuit",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				silent := s.add(of("g", messages.Event(supervisor, "sup", &chivev1.SupervisorStateChanged{
					Child: "connection/k", State: "down", Attempt: 1, Outcome: timeout,
				})))
				s.add(messages.Because(messages.Event(circuit, "c", &chivev1.CircuitClosed{Outcome: lost}), silent, ""))
				s.add(of("g", messages.Event(connection, "k", &chivev1.ConnectionClosed{Outcome: chivev1.Outcome_OUTCOME_IDLE, Circuits: 1})))
			},
			about:   Subject{circuit, "c"},
			summary: "circuit c failed after 3s: the connection to the first relay broke (connection-lost)",
			because: "supervision sup: connection k got no answer of any kind any more: it takes no new circuits\n",
		},
		{
			name: "a connection breaks under a stream",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.connected("s")
				s.add(of("g", messages.Event(connection, "k", &chivev1.ConnectionClosed{Outcome: lost, Circuits: 1})))
				s.streamEnded("s", lost)
				s.circuitClosed("c", lost)
				s.connectionFailed("again", "g", down)
			},
			about:   Subject{stream, "s"},
			hint:    "the next connection to that relay failed, too: the relay's machine refused the TCP connection",
			summary: "stream s failed after 4s: the connection to the first relay broke (connection-lost)",
			because: "circuit c: closed: the connection to the first relay broke (connection-lost); it carried 1 stream\n" +
				"connection k: closed: the relay, or the network on the way to it, broke it off (connection-lost); it carried 1 circuit\n",
		},
		{
			name: "what a broken connection led to",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.circuit("d", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.requested("other")
				s.attached("other", "d", 1)
				s.streamEnded("other", refused)
				s.circuitClosed("d", chivev1.Outcome_OUTCOME_IDLE)
				s.add(of("g", messages.Event(connection, "k", &chivev1.ConnectionClosed{Outcome: lost, Circuits: 2})))
				s.add(messages.Because(messages.Event(stream, "s", &chivev1.StreamDetached{CircuitId: "c", Outcome: lost}), "", "s"))
				s.circuitClosed("c", lost)
			},
			about:   Subject{connection, "k"},
			summary: "connection k failed after 12s: the relay, or the network on the way to it, broke it off (connection-lost)",
			ledTo: "stream s: given back by circuit c, to be tried on another: the connection to the first relay broke (connection-lost)\n" +
				"circuit c: closed: the connection to the first relay broke (connection-lost); it carried 1 stream\n",
			carried: "circuit d: closed: it was unused for long enough (idle); it carried 1 stream\n",
		},
		{
			name: "no circuit in time: what kept it waiting is told as that",
			script: func(s *script) {
				s.connectionFailed("k8", "back", down)
				s.connection("k9", "back")
				s.connectionFailed("k0", "dead", down)
				s.requested("s")
				s.connectionFailed("k1", "g", down)
				s.connectionFailed("k2", "g", down)
				s.streamEnded("s", timeout)
				s.connectionFailed("later", "g", down)
			},
			about:   Subject{stream, "s"},
			hint:    "a firewall",
			summary: "stream s failed after 11s: no circuit could be had for it in time (timeout)",
			meanwhile: "connection k2: failed to guard g: the relay's machine refused the TCP connection (connect-refused)\n  ×2\n" +
				"supervision sup: the breaker opened after 5 failures in a row: not tried for 30s\n  ×2\n" +
				"guard g: counts as unreachable: the relay's machine refused the TCP connection (connect-refused)\n  ×3\n",
		},
		{
			name:    "a connection that failed, and what followed",
			script:  func(s *script) { s.connectionFailed("k", "g", down) },
			about:   Subject{connection, "k"},
			summary: "connection k failed after 1s: the relay's machine refused the TCP connection (connect-refused)",
			hint:    "a firewall",
			ledTo: "supervision sup: backoff after failure 2: not tried again for 2s\n" +
				"supervision sup: the breaker opened after 5 failures in a row: not tried for 30s\n" +
				"guard g: counts as unreachable: the relay's machine refused the TCP connection (connect-refused)\n",
		},
		{
			name:    "why a guard is unreachable",
			script:  func(s *script) { s.connectionFailed("k", "g", down) },
			about:   Subject{guard, "g"},
			summary: "guard g is unreachable",
			because: "connection k: failed to guard g: the relay's machine refused the TCP connection (connect-refused)\n",
			happened: []string{
				"connection k: failed to guard g: the relay's machine refused the TCP connection (connect-refused)",
				"supervision sup: backoff after failure 2: not tried again for 2s",
				"supervision sup: the breaker opened after 5 failures in a row: not tried for 30s",
				"guard g: counts as unreachable: the relay's machine refused the TCP connection (connect-refused)",
			},
		},
		{
			name: "this machine could make no connection: no relay is blamed, and what to do is said",
			script: func(s *script) {
				s.requested("s")
				s.add(of("g", messages.Event(connection, "k", &chivev1.ConnectionFailed{Outcome: machines})))
				s.streamEnded("s", machines)
			},
			about:   Subject{stream, "s"},
			summary: "stream s failed after 2s: this machine has no descriptors or memory left for a connection, or not the address to make it from (machine-failed)",
			hint:    "raise the limit of open files (ulimit -n, LimitNOFILE= of a service), or set OutboundBindAddress to an address that this machine has",
			because: "connection k: failed to relay g: this machine has no descriptors or memory left for a connection, or not the address to make it from (machine-failed)\n",
		},
		{
			name: "a stream that waited for the one connection that failed",
			script: func(s *script) {
				s.connectionFailed("k0", "g", down)
				s.requested("s")
				s.connectionFailed("k1", "g", down)
				s.streamEnded("s", down)
			},
			about:   Subject{stream, "s"},
			summary: "stream s failed after 6s: the relay's machine refused the TCP connection",
			hint:    "a firewall",
			because: "connection k1: failed to guard g: the relay's machine refused the TCP connection (connect-refused)\n",
		},
		{
			name: "tried on two circuits: the exits did not answer",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.circuit("d", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.add(messages.Because(messages.Event(stream, "s", &chivev1.StreamDetached{CircuitId: "c", Outcome: timeout}), "", "s"))
				s.attached("s", "d", 2)
				s.streamEnded("s", timeout)
			},
			about:   Subject{stream, "s"},
			summary: "stream s failed after 4s: the exit did not answer in time (timeout)",
		},
		{
			name:    "refused by this node's rules",
			script:  func(s *script) { s.requested("s"); s.connectionFailed("k", "g", down); s.streamEnded("s", policy) },
			about:   Subject{stream, "s"},
			summary: "this node refuses such a request (refused)",
			hint:    "ClientRejectInternalAddresses",
		},
		{
			name: "the node stopped",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.add(messages.Event(node, "n", &chivev1.NodeStopping{}))
				s.circuitClosed("c", shutdown)
				s.add(of("g", messages.Event(connection, "k", &chivev1.ConnectionClosed{Outcome: shutdown})))
			},
			about:   Subject{circuit, "c"},
			summary: "circuit c ended after 3s: this node was stopping (shutdown)",
			because: "connection k: closed: this node was stopping (shutdown); it carried 0 circuits\nnode n: began to stop\n",
		},
		{
			name: "a defect",
			script: func(s *script) {
				s.circuit("c", "k")
				s.add(messages.Event(circuit, "c", &chivev1.ActorFailed{Reason: "*errors.errorString at circuit.go:1"}))
				s.circuitClosed("c", defect)
			},
			about:   Subject{circuit, "c"},
			summary: "circuit c failed after 3s: a part of chive failed",
			hint:    "please report it",
			because: "circuit c: failed: a defect in chive (*errors.errorString at circuit.go:1)\n",
		},
		{
			name: "the directory was not there yet",
			script: func(s *script) {
				s.add(messages.Event(node, "n", &chivev1.BootstrapAdvanced{Percent: 10, Summary: "fetching the consensus"}))
				s.requested("s")
				s.streamEnded("s", chivev1.Outcome_OUTCOME_NO_DIRECTORY)
			},
			about:   Subject{stream, "s"},
			summary: "too little is known of the network yet (no-directory)",
			hint:    "chive status",
			because: "node n: bootstrapped to 10 %: fetching the consensus\n",
		},
		{
			name: "ended for want of memory",
			script: func(s *script) {
				s.requested("s")
				s.add(messages.Event(node, "n", &chivev1.MemoryPressure{Over: true, Bytes: 300 << 20, Shed: 2}))
				s.streamEnded("s", chivev1.Outcome_OUTCOME_OVERLOADED)
			},
			about:   Subject{stream, "s"},
			summary: "this node was at a limit of its own (overloaded)",
			hint:    "the limits are options",
			because: "node n: 300 MiB waited in queues, more than MaxMemInQueues: 2 streams ended, the oldest first\n",
		},
		{
			name: "it goes well, so far",
			script: func(s *script) {
				s.connection("k", "g")
				s.circuit("c", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.connected("s")
			},
			about:   Subject{stream, "s"},
			summary: "stream s is connected, 2s after it began",
		},
		{
			name: "it went well",
			script: func(s *script) {
				s.connectionFailed("k0", "g", down)
				s.connection("k", "g")
				s.circuit("c", "k")
				s.requested("s")
				s.attached("s", "c", 1)
				s.connected("s")
				s.streamEnded("s", ok)
			},
			about:   Subject{stream, "s"},
			summary: "stream s ended after 3s: it ended as asked (ok)",
		},
		{
			name: "a cause that the emitter named goes before what is carried",
			script: func(s *script) {
				failed := s.add(messages.Event(circuit, "b", &chivev1.CircuitFailed{Outcome: timeout, Hop: 2}))
				s.requested("s")
				s.add(messages.Because(messages.Event(stream, "s", &chivev1.StreamEnded{Outcome: timeout}), failed, "s"))
			},
			about:   Subject{stream, "s"},
			summary: "stream s failed after 1s",
			because: "circuit b: failed: hop 2 did not answer in time (timeout)\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript()
			tt.script(s)
			st := NewLog(s.log).Tell(tt.about)
			if st == nil {
				t.Fatal("no story")
			}
			if !strings.Contains(st.Summary, tt.summary) {
				t.Errorf("summary %q, want %q", st.Summary, tt.summary)
			}
			if !strings.Contains(st.Hint, tt.hint) || tt.hint != "" && st.Hint == "" {
				t.Errorf("hint %q, want %q", st.Hint, tt.hint)
			}
			for what, have := range map[string][2]string{
				"because": {texts(st.Because), tt.because}, "meanwhile": {texts(st.Meanwhile), tt.meanwhile}, "led to": {texts(st.LedTo), tt.ledTo},
				"carried": {texts(st.Carried), tt.carried},
			} {
				if (what != "carried" || have[1] != "") && have[0] != have[1] {
					t.Errorf("%s:\n%swant:\n%s", what, have[0], have[1])
				}
			}
			if happened := texts(st.Happened); tt.happened != nil {
				for _, line := range tt.happened {
					if !strings.Contains(happened, line+"\n") {
						t.Errorf("what happened:\n%s without %q", happened, line)
					}
				}
			}
			if st.Missing != "" && !strings.Contains(tt.name, "named") && tt.about.Kind != guard {
				t.Errorf("missing %q", st.Missing)
			}
		})
	}
}

// An exit's word is not put down to a circuit that ended later, nor a circuit's
// end to a connection that lived on.
func TestNoFalseCauses(t *testing.T) {
	timeout := chivev1.Outcome_OUTCOME_TIMEOUT
	s := newScript()
	s.connection("k", "g")
	s.circuit("c", "k")
	s.requested("s")
	s.attached("s", "c", 1)
	s.streamEnded("s", timeout)
	s.at = s.at.Add(time.Minute)
	s.circuitClosed("c", timeout) // another matter, later
	l := NewLog(s.log)
	if st := l.Tell(Subject{stream, "s"}); len(st.Because) != 0 {
		t.Errorf("because %v", st.Because)
	}
	if st := l.Tell(Subject{circuit, "c"}); len(st.Because) != 0 {
		t.Errorf("because %v", st.Because)
	}
}

func TestFinding(t *testing.T) {
	s := newScript()
	s.requested("abc")
	s.requested("abd")
	s.requested("xyz")
	s.streamEnded("abd", chivev1.Outcome_OUTCOME_TARGET_REFUSED)
	s.streamEnded("xyz", chivev1.Outcome_OUTCOME_CANCELLED)
	l := NewLog(s.log)
	if got := l.Find(stream, "ab"); !slices.Equal(got, []Subject{{stream, "abc"}, {stream, "abd"}}) {
		t.Errorf("found %v", got)
	}
	if got := l.Find(circuit, ""); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	if got, ok := l.LastFailed(stream); !ok || got.ID != "abd" {
		t.Errorf("failed last: %v, %v", got, ok)
	}
	if _, ok := l.LastFailed(circuit); ok {
		t.Error("a circuit failed")
	}
	if l.Tell(Subject{stream, "nobody"}) != nil {
		t.Error("a story about nobody")
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	s := newScript()
	s.attached("s", "c", 1)
	s.requested("r")
	s.add(messages.Event(node, "n", &chivev1.EventsDropped{Count: 3, Total: 3}))
	s.streamEnded("r", chivev1.Outcome_OUTCOME_OK)
	l := NewLog(s.log)
	if got := l.Tell(Subject{stream, "s"}).Missing; got != "its beginning is not in the history" {
		t.Errorf("missing %q", got)
	}
	if got := l.Tell(Subject{stream, "r"}).Missing; got != "events were lost meanwhile" {
		t.Errorf("missing %q", got)
	}
}

// Whatever the vocabulary grows by is told at least by its name.
func TestEveryOutcomeHasAMeaning(t *testing.T) {
	without := 0
	for _, name := range messages.Outcomes() {
		o, err := messages.ParseOutcome(name)
		if err != nil {
			t.Fatal(err)
		}
		if text := meaning(o); !strings.Contains(text, name) {
			t.Errorf("%s is told as %q", name, text)
		}
		if meanings[name] == "" {
			without++
		}
	}
	if without > 5 {
		t.Errorf("%d outcomes have no words of their own", without)
	}
}

// Every event of the vocabulary can be told.
func TestEveryEventIsSaid(t *testing.T) {
	fields := (*chivev1.Envelope)(nil).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	l := NewLog(newScript().log)
	for i := range fields.Len() {
		e := &chivev1.Envelope{Id: "n/1", ActorId: "x"}
		e.ProtoReflect().Set(fields.Get(i), e.ProtoReflect().NewField(fields.Get(i)))
		if text := l.say(e); text == "" || strings.Contains(text, "%!") {
			t.Errorf("%s is said as %q", fields.Get(i).Name(), text)
		}
	}
}

// A stream on a conflux set: its story has the legs and what carried them, and its end goes
// back to the connection below the leg that was lost.
func TestStoryOfAConfluxSet(t *testing.T) {
	const lost = chivev1.Outcome_OUTCOME_CONNECTION_LOST
	s := newScript()
	for _, k := range []string{"k", "m"} {
		s.add(messages.Event(chivev1.Kind_KIND_CONNECTION, k, &chivev1.ConnectionDialled{Attempt: 1}))
		s.add(messages.Event(chivev1.Kind_KIND_CONNECTION, k, &chivev1.ConnectionOpened{}))
	}
	s.add(messages.Event(circuit, "set", &chivev1.CircuitSetLaunched{Purpose: general, Legs: 2}))
	for leg, k := range map[string]string{"a": "k", "b": "m"} {
		s.add(messages.Event(circuit, leg, &chivev1.CircuitLaunched{Purpose: general, Hops: 3, ConnectionId: k, SetId: "set"}))
		s.add(messages.Event(circuit, leg, &chivev1.CircuitOpened{Hops: 3}))
		s.add(messages.Event(circuit, "set", &chivev1.CircuitLegLinked{CircuitId: leg}))
	}
	s.add(messages.Event(circuit, "set", &chivev1.CircuitSetLinked{Legs: 2}))
	s.add(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamRequested{Purpose: general}))
	s.add(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamAttached{CircuitId: "set", Attempt: 1}))
	s.add(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamConnected{}))
	s.add(messages.Event(chivev1.Kind_KIND_CONNECTION, "k", &chivev1.ConnectionClosed{Outcome: lost}))
	closed := s.add(messages.Event(circuit, "a", &chivev1.CircuitClosed{Outcome: lost}))
	s.add(messages.Because(messages.Event(circuit, "set", &chivev1.CircuitLegLost{CircuitId: "a", Outcome: lost, Linked: true}), closed, ""))
	s.add(messages.Event(chivev1.Kind_KIND_STREAM, "s", &chivev1.StreamEnded{Outcome: lost}))
	s.add(messages.Because(messages.Event(circuit, "set", &chivev1.CircuitClosed{Outcome: lost, SwitchesIn: 3}), closed, ""))
	l := NewLog(s.log)
	st := l.Tell(Subject{chivev1.Kind_KIND_STREAM, "s"})
	var because, happened []string
	for _, step := range st.Because {
		because = append(because, step.Text)
	}
	for _, step := range st.Happened {
		happened = append(happened, step.Text)
	}
	if text := strings.Join(because, "; "); !strings.Contains(text, "the exit went on over another leg 3 times") || !strings.Contains(text, "broke it off") {
		t.Errorf("because %q", because)
	}
	text := strings.Join(happened, "; ")
	for _, want := range []string{
		"a conflux set of 2 circuits", "as a leg of set", "linked circuit a", "linked circuit b", "has all its 2 legs", "lost leg a", "dialled",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told in %q", want, text)
		}
	}
}

// Whatever the log, and in whatever order its events come, stories end and are
// the same.
func TestAnyLog(t *testing.T) {
	fields := (*chivev1.Envelope)(nil).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	ids := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			e := &chivev1.Envelope{
				ActorId:       rapid.SampledFrom(ids).Draw(t, "id"),
				Kind:          chivev1.Kind(rapid.IntRange(0, 9).Draw(t, "kind")),
				CauseId:       fmt.Sprintf("n/%d", rapid.IntRange(0, 45).Draw(t, "cause")),
				CorrelationId: rapid.SampledFrom(append(ids, "")).Draw(t, "story"),
			}
			m := e.ProtoReflect()
			field := fields.Get(rapid.IntRange(0, fields.Len()-1).Draw(t, "event"))
			body := m.NewField(field).Message()
			for i := range body.Descriptor().Fields().Len() {
				switch f := body.Descriptor().Fields().Get(i); f.Name() {
				case "circuit_id", "connection_id":
					body.Set(f, body.NewField(f)) // the empty one
					body.Set(f, protoString(rapid.SampledFrom(ids).Draw(t, "carrier")))
				case "child":
					body.Set(f, protoString("connection/"+rapid.SampledFrom(ids).Draw(t, "child")))
				case "outcome":
					body.Set(f, protoEnum(rapid.IntRange(0, 45).Draw(t, "outcome")))
				}
			}
			m.Set(field, protoMessage(body))
			s.add(e)
		}
		l := NewLog(s.log)
		shuffled := NewLog(rapid.Permutation(s.log).Draw(t, "order"))
		for kind := range chivev1.Kind(10) {
			for _, about := range l.Find(kind, "") {
				st := l.Tell(about)
				if st.Summary == "" || len(st.Happened) == 0 || len(st.Because) > most {
					t.Fatalf("story %+v", st)
				}
				if other := shuffled.Tell(about); !reflect.DeepEqual(st, other) {
					t.Fatalf("%+v\nand, from another order,\n%+v", st, other)
				}
			}
		}
	})
}
