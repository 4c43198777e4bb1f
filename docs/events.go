package docs

import (
	"bytes"
	"context"
	_ "embed" // clientSection
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages"
	"chive/messages/chivev1"
)

// clientSection is run by a test of internal/foreign, command by command.
//
//go:embed generate/client.md
var clientSection string

const eventsProto = "chive/v1/events.proto"

// source is the .proto file with its comments; the compiled-in descriptors,
// which know the tiers, have none.
type source struct {
	file protoreflect.FileDescriptor
}

func readSource(root string) (source, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), eventsProto)
	if err != nil {
		return source{}, fmt.Errorf("compile %s: %w", eventsProto, err)
	}
	return source{files[0]}, nil
}

// comment is what the file says about d, on one line.
func (s source) comment(d protoreflect.Descriptor) string {
	loc := s.file.SourceLocations().ByDescriptor(d)
	text := loc.LeadingComments
	if text == "" {
		text = loc.TrailingComments
	}
	return strings.Join(strings.Fields(text), " ")
}

func eventsPage(root string) ([]byte, error) {
	src, err := readSource(root)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, head, "messages/chive/v1/events.proto")
	b.WriteString(`# Events

Every change of state is one protobuf message in an envelope, published on NATS:

    chive.v1.<fleet>.<node>.evt.<kind>.<actor id>.<verb>

so ` + "`chive.v1.*.*.evt.circuit.>`" + ` is every circuit's. Actor ids are random and live
for one boot. ` + "`chive events`" + ` reads them; with NatsListen set any NATS client on this
machine can, given the credential file. What they add up to, ` + "`chive why`" + ` and the
lists of circuits, streams, connections and guards tell ([why](why.md)); for those the
node keeps them on disk for a while, without their forensic fields.

Each field has a tier:

- **aggregate**: counts and outcomes; may go anywhere.
- **lifecycle**: kinds, random ids, purposes, rounded durations; NATS inside the node.
- **forensic**: relay identities, paths, targets; never leaves the node's memory in
  clear, so no subscriber ever sees these fields.

Keys, client addresses, cookies and payloads are in no event.

`)
	b.WriteString(clientSection)
	envelope := src.file.Messages().ByName("Envelope")
	b.WriteString("## Envelope\n\n")
	fieldTable(&b, src, envelope, func(f protoreflect.FieldDescriptor) bool { return f.ContainingOneof() == nil })
	b.WriteString("## The events\n\n")
	compiled := chivev1.File_chive_v1_events_proto.Messages().ByName("Envelope").Oneofs().ByName("event").Fields()
	for i := range compiled.Len() {
		eventSection(&b, src, compiled.Get(i))
	}
	b.WriteString("## Enumerations\n\n")
	for i := range src.file.Enums().Len() {
		enumSection(&b, src, src.file.Enums().Get(i))
	}
	return b.Bytes(), nil
}

func eventSection(b *bytes.Buffer, src source, field protoreflect.FieldDescriptor) {
	e := &chivev1.Envelope{}
	m := e.ProtoReflect()
	m.Set(field, m.NewField(field))
	message := src.file.Messages().ByName(field.Message().Name())
	fmt.Fprintf(b, "### %s\n\n", messages.Name(e))
	if text := src.comment(message); text != "" {
		fmt.Fprintf(b, "%s\n\n", text)
	}
	fmt.Fprintf(b, "Verb: `%s`. Message: %s.\n\n", messages.Verb(e), message.Name())
	fieldTable(b, src, message, func(protoreflect.FieldDescriptor) bool { return true })
}

func fieldTable(b *bytes.Buffer, src source, m protoreflect.MessageDescriptor, want func(protoreflect.FieldDescriptor) bool) {
	compiled := chivev1.File_chive_v1_events_proto.Messages().ByName(m.Name())
	rows := 0
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if !want(f) {
			continue
		}
		if rows == 0 {
			b.WriteString("| Field | Type | Tier | |\n|---|---|---|---|\n")
		}
		rows++
		tier := messages.TierOf(compiled.Fields().ByName(f.Name()))
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", f.Name(), typeName(f), tierName(tier), src.comment(f))
	}
	if rows > 0 {
		b.WriteString("\n")
	}
}

func tierName(t chivev1.Tier) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "TIER_"))
}

func typeName(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	switch {
	case f.Message() != nil:
		name = string(f.Message().Name())
	case f.Enum() != nil:
		name = string(f.Enum().Name())
	}
	if f.IsList() {
		name = "list of " + name
	}
	return name
}

func enumSection(b *bytes.Buffer, src source, e protoreflect.EnumDescriptor) {
	fmt.Fprintf(b, "### %s\n\n", e.Name())
	if text := src.comment(e); text != "" {
		fmt.Fprintf(b, "%s\n\n", text)
	}
	b.WriteString("| Value | |\n|---|---|\n")
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		fmt.Fprintf(b, "| %s | %s |\n", v.Name(), src.comment(v))
	}
	b.WriteString("\n")
}
