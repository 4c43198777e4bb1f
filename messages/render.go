package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages/chivev1"
)

// textTime is UTC to the millisecond.
const textTime = "2006-01-02T15:04:05.000Z"

// JSON is e as canonical protobuf JSON on one line without a newline, fields
// in the order of the .proto file, without forensic fields.
func JSON(e *chivev1.Envelope) ([]byte, error) {
	raw, err := protojson.Marshal(Redact(e, chivev1.Tier_TIER_LIFECYCLE))
	if err != nil {
		return nil, fmt.Errorf("event %s as JSON: %w", e.GetId(), err)
	}
	// protojson varies its white space on purpose; users compare lines.
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return nil, fmt.Errorf("event %s as JSON: %w", e.GetId(), err)
	}
	return line.Bytes(), nil
}

// Text is e as one line for people, without forensic fields:
//
//	2026-11-24T10:00:00.120Z circuit wq3x7k2m5d6ya opened hops=3 took=340ms
//	2026-11-24T10:00:00.120Z config rejected mouth=control
func Text(e *chivev1.Envelope) string {
	e = Redact(e, chivev1.Tier_TIER_LIFECYCLE)
	var line strings.Builder
	line.WriteString(e.GetTime().AsTime().UTC().Format(textTime))
	kind, id := KindToken(e.GetKind()), e.GetActorId()
	if Only(kind, id) {
		id = ""
	}
	for _, word := range []string{kind, id, Verb(e)} {
		if word != "" {
			line.WriteByte(' ')
			line.WriteString(quoted(word))
		}
	}
	body := bodyOf(e)
	if body == nil {
		return line.String()
	}
	fields := body.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); body.Has(f) && TierOf(f) <= chivev1.Tier_TIER_LIFECYCLE {
			fmt.Fprintf(&line, " %s=%s", strings.ReplaceAll(string(f.Name()), "_", "-"), textValue(f, body.Get(f)))
		}
	}
	return line.String()
}

func textValue(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		value := f.Enum().Values().ByNumber(v.Enum())
		if value == nil {
			return strconv.Itoa(int(v.Enum()))
		}
		return shortName(enumPrefix(f.Enum()), string(value.Name()))
	case protoreflect.StringKind:
		return quoted(v.String())
	case protoreflect.MessageKind:
		switch m := v.Message().Interface().(type) {
		case *durationpb.Duration:
			return m.AsDuration().String()
		case *timestamppb.Timestamp:
			return m.AsTime().UTC().Format(time.RFC3339)
		}
	}
	return v.String()
}

// enumPrefix is what the values of an enum begin with, from the value zero,
// which is always <PREFIX>UNSPECIFIED.
func enumPrefix(e protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(e.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// quoted leaves a plain word alone and quotes anything that could break the
// line, the columns or the terminal.
func quoted(s string) string {
	for _, c := range s {
		if c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\' {
			return strconv.QuoteToASCII(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}
