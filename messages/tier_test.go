package messages

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages/chivev1"
)

// walk visits every field of every message of ours below m.
func walk(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool, visit func(protoreflect.FieldDescriptor)) {
	if seen[m.FullName()] {
		return
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		visit(f)
		if f.Message() != nil && ours(f.Message()) {
			walk(f.Message(), seen, visit)
		}
	}
}

func envelope() protoreflect.MessageDescriptor {
	return (*chivev1.Envelope)(nil).ProtoReflect().Descriptor()
}

func TestEveryFieldHasATier(t *testing.T) {
	fields := 0
	walk(envelope(), map[protoreflect.FullName]bool{}, func(f protoreflect.FieldDescriptor) {
		fields++
		tier, ok := proto.GetExtension(f.Options(), chivev1.E_Tier).(chivev1.Tier)
		if !ok || tier == chivev1.Tier_TIER_UNSPECIFIED {
			t.Errorf("%s has no tier", f.FullName())
		}
	})
	if fields < 90 {
		t.Errorf("only %d fields were reached", fields)
	}
}

// DESIGN: keys, client addresses, cookies and payloads are in no event at any
// tier; relays, targets and addresses are forensic.
func TestNamesSuggestNothingSecret(t *testing.T) {
	never := regexp.MustCompile(`(^|_)(key|keys|secret|cookie|password|passwd|username|user|credential|auth|payload|data|body|content|client|peer|source|remote|local|onion|seed|digest)(_|$)`)
	forensic := regexp.MustCompile(`(^|_)(relay|relays|path|target|host|port|address|addr|ip|name|fingerprint|identity|nickname|guard)(_|$)`)
	walk(envelope(), map[protoreflect.FullName]bool{}, func(f protoreflect.FieldDescriptor) {
		name := string(f.Name())
		if never.MatchString(name) {
			t.Errorf("%s: the name suggests what no event may hold", f.FullName())
		}
		if f.ContainingOneof() == nil && forensic.MatchString(name) && TierOf(f) != chivev1.Tier_TIER_FORENSIC {
			t.Errorf("%s: the name suggests a relay, path or target, the tier is %v", f.FullName(), TierOf(f))
		}
	})
}

// Bytes are identities here: a bytes field below forensic would be a mistake.
func TestBytesAreForensic(t *testing.T) {
	walk(envelope(), map[protoreflect.FullName]bool{}, func(f protoreflect.FieldDescriptor) {
		if f.Kind() == protoreflect.BytesKind && TierOf(f) != chivev1.Tier_TIER_FORENSIC {
			t.Errorf("%s is bytes with tier %v", f.FullName(), TierOf(f))
		}
	})
}

// filled sets every field of the event with something recognisable.
func filled(field protoreflect.FieldDescriptor) *chivev1.Envelope {
	e := &chivev1.Envelope{Id: "n1/1", Time: timestamppb.New(time.Unix(7, 0)), Node: "n1", Kind: chivev1.Kind_KIND_CIRCUIT, ActorId: "c1", Sequence: 1, CauseId: "n1/0", CorrelationId: "s1"}
	m := e.ProtoReflect()
	body := m.NewField(field)
	for i := range body.Message().Descriptor().Fields().Len() {
		f := body.Message().Descriptor().Fields().Get(i)
		fill(body.Message(), f)
	}
	m.Set(field, body)
	return e
}

func fill(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	value := func() protoreflect.Value {
		switch f.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString("FORENSIC")
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte("FORENSIC"))
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true)
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(1)
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(3)
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(3)
		default:
			return m.NewField(f)
		}
	}
	switch {
	case f.IsList():
		m.Mutable(f).List().Append(value())
	case f.Kind() == protoreflect.StringKind && TierOf(f) < chivev1.Tier_TIER_FORENSIC:
		m.Set(f, protoreflect.ValueOfString("fine"))
	default:
		m.Set(f, value())
	}
}

func TestRedactLeavesNothingForensicInAnyEvent(t *testing.T) {
	fields := envelope().Oneofs().ByName("event").Fields()
	for i := range fields.Len() {
		e := filled(fields.Get(i))
		before := proto.CloneOf(e)
		out := Redact(e, chivev1.Tier_TIER_LIFECYCLE)
		if !proto.Equal(e, before) {
			t.Errorf("%s: Redact changed its input", fields.Get(i).Name())
		}
		if Name(out) != Name(e) || out.Id != e.Id || out.CorrelationId != e.CorrelationId {
			t.Errorf("%s: redacted to %v", fields.Get(i).Name(), out)
		}
		wire, err := proto.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(wire, []byte("FORENSIC")) {
			t.Errorf("%s: forensic data left in %v", fields.Get(i).Name(), out)
		}
		if text := Text(e); strings.Contains(text, "FORENSIC") {
			t.Errorf("text leaks: %s", text)
		}
		line, err := JSON(e)
		if err != nil || bytes.Contains(line, []byte("FORENSIC")) || bytes.Contains(line, []byte("Rk9SRU5TSUM")) {
			t.Errorf("JSON leaks or fails: %s, %v", line, err)
		}
	}
}

func TestRedactKeepsWhatIsAllowed(t *testing.T) {
	e := Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitLaunched{
		Purpose: chivev1.Purpose_PURPOSE_GENERAL, Hops: 3, ConnectionId: "k1", Path: [][]byte{{1}, {2}, {3}},
	})
	if out := Redact(e, chivev1.Tier_TIER_FORENSIC); out != e {
		t.Error("nothing to strip at the forensic tier, but it was cloned")
	}
	out := Redact(e, chivev1.Tier_TIER_LIFECYCLE).GetCircuitLaunched()
	if out.GetPath() != nil || out.GetHops() != 3 || out.GetConnectionId() != "k1" || out.GetPurpose() != chivev1.Purpose_PURPOSE_GENERAL {
		t.Errorf("redacted to %v", out)
	}
	plain := Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{Hops: 3, Took: durationpb.New(10)})
	if Redact(plain, chivev1.Tier_TIER_LIFECYCLE) != plain {
		t.Error("an event without forensic fields was cloned")
	}
	if got := proto.Size(Redact(plain, chivev1.Tier_TIER_AGGREGATE)); got != 0 {
		t.Errorf("%d bytes left at the aggregate tier", got)
	}
	dropped := Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.EventsDropped{Count: 2})
	aggregate := Redact(dropped, chivev1.Tier_TIER_AGGREGATE)
	if aggregate.GetEventsDropped().GetCount() != 2 || aggregate.GetActorId() != "" {
		t.Errorf("aggregate form: %v", aggregate)
	}
}

// What is left of an event is what its fields' tiers say, of the envelope as of the message.
func TestRedactKeepsWhatItMay(t *testing.T) {
	events := envelope().Oneofs().ByName("event").Fields()
	for i := range events.Len() {
		e := filled(events.Get(i))
		for j := range envelope().Fields().Len() {
			if f := envelope().Fields().Get(j); f.ContainingOneof() == nil && !e.ProtoReflect().Has(f) {
				t.Fatalf("filled leaves out %s", f.Name())
			}
		}
		whole := proto.CloneOf(e)
		for _, limit := range []chivev1.Tier{chivev1.Tier_TIER_AGGREGATE, chivev1.Tier_TIER_LIFECYCLE, chivev1.Tier_TIER_FORENSIC} {
			got, want := Redact(e, limit), proto.CloneOf(whole)
			cut(want.ProtoReflect(), limit)
			if !proto.Equal(got, want) {
				t.Errorf("%s at %v: %v, want %v", events.Get(i).Name(), limit, got, want)
			}
			if !proto.Equal(e, whole) {
				t.Fatalf("%s at %v: the event itself was changed", events.Get(i).Name(), limit)
			}
		}
	}
}

// cut takes the fields above the limit out of a message.
func cut(m protoreflect.Message, limit chivev1.Tier) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case TierOf(f) > limit:
			m.Clear(f)
		case f.Message() == nil || !ours(f.Message()):
		case f.IsList():
			for i := range v.List().Len() {
				cut(v.List().Get(i).Message(), limit)
			}
		default:
			cut(v.Message(), limit)
		}
		return true
	})
}

// A field that this program does not know has no known tier.
func TestRedactStripsUnknownFields(t *testing.T) {
	unknown := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "FORENSIC")
	outer := opened()
	outer.ProtoReflect().SetUnknown(unknown)
	inner := opened()
	inner.GetCircuitOpened().ProtoReflect().SetUnknown(unknown)
	for _, e := range []*chivev1.Envelope{outer, inner} {
		wire, err := proto.Marshal(Redact(e, chivev1.Tier_TIER_LIFECYCLE))
		if err != nil || bytes.Contains(wire, []byte("FORENSIC")) {
			t.Errorf("unknown field survived: %x, %v", wire, err)
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	plain := opened()
	path := Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitLaunched{Path: [][]byte{{1}, {2}, {3}}})
	b.ReportAllocs()
	for b.Loop() {
		Redact(plain, chivev1.Tier_TIER_LIFECYCLE)
		Redact(path, chivev1.Tier_TIER_LIFECYCLE)
	}
}
