package messages

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chive/messages/chivev1"
)

// maxName is the length cap of node and fleet names, that of a DNS label.
const maxName = 63

// Version is the subject prefix of this vocabulary.
const Version = "chive.v1"

// VerbRenew has a node use other circuits from now on, for one identity or for all.
const VerbRenew = "renew"

// VerbIdentities lists the identities that use a node, for its operator.
const VerbIdentities = "identities"

// VerbHosting lists the onion services that a node hosts, for its operator.
const VerbHosting = "hosting"

// VerbHostingVerify has a node visit an onion service that it hosts, as a client does, for
// its operator.
const VerbHostingVerify = "hosting-verify"

// VerbProfile has a node take a profile of itself.
const VerbProfile = "profile"

// VerbGuardsRetry has a node try guards that failed again at once.
const VerbGuardsRetry = "guards-retry"

// VerbTimeoutsForget has a node forget what it learned of circuits' build times.
const VerbTimeoutsForget = "timeouts-forget"

// ValidName says whether s can name a node or a fleet: one NATS token of 1 to
// 63 lower-case letters, digits and dashes, beginning and ending with a letter
// or digit.
func ValidName(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("name %q: want 1 to %d characters, have %d", s, maxName, len(s))
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' || i == 0 || i == len(s)-1) {
			return fmt.Errorf("name %q: character %q at %d: want lower-case letters, digits and inner dashes", s, c, i)
		}
	}
	return nil
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// RandomID makes an actor id: 8 random bytes as 13 base32 characters, lower
// case. It is unique within a boot and says nothing about its bearer.
func RandomID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	return idEncoding.EncodeToString(b[:])
}

// Subject is where e is published:
// chive.v1.<fleet>.<node>.evt.<kind>.<actor id>.<verb>.
func Subject(fleet string, e *chivev1.Envelope) string {
	return Version + "." + fleet + "." + token(e.GetNode()) + ".evt." + KindToken(e.GetKind()) + "." + token(e.GetActorId()) + "." + Verb(e)
}

// ControlSubject is where a node answers requests for a verb:
// chive.v1.<fleet>.<node>.ctl.<verb>.
func ControlSubject(fleet, node, verb string) string {
	return Version + "." + fleet + "." + node + ".ctl." + verb
}

// AckSubject is where a node says what it made of a publication of the fleet's
// configuration: chive.v1.<fleet>.<node>.cfg.<state>.
func AckSubject(fleet, node string, state FleetState) string {
	return Version + "." + fleet + "." + node + ".cfg." + string(state)
}

// token makes s one NATS token: other characters than letters, digits, dash
// and underscore become underscores, and so does nothing at all.
func token(s string) string {
	legal := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
	}
	if s == "" {
		return "_"
	}
	for i := range len(s) {
		if !legal(s[i]) {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if !legal(b[j]) {
					b[j] = '_'
				}
			}
			return string(b)
		}
	}
	return s
}

// KindToken is the subject token of a kind ("circuit"); "unspecified" for one
// that is not in the vocabulary.
func KindToken(k chivev1.Kind) string { return kinds.short(k) }

// ParseKind is the inverse of KindToken.
func ParseKind(token string) (chivev1.Kind, error) { return kinds.parse("kind", token) }

// Kinds lists the tokens of all kinds.
func Kinds() []string { return kinds.names() }

// eventName is what is derived once from a field of Envelope's oneof.
type eventName struct {
	field protoreflect.FieldDescriptor
	name  string // circuit-opened
	verb  string // opened
}

var eventNames = func() map[reflect.Type]eventName {
	names := map[reflect.Type]eventName{}
	fields := (*chivev1.Envelope)(nil).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		e := &chivev1.Envelope{}
		m := e.ProtoReflect()
		m.Set(field, m.NewField(field))
		name := strings.ReplaceAll(string(field.Name()), "_", "-")
		verb := name
		if head, tail, ok := strings.Cut(name, "-"); ok {
			if _, err := ParseKind(head); err == nil {
				verb = tail
			}
		}
		names[reflect.TypeOf(e.Event)] = eventName{field: field, name: name, verb: verb}
	}
	return names
}()

// Name is the event's name with dashes, "circuit-opened"; "none" for an
// envelope without event, or with one newer than this program.
func Name(e *chivev1.Envelope) string {
	if n, ok := eventNames[reflect.TypeOf(e.GetEvent())]; ok {
		return n.name
	}
	return "none"
}

// Verb is the event's name without the kind of its subject: "opened" for
// circuit_opened, "events-dropped" for events_dropped, which no kind begins;
// "none" as for Name.
func Verb(e *chivev1.Envelope) string {
	if n, ok := eventNames[reflect.TypeOf(e.GetEvent())]; ok {
		return n.verb
	}
	return "none"
}

// bodyOf is the message in e's oneof, nil when there is none.
func bodyOf(e *chivev1.Envelope) protoreflect.Message {
	event := e.GetEvent()
	if _, ok := eventNames[reflect.TypeOf(event)]; !ok {
		return nil
	}
	// The wrapper of a oneof has one field. Envelope's own reflection takes longer to find it,
	// and this is asked for every event.
	return reflect.ValueOf(event).Elem().Field(0).Interface().(protoreflect.ProtoMessage).ProtoReflect()
}

// withBody is a value for Envelope.Event like the given one, with another message.
func withBody[T any](event T, body protoreflect.Message) T {
	out := reflect.New(reflect.TypeOf(event).Elem())
	out.Elem().Field(0).Set(reflect.ValueOf(body.Interface()))
	return out.Interface().(T)
}

// Only says of an id that it names nothing: its actor is the only one of its kind, and is called
// as the kind is. To people it is not said twice.
func Only(kind, id string) bool {
	return kind == id && kind != KindToken(chivev1.Kind_KIND_NODE) // a node's is its name
}
