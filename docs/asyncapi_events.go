package docs

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages"
	"chive/messages/chivev1"
)

// about says what kind of actor an event is about, where its name does not begin with
// the kind. Those that are about several are not here.
var about = map[protoreflect.Name]chivev1.Kind{
	"bootstrap_advanced":  chivev1.Kind_KIND_NODE,
	"events_dropped":      chivev1.Kind_KIND_NODE,
	"memory_pressure":     chivev1.Kind_KIND_NODE,
	"journal_changed":     chivev1.Kind_KIND_NODE,
	"document_fetched":    chivev1.Kind_KIND_DIRECTORY,
	"document_verified":   chivev1.Kind_KIND_DIRECTORY,
	"document_rejected":   chivev1.Kind_KIND_DIRECTORY,
	"breaker_opened":      chivev1.Kind_KIND_SUPERVISOR,
	"breaker_half_opened": chivev1.Kind_KIND_SUPERVISOR,
	"breaker_closed":      chivev1.Kind_KIND_SUPERVISOR,
	"retries_exhausted":   chivev1.Kind_KIND_SUPERVISOR,
	"input_quarantined":   chivev1.Kind_KIND_SUPERVISOR,
}

// kindOf is the subject token of an event's kind; "{kind}" if it has several.
func kindOf(field protoreflect.FieldDescriptor) string {
	if k, known := about[field.Name()]; known {
		return messages.KindToken(k)
	}
	head, _, _ := strings.Cut(string(field.Name()), "_")
	if _, err := messages.ParseKind(head); err == nil {
		return head
	}
	return "{kind}"
}

// oneof is the events that an envelope can carry, with the tiers compiled in.
func oneof() protoreflect.FieldDescriptors {
	return chivev1.File_chive_v1_events_proto.Messages().ByName("Envelope").Oneofs().ByName("event").Fields()
}

// sample is an envelope with an empty event of that field.
func sample(field protoreflect.FieldDescriptor) *chivev1.Envelope {
	e := &chivev1.Envelope{}
	m := e.ProtoReflect()
	m.Set(field, m.NewField(field))
	return e
}

// leaves says whether a field is ever seen outside the node.
func leaves(f protoreflect.FieldDescriptor) bool {
	return messages.TierOf(f) <= chivev1.Tier_TIER_LIFECYCLE
}

// eventAddress is where events of a field are published.
func eventAddress(field protoreflect.FieldDescriptor) string {
	return messages.Version + ".{fleet}.{node}.evt." + kindOf(field) + ".{id}." + messages.Verb(sample(field))
}

// events adds a channel, an operation and a message for every event.
func (a *api) events(src source) {
	for i := range oneof().Len() {
		field := oneof().Get(i)
		name, address := messages.Name(sample(field)), eventAddress(field)
		declared := src.file.Messages().ByName(field.Message().Name())
		m := object{{"contentType", protoType}}
		m.text("summary", src.comment(declared))
		m.set("payload", ref("components/schemas/Envelope"))
		m.set("x-event", string(field.Name()))
		m.set("x-tier", tierName(messages.TierOf(field)))
		m.set("x-fields", fieldList(src, declared))
		a.messages.set(name, m)
		a.channel(name, address, "", nil, name)
		a.operations.set(name, object{
			{"action", "send"},
			{"channel", ref("channels/" + name)},
			{"security", security(append(a.hearing(address), localOperator))},
			{"messages", through(name, name)},
		})
	}
}

// fieldList is the fields of a message that leave the node, but for the events of an
// envelope.
func fieldList(src source, declared protoreflect.MessageDescriptor) []object {
	compiled := chivev1.File_chive_v1_events_proto.Messages().ByName(declared.Name())
	out := []object{}
	for i := range declared.Fields().Len() {
		f := declared.Fields().Get(i)
		known := compiled.Fields().ByName(f.Name())
		if f.ContainingOneof() != nil || !leaves(known) {
			continue
		}
		o := object{
			{"name", string(f.Name())},
			{"number", int(f.Number())},
			{"type", typeName(f)},
			{"tier", tierName(messages.TierOf(known))},
		}
		o.text("description", src.comment(f))
		out = append(out, o)
	}
	return out
}

// wireProto writes the schema of what is on the wire: the .proto file without what
// never leaves the node, tiers as comments. It needs no file but the well-known types.
func wireProto(src source) string {
	var b strings.Builder
	b.WriteString("syntax = \"proto3\";\n\npackage chive.v1;\n\nimport \"google/protobuf/duration.proto\";\nimport \"google/protobuf/timestamp.proto\";\n")
	for i := range src.file.Messages().Len() {
		wireMessage(&b, src, src.file.Messages().Get(i))
	}
	for i := range src.file.Enums().Len() {
		e := src.file.Enums().Get(i)
		fmt.Fprintf(&b, "\n%senum %s {\n", comment("// ", src.comment(e), "\n"), e.Name())
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			fmt.Fprintf(&b, "  %s = %d;%s\n", v.Name(), v.Number(), comment("  // ", src.comment(v), ""))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func comment(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

func wireMessage(b *strings.Builder, src source, m protoreflect.MessageDescriptor) {
	compiled := chivev1.File_chive_v1_events_proto.Messages().ByName(m.Name())
	fmt.Fprintf(b, "\n%smessage %s {\n", comment("// ", src.comment(m), "\n"), m.Name())
	var kept []string
	indent, inside := "  ", false
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		known := compiled.Fields().ByName(f.Name())
		if !leaves(known) {
			kept = append(kept, fmt.Sprint(f.Number()))
			continue
		}
		if one := f.ContainingOneof(); one != nil && !inside {
			fmt.Fprintf(b, "  oneof %s {\n", one.Name())
			indent, inside = "    ", true
		}
		label := ""
		if f.IsList() {
			label = "repeated "
		}
		fmt.Fprintf(b, "%s%s%s %s = %d;  // %s%s\n", indent, label, protoType3(f), f.Name(), f.Number(),
			tierName(messages.TierOf(known)), comment(": ", src.comment(f), ""))
	}
	if inside {
		b.WriteString("  }\n")
	}
	if len(kept) > 0 {
		fmt.Fprintf(b, "  reserved %s;  // forensic\n", strings.Join(kept, ", "))
	}
	b.WriteString("}\n")
}

// protoType3 is a field's type as a .proto file says it.
func protoType3(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil && f.Message().ParentFile().Path() != eventsProto:
		return string(f.Message().FullName())
	case f.Message() != nil:
		return string(f.Message().Name())
	case f.Enum() != nil:
		return string(f.Enum().Name())
	}
	return f.Kind().String()
}
