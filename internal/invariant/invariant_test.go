package invariant

import (
	"slices"
	"strings"
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/isolation"
)

const (
	general   = chivev1.Purpose_PURPOSE_GENERAL
	directory = chivev1.Purpose_PURPOSE_DIRECTORY
	kNode     = chivev1.Kind_KIND_NODE
	kConn     = chivev1.Kind_KIND_CONNECTION
	kCirc     = chivev1.Kind_KIND_CIRCUIT
	kStream   = chivev1.Kind_KIND_STREAM
)

// asks is a request of a user for a target, and goes its attachment to a circuit.
func asks(stream, user string) *chivev1.Envelope {
	tok := token(user)
	return messages.Event(kStream, stream, &chivev1.StreamRequested{Purpose: general, Isolation: tok.Name()})
}

func goes(stream, user, circuit string, attempt uint32, epoch uint64) *chivev1.Envelope {
	tok := token(user)
	tok.Values[isolation.Epoch] = epoch
	return messages.Event(kStream, stream, &chivev1.StreamAttached{
		CircuitId: circuit, Attempt: attempt, Isolates: uint32(tok.Isolates()), Isolation: tok.Values.Bytes(),
	})
}

func token(user string) isolation.Token {
	m := isolation.Make(&[32]byte{})
	m.Set(isolation.SOCKSAuth, true, user)
	return m.Token
}

// good is the log of one stream over one circuit.
func good() []*chivev1.Envelope {
	log := []*chivev1.Envelope{
		messages.Event(kConn, "n", &chivev1.ConnectionDialled{Attempt: 1}),
		messages.Event(kConn, "n", &chivev1.ConnectionOpened{}),
		messages.Event(kCirc, "c", &chivev1.CircuitLaunched{
			Purpose: general, Hops: 3, ConnectionId: "n", Path: [][]byte{{1}, {2}, {3}},
		}),
		messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: 1}),
		messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: 2}),
		messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: 3}),
		messages.Event(kCirc, "c", &chivev1.CircuitOpened{Hops: 3}),
		asks("s", "a"),
		messages.Event(kCirc, "c", &chivev1.CircuitDirtied{Isolation: "a"}),
		goes("s", "a", "c", 1, 0),
		messages.Event(kStream, "s", &chivev1.StreamConnected{}),
		messages.Event(kStream, "s", &chivev1.StreamEnded{}),
		messages.Event(kCirc, "c", &chivev1.CircuitClosed{}),
		messages.Event(kConn, "n", &chivev1.ConnectionClosed{}),
	}
	return log
}

func number(log []*chivev1.Envelope) []*chivev1.Envelope {
	for i, e := range log {
		e.Sequence = uint64(i + 1)
	}
	return log
}

func TestGoodLog(t *testing.T) {
	if v := Check(number(good())); len(v) != 0 {
		t.Fatalf("violations in a good log: %v", v)
	}
}

func TestEachRule(t *testing.T) {
	without := func(i int) func([]*chivev1.Envelope) []*chivev1.Envelope {
		return func(l []*chivev1.Envelope) []*chivev1.Envelope { return append(l[:i:i], l[i+1:]...) }
	}
	type logs = []*chivev1.Envelope
	insert := func(at int, e ...*chivev1.Envelope) func(logs) logs {
		return func(l logs) logs { return slices.Insert(l, at, e...) }
	}
	renewed := messages.Event(kNode, "n", &chivev1.CircuitsRenewed{})
	edit := func(f func(logs)) func(logs) logs { return func(l logs) logs { f(l); return l } }
	tests := map[string]struct {
		change func(logs) logs
		want   string
	}{
		"never dialled":   {without(0), "connection-opened in state none"},
		"unopened link":   {without(1), "launched on connection n, which is dialled"},
		"skipped hop":     {without(4), "to hop 3 after 1"},
		"not open":        {without(6), "attached to a circuit that is not open"},
		"not requested":   {without(7), "stream-attached in state none"},
		"not dirtied":     {without(8), "not dirtied"},
		"stream left":     {without(11), "closed with 1 streams"},
		"circuit left":    {without(12), "circuit c never ended: it is open"},
		"connection left": {without(13), "connection n never ended: it is open"},
		"path repeated":   {edit(func(l logs) { l[2].GetCircuitLaunched().Path[2] = []byte{1} }), "twice"},
		"path too short":  {edit(func(l logs) { l[2].GetCircuitLaunched().Path = [][]byte{{1}, {2}} }), "path of 2 relays, 3 hops"},
		"other group":     {edit(func(l logs) { l[7] = asks("s", "b") }), "isolates otherwise than when it was requested"},
		"untold":          {edit(func(l logs) { l[9].GetStreamAttached().Isolation = nil }), "its isolation is not told"},
		"mixed":           {insert(11, asks("t", "b"), goes("t", "b", "c", 1, 0)), "isolation mixed"},
		"mixed with past": {insert(12, asks("t", "b"), goes("t", "b", "c", 1, 0)), "isolation mixed"},
		"renewed":         {insert(10, renewed, asks("t", "a"), goes("t", "a", "c", 1, 1)), "isolation mixed"},
		"in the future":   {edit(func(l logs) { l[9] = goes("s", "a", "c", 1, 1) }), "in epoch 1 after 0 renewals"},
		"other epoch": {insert(10,
			messages.Event(kStream, "s", &chivev1.StreamDetached{CircuitId: "c"}), renewed, goes("s", "a", "c", 2, 1)), "isolates otherwise than on its last circuit"},
		"not granted": {edit(func(l logs) { l[6].GetCircuitOpened().CongestionControl = true }), "congestion control: true, which the last hop granted: false"},
		"unused": {edit(func(l logs) {
			l[5].GetCircuitExtended().CongestionControl, l[5].GetCircuitExtended().Handshake = true, "ntor-v3"
		}), "congestion control: false, which the last hop granted: true"},
		"granted by ntor": {edit(func(l logs) {
			l[3].GetCircuitExtended().CongestionControl, l[3].GetCircuitExtended().Handshake = true, "ntor"
		}), "congestion control granted by ntor"},
		"cgo hops": {edit(func(l logs) { l[6].GetCircuitOpened().CgoHops = 2 }), "2 hops with Counter Galois Onion, and 0 were reached"},
		"cgo alone": {edit(func(l logs) {
			l[3].GetCircuitExtended().Cgo, l[6].GetCircuitOpened().CgoHops = true, 1
		}), "Counter Galois Onion without congestion control"},
		"other purpose": {edit(func(l logs) { l[7].GetStreamRequested().Purpose = directory }), "a directory stream on a general circuit"},
		"two hops":      {edit(func(l logs) { l[2].GetCircuitLaunched().Hops = 2 }), "path of 3 relays, 2 hops"},
		"general of two": {edit(func(l logs) {
			l[2].GetCircuitLaunched().Hops, l[2].GetCircuitLaunched().Path = 2, [][]byte{{1}, {2}}
		}), "general: path of the wrong shape: 2 hops"},
		"no purpose":     {edit(func(l logs) { l[2].GetCircuitLaunched().Purpose = 99 }), "for nothing that is known"},
		"called one hop": {edit(func(l logs) { l[2].GetCircuitLaunched().OneHop = true }), "called one hop: true"},
		"attached twice": {insert(10, messages.Event(kStream, "s", &chivev1.StreamAttached{CircuitId: "d", Attempt: 2})), "stream-attached in state attached"},
		"after its end":  {insert(12, messages.Event(kStream, "s", &chivev1.StreamConnected{})), "stream-connected in state ended"},
		"closed circuit": {insert(13, messages.Event(kCirc, "c", &chivev1.CircuitExtended{Hop: 1})), "circuit-extended in state closed"},
		"unfinished":     {insert(14, messages.Event(kStream, "t", &chivev1.StreamRequested{})), "stream t never ended: it is waiting"},
		"undecided":      {insert(14, messages.Event(kConn, "m", &chivev1.ConnectionDialled{Attempt: 1})), "connection m never ended: it is dialled"},
		"unknown link":   {edit(func(l logs) { l[2].GetCircuitLaunched().ConnectionId = "" }), "which is none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var all []string
			for _, v := range Check(number(tt.change(good()))) {
				all = append(all, v.String())
			}
			if !strings.Contains(strings.Join(all, "\n"), tt.want) {
				t.Errorf("found %q, want one with %q", all, tt.want)
			}
		})
	}
}

// set is the log of a conflux set with a stream on it, and what a test changes of it.
func set(change func(log []*chivev1.Envelope)) []*chivev1.Envelope {
	log := []*chivev1.Envelope{
		messages.Event(kConn, "n", &chivev1.ConnectionDialled{Attempt: 1}),
		messages.Event(kConn, "n", &chivev1.ConnectionOpened{}),
		messages.Event(kCirc, "s", &chivev1.CircuitSetLaunched{Purpose: general, Legs: 2}),
	}
	for i, leg := range []string{"a", "b"} {
		log = append(log,
			messages.Event(kCirc, leg, &chivev1.CircuitLaunched{
				Purpose: general, Hops: 3, ConnectionId: "n", SetId: "s", Path: [][]byte{{byte(i)}, {byte(10 + i)}, {20}},
			}),
			messages.Event(kCirc, leg, &chivev1.CircuitExtended{Hop: 1}),
			messages.Event(kCirc, leg, &chivev1.CircuitExtended{Hop: 2}),
			messages.Event(kCirc, leg, &chivev1.CircuitExtended{Hop: 3}),
			messages.Event(kCirc, leg, &chivev1.CircuitOpened{Hops: 3}),
			messages.Event(kCirc, "s", &chivev1.CircuitLegLinked{CircuitId: leg}))
	}
	log = append(log,
		messages.Event(kCirc, "s", &chivev1.CircuitSetLinked{Legs: 2}),
		asks("t", "u"),
		messages.Event(kCirc, "s", &chivev1.CircuitDirtied{Isolation: "u"}),
		goes("t", "u", "s", 1, 0),
		messages.Event(kStream, "t", &chivev1.StreamEnded{}),
		messages.Event(kCirc, "a", &chivev1.CircuitClosed{}),
		messages.Event(kCirc, "b", &chivev1.CircuitClosed{}),
		messages.Event(kCirc, "s", &chivev1.CircuitClosed{}),
		messages.Event(kConn, "n", &chivev1.ConnectionClosed{}),
	)
	change(log)
	return number(log)
}

func TestConfluxSets(t *testing.T) {
	type logs = []*chivev1.Envelope
	path := func(l logs, leg int) [][]byte { return l[3+6*leg].GetCircuitLaunched().Path }
	for want, change := range map[string]func(logs){
		"":                               func(logs) {},
		"end at different exits":         func(l logs) { path(l, 1)[2] = []byte{21} },
		"share a relay":                  func(l logs) { path(l, 1)[1] = []byte{0} },
		"not open or not of this set":    func(l logs) { l[14].GetCircuitLegLinked().CircuitId = "c" },
		"for conflux set x":              func(l logs) { l[9].GetCircuitLaunched().SetId = "x" },
		"attached to a leg":              func(l logs) { l[17].ActorId, l[18] = "a", goes("t", "u", "a", 1, 0) },
		"ended before its leg b":         func(l logs) { l[21], l[22] = l[22], l[21] },
		"circuit s never ended":          func(l logs) { l[22].ActorId, l[22].Kind = "x", kNode },
		"circuit-set-linked in state op": func(l logs) { l[17] = messages.Event(kCirc, "s", &chivev1.CircuitSetLinked{Legs: 2}) },
	} {
		var all []string
		for _, v := range Check(set(change)) {
			all = append(all, v.String())
		}
		if found := strings.Join(all, "\n"); want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("found %q, want one with %q", found, want)
		}
	}
}

func TestGapInTheSequence(t *testing.T) {
	log := number(good())
	for _, e := range log[5:] {
		e.Sequence += 3
	}
	if v := Check(log); len(v) != 1 || !strings.Contains(v[0].Rule, "sequence") {
		t.Fatalf("violations %v, want the gap alone", v)
	}
}

func TestToldHole(t *testing.T) {
	log := number(good())
	hole := messages.Event(kNode, "x", &chivev1.EventsDropped{Count: 6})
	hole.Sequence = 10
	after := messages.Event(kStream, "s", &chivev1.StreamEnded{})
	after.Sequence = 11
	if v := Check(append(log[:3:3], hole, after)); len(v) != 0 {
		t.Fatalf("violations in a log with a told hole: %v", v)
	}
	hole.GetEventsDropped().Count = 5
	if v := Check(append(log[:3:3], hole, after)); len(v) == 0 || !strings.Contains(v[0].Rule, "sequence 10, want 4") {
		t.Errorf("violations %v, want the hole that is larger than told", v)
	}
}

func TestRunning(t *testing.T) {
	log := number(good())[:11]
	if v := Check(log, Running()); len(v) != 0 {
		t.Errorf("violations in a log that was cut: %v", v)
	}
	if v := Check(log); len(v) != 3 {
		t.Errorf("violations %v, want the connection, the circuit and the stream that never ended", v)
	}
}

// What holds of circuits to onion services alone.
func TestOnionRules(t *testing.T) {
	const rendezvous = chivev1.Purpose_PURPOSE_RENDEZVOUS
	host := func(b byte) string { return strings.Repeat(string(b), 56) + ".onion:80" }
	digest := func(b byte) []byte { return append([]byte{b}, make([]byte, 19)...) }
	log := func() []*chivev1.Envelope {
		l := good()
		launched := l[2].GetCircuitLaunched()
		launched.Purpose, launched.Path = rendezvous, [][]byte{digest(1), digest(2), digest(3)}
		l[7].GetStreamRequested().Purpose, l[7].GetStreamRequested().Target = rendezvous, "www."+host('a')
		return slices.Insert(l, 2, messages.Event(chivev1.Kind_KIND_ONION, "vanguards", &chivev1.VanguardAdded{Relay: digest(2)}))
	}
	if v := Check(number(log())); len(v) != 0 {
		t.Fatalf("violations in a good log: %v", v)
	}
	other := func(target string) []*chivev1.Envelope {
		e := asks("t", "a")
		e.GetStreamRequested().Purpose, e.GetStreamRequested().Target = rendezvous, target
		return []*chivev1.Envelope{
			e, goes("t", "a", "c", 1, 0), messages.Event(kStream, "t", &chivev1.StreamEnded{Outcome: chivev1.Outcome_OUTCOME_OK}),
		}
	}
	if v := Check(number(slices.Insert(log(), 12, other("x."+host('a'))...))); len(v) != 0 {
		t.Errorf("a second stream to one service: %v", v)
	}
	for want, l := range map[string][]*chivev1.Envelope{
		"on a circuit with another onion service": slices.Insert(log(), 12, other(host('b'))...),
		"hop 2 is not of the second layer": func() []*chivev1.Envelope {
			l := log()
			l[2].GetVanguardAdded().Relay = digest(9)
			return l
		}(),
		"3 hops": slices.Insert(log(), 3, messages.Event(chivev1.Kind_KIND_ONION, "vanguards", &chivev1.VanguardAdded{Relay: digest(3), Layer: 3})),
	} {
		if v := Check(number(l)); len(v) != 1 || !strings.Contains(v[0].String(), want) {
			t.Errorf("%v, want %q", v, want)
		}
	}
}
