package messages

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages/chivev1"
)

// Encode appends the wire form of e, all tiers, to dst. Text that is not UTF-8
// (a reason made from what a relay sent) is repaired with U+FFFD rather than
// losing the event.
func Encode(dst []byte, e *chivev1.Envelope) ([]byte, error) {
	out, err := proto.MarshalOptions{}.MarshalAppend(dst, e)
	if err == nil {
		return out, nil
	}
	fixed := proto.CloneOf(e)
	repair(fixed.ProtoReflect())
	if out, err = (proto.MarshalOptions{}).MarshalAppend(dst, fixed); err != nil {
		return dst, fmt.Errorf("encode event %s: %w", e.GetId(), err)
	}
	return out, nil
}

// Decode reads one event in wire form.
func Decode(wire []byte) (*chivev1.Envelope, error) {
	e := &chivev1.Envelope{}
	if err := proto.Unmarshal(wire, e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

func repair(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() == protoreflect.StringKind && !f.IsList():
			m.Set(f, protoreflect.ValueOfString(strings.ToValidUTF8(v.String(), "\uFFFD")))
		case f.Message() != nil && !f.IsList() && ours(f.Message()):
			repair(v.Message())
		}
		return true
	})
}
