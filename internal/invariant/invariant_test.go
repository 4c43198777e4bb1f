package invariant

import (
	"strings"
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
)

const (
	general = chivev1.Purpose_PURPOSE_GENERAL
	kConn   = chivev1.Kind_KIND_CONNECTION
	kCirc   = chivev1.Kind_KIND_CIRCUIT
	kStream = chivev1.Kind_KIND_STREAM
)

// good is the log of one stream over one circuit.
func good() []*chivev1.Envelope {
	log := []*chivev1.Envelope{
		messages.Event(kConn, "n", &chivev1.ConnectionDialled{}),
		messages.Event(kConn, "n", &chivev1.ConnectionOpened{}),
		messages.Event(kCirc, "c", &chivev1.CircuitLaunched{
			Purpose: general, Hops: 3, ConnectionId: "n", Path: [][]byte{{1}, {2}, {3}},
		}),
		messages.Event(kCirc, "c", &chivev1.CircuitOpened{Hops: 3}),
		messages.Event(kStream, "s", &chivev1.StreamRequested{Purpose: general, Isolation: "a"}),
		messages.Event(kCirc, "c", &chivev1.CircuitDirtied{Isolation: "a"}),
		messages.Event(kStream, "s", &chivev1.StreamAttached{CircuitId: "c", Attempt: 1}),
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
	tests := map[string]struct {
		change func([]*chivev1.Envelope) []*chivev1.Envelope
		want   string
	}{
		"never dialled": {without(0), "without being dialled"},
		"not open":      {without(3), "attached to a circuit that is not open"},
		"not requested": {without(4), "never requested"},
		"isolation":     {without(5), "isolation mixed"},
		"stream left":   {without(8), "closed with 1 streams"},
		"circuit left":  {without(9), "circuit c never ended"},
		"conn left":     {without(10), "connection n was never closed"},
		"path repeated": {func(l []*chivev1.Envelope) []*chivev1.Envelope {
			l[2].GetCircuitLaunched().Path[2] = []byte{1}
			return l
		}, "twice"},
		"other group": {func(l []*chivev1.Envelope) []*chivev1.Envelope { l[4].GetStreamRequested().Isolation = "b"; return l }, "isolation mixed"},
		"two hops":    {func(l []*chivev1.Envelope) []*chivev1.Envelope { l[2].GetCircuitLaunched().Hops = 2; return l }, "of 2 hops"},
		"attached twice": {func(l []*chivev1.Envelope) []*chivev1.Envelope {
			return append(l[:7:7], append([]*chivev1.Envelope{l[6]}, l[7:]...)...)
		}, "two circuits"},
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

func TestGapInTheSequence(t *testing.T) {
	log := number(good())
	for _, e := range log[5:] {
		e.Sequence += 3
	}
	if v := Check(log); len(v) != 1 || !strings.Contains(v[0].Rule, "sequence") {
		t.Fatalf("violations %v, want the gap alone", v)
	}
}
