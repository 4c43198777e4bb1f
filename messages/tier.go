package messages

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages/chivev1"
)

// TierOf is the tier that a field was annotated with in the .proto file. A
// field without one counts as forensic: what nobody classified goes nowhere.
func TierOf(f protoreflect.FieldDescriptor) chivev1.Tier {
	tier, _ := proto.GetExtension(f.Options(), chivev1.E_Tier).(chivev1.Tier)
	if tier == chivev1.Tier_TIER_UNSPECIFIED {
		return chivev1.Tier_TIER_FORENSIC
	}
	return tier
}

// tiers holds, for every message below Envelope, its fields' tiers and the
// highest tier found in it at any depth.
type messageTiers struct {
	fields  map[protoreflect.FieldNumber]chivev1.Tier
	highest chivev1.Tier
}

var tiers = func() map[protoreflect.FullName]messageTiers {
	known := map[protoreflect.FullName]messageTiers{}
	collectTiers((*chivev1.Envelope)(nil).ProtoReflect().Descriptor(), known)
	return known
}()

func collectTiers(m protoreflect.MessageDescriptor, known map[protoreflect.FullName]messageTiers) chivev1.Tier {
	if have, ok := known[m.FullName()]; ok {
		return have.highest
	}
	entry := messageTiers{fields: map[protoreflect.FieldNumber]chivev1.Tier{}, highest: chivev1.Tier_TIER_AGGREGATE}
	known[m.FullName()] = entry // ends recursion of a message that holds itself
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		tier := TierOf(f)
		entry.fields[f.Number()] = tier
		entry.highest = max(entry.highest, tier)
		if sub := f.Message(); sub != nil && ours(sub) {
			entry.highest = max(entry.highest, collectTiers(sub, known))
		}
	}
	known[m.FullName()] = entry
	return entry.highest
}

// ours tells our messages from the well-known types, whose fields share the
// tier of the field that holds them.
func ours(m protoreflect.MessageDescriptor) bool {
	return m.FullName().Parent() == chivev1.File_chive_v1_events_proto.Package()
}

// Redact returns e with nothing in it above the given tier: a copy without it,
// or e itself when there is nothing to strip; so neither may be changed. Fields unknown to this program
// have no known tier and are stripped too. Above the aggregate tier the event
// itself stays recognisable; at the aggregate tier an event that is not
// itself an aggregate is gone, envelope and all.
func Redact(e *chivev1.Envelope, limit chivev1.Tier) *chivev1.Envelope {
	if clean(e, limit) {
		return e
	}
	return kept(e.ProtoReflect(), limit).Interface().(*chivev1.Envelope)
}

// clean finds the common case without walking fields: an event whose message
// type holds nothing above the limit.
func clean(e *chivev1.Envelope, limit chivev1.Tier) bool {
	if limit < chivev1.Tier_TIER_LIFECYCLE || len(e.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	body := bodyOf(e)
	if body == nil {
		return true
	}
	return tiers[body.Descriptor().FullName()].highest <= limit && len(body.GetUnknown()) == 0
}

// kept is a message with what of m is at or below the limit. It shares with m what nobody
// changes once an event is told: bytes, lists of them, times.
func kept(m protoreflect.Message, limit chivev1.Tier) protoreflect.Message {
	out := m.New()
	fields := tiers[m.Descriptor().FullName()].fields
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fields[f.Number()] > limit:
		case f.Message() == nil || !ours(f.Message()):
			out.Set(f, v)
		case f.IsList():
			all := out.Mutable(f).List()
			for i := range v.List().Len() {
				all.Append(protoreflect.ValueOfMessage(kept(v.List().Get(i).Message(), limit)))
			}
		default:
			out.Set(f, protoreflect.ValueOfMessage(kept(v.Message(), limit)))
		}
		return true
	})
	return out
}
