package story

import "google.golang.org/protobuf/reflect/protoreflect"

func protoString(s string) protoreflect.Value { return protoreflect.ValueOfString(s) }

func protoEnum(n int) protoreflect.Value {
	return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
}

func protoMessage(m protoreflect.Message) protoreflect.Value {
	return protoreflect.ValueOfMessage(m)
}
