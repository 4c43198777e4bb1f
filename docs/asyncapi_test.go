package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
	"chive/messages/chivev1"
)

// asyncAPI is the page as any reader has it.
func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows a path through mappings.
func at(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

func names(v any) []string {
	var out []string
	m, _ := v.(map[string]any)
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// list is the last words of references: the roles of an operation, say.
func list(v any) []string {
	out := []string{}
	all, _ := v.([]any)
	for _, x := range all {
		r, _ := at(x, "$ref").(string)
		out = append(out, r[strings.LastIndexByte(r, '/')+1:])
	}
	return out
}

func walk(v any, see func(key string, value any)) {
	switch x := v.(type) {
	case map[string]any:
		for k, inner := range x {
			see(k, inner)
			walk(inner, see)
		}
	case []any:
		for _, inner := range x {
			walk(inner, see)
		}
	}
}

func TestAsyncAPIHoldsTogether(t *testing.T) {
	doc := asyncAPI(t)
	refs := 0
	walk(doc, func(key string, value any) {
		if key != "$ref" {
			return
		}
		refs++
		to, _ := value.(string)
		path, ok := strings.CutPrefix(to, "#/")
		if !ok || at(doc, strings.Split(path, "/")...) == nil {
			t.Errorf("%q leads nowhere", to)
		}
	})
	if refs < 300 {
		t.Errorf("only %d references", refs)
	}
	addresses := map[string]string{}
	for _, name := range names(doc["channels"]) {
		c := at(doc, "channels", name)
		if len(names(at(c, "messages"))) == 0 {
			t.Errorf("channel %s carries nothing", name)
		}
		address, _ := at(c, "address").(string)
		if other, twice := addresses[address]; twice && address != "" {
			t.Errorf("%s is %s and %s", address, other, name)
		}
		addresses[address] = name
		want := placeholders(address)
		slices.Sort(want)
		if got := names(at(c, "parameters")); !slices.Equal(got, want) {
			t.Errorf("channel %s has the parameters %v, its address %v", name, got, want)
		}
	}
	for _, name := range names(doc["operations"]) {
		o := at(doc, "operations", name)
		if action := at(o, "action"); action != "send" && action != "receive" {
			t.Errorf("operation %s: action %v", name, action)
		}
		if len(list(at(o, "security"))) == 0 {
			t.Errorf("operation %s is nobody's", name)
		}
		for _, part := range []any{o, at(o, "reply")} {
			to, _ := at(part, "channel", "$ref").(string)
			said, _ := at(part, "messages").([]any)
			for _, m := range said {
				if r, _ := at(m, "$ref").(string); !strings.HasPrefix(r, to+"/messages/") {
					t.Errorf("operation %s: %q is not of %q", name, r, to)
				}
			}
		}
	}
}

// Who may do what, by hand: the document says what the servers enforce.
func TestAsyncAPINamesTheRoles(t *testing.T) {
	all := []string{"observe", "operate", "configure"}
	for operation, want := range map[string][]string{
		"circuit-opened":   append(slices.Clone(all), localOperator),
		"actor-failed":     append(slices.Clone(all), localOperator),
		"acknowledged":     all,
		"members":          all,
		"acknowledgements": {"operate", "configure"},
		"config":           {"configure"},
		"status":           append(slices.Clone(all), localOperator),
		"history":          append(slices.Clone(all), localOperator),
		"drain":            {"operate", localOperator},
		"guards-retry":     {"operate", localOperator},
		"timeouts-forget":  {"operate", localOperator},
		"config-propose":   {localOperator},
		"config-show":      {localOperator},
		"services-PING":    append(slices.Clone(all), localOperator),
	} {
		if got := list(at(asyncAPI(t), "operations", operation, "security")); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", operation, got, want)
		}
	}
}

// filled is an envelope with a value in every field of one event.
func filled(field protoreflect.FieldDescriptor) *chivev1.Envelope {
	e := sample(field)
	e.Id, e.Node, e.ActorId, e.Sequence, e.CauseId, e.CorrelationId = "n1/7", "n1", "abc", 7, "n1/6", "xyz"
	e.Kind = chivev1.Kind_KIND_CIRCUIT
	if token := kindOf(field); token != "{kind}" {
		e.Kind, _ = messages.ParseKind(token)
	}
	fill(e.ProtoReflect().Get(field).Message())
	return e
}

func fill(m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		v := m.NewField(f)
		switch {
		case f.IsList():
			v.List().Append(protoreflect.ValueOfBytes([]byte("relay")))
		case f.Message() != nil:
			fill(v.Message())
		case f.Kind() == protoreflect.StringKind:
			v = protoreflect.ValueOfString("text")
		case f.Kind() == protoreflect.BytesKind:
			v = protoreflect.ValueOfBytes([]byte("relay"))
		case f.Kind() == protoreflect.BoolKind:
			v = protoreflect.ValueOfBool(true)
		case f.Kind() == protoreflect.Uint32Kind:
			v = protoreflect.ValueOfUint32(3)
		case f.Kind() == protoreflect.Uint64Kind:
			v = protoreflect.ValueOfUint64(3)
		case f.Kind() == protoreflect.Int64Kind:
			v = protoreflect.ValueOfInt64(3)
		case f.Kind() == protoreflect.Int32Kind:
			v = protoreflect.ValueOfInt32(3)
		case f.Kind() == protoreflect.EnumKind:
			v = protoreflect.ValueOfEnum(1)
		}
		m.Set(f, v)
	}
}

// A program that has this document only reads every event of the wire, and knows of
// nothing that never leaves a node.
func TestAsyncAPIReadsTheWire(t *testing.T) {
	doc := asyncAPI(t)
	schema, _ := at(doc, "components", "schemas", "Envelope", "schema").(string)
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"envelope.proto": schema}),
	})}
	files, err := compiler.Compile(context.Background(), "envelope.proto")
	if err != nil {
		t.Fatal(err)
	}
	envelope := files[0].Messages().ByName("Envelope")
	for i := range oneof().Len() {
		field := oneof().Get(i)
		sent := filled(field)
		name := messages.Name(sent)
		wire, err := messages.Encode(nil, messages.Redact(sent, chivev1.Tier_TIER_LIFECYCLE))
		if err != nil {
			t.Fatal(err)
		}
		got := dynamicpb.NewMessage(envelope)
		if err := proto.Unmarshal(wire, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		event := got.WhichOneof(envelope.Oneofs().ByName("event"))
		if event == nil || string(event.Name()) != at(doc, "components", "messages", name, "x-event") {
			t.Errorf("%s is read as %v", name, event)
			continue
		}
		body := got.Get(event).Message()
		if len(got.GetUnknown())+len(body.GetUnknown()) > 0 {
			t.Errorf("%s: fields that the document does not know", name)
		}
		listed, _ := at(doc, "components", "messages", name, "x-fields").([]any)
		var want []string
		for _, f := range listed {
			want = append(want, fmt.Sprint(at(f, "name")))
		}
		var have []string
		for j := range event.Message().Fields().Len() {
			f := event.Message().Fields().Get(j)
			have = append(have, string(f.Name()))
			if !body.Has(f) {
				t.Errorf("%s: %s is not on the wire", name, f.Name())
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: fields %v, listed %v", name, have, want)
		}
		address, _ := at(doc, "channels", name, "address").(string)
		pattern := regexp.QuoteMeta(placeholder.ReplaceAllString(address, "@"))
		if subject := messages.Subject("f", sent); !regexp.MustCompile("^" + strings.ReplaceAll(pattern, "@", "[^.]+") + "$").MatchString(subject) {
			t.Errorf("%s is published at %s, not at %s", name, subject, address)
		}
	}
}

// Where the code says what kind of actor an event is about, it is the document's.
func TestAsyncAPIKnowsWhatEventsAreAbout(t *testing.T) {
	kinds := map[string]string{} // of an event's message
	for i := range oneof().Len() {
		kinds[string(oneof().Get(i).Message().Name())] = kindOf(oneof().Get(i))
	}
	seen := 0
	for _, top := range []string{"../actors", "../bridge", "../messages", "../supervisor"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				kind, body := event(n)
				if body == "" {
					return true
				}
				seen++
				if want := kinds[body]; want != "{kind}" && want != kind {
					t.Errorf("%s: %s is about a %s, in the document about a %s", path, body, kind, want)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 {
		t.Errorf("only %d events are emitted", seen)
	}
}

// event reads Event(chivev1.Kind_KIND_X, …, &chivev1.Y{…}).
func event(n ast.Node) (kind, body string) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 3 {
		return "", ""
	}
	about, ok := call.Args[0].(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(about.Sel.Name, "Kind_KIND_") {
		return "", ""
	}
	made, ok := call.Args[2].(*ast.UnaryExpr)
	if !ok {
		return "", ""
	}
	lit, ok := made.X.(*ast.CompositeLit)
	if !ok {
		return "", ""
	}
	of, ok := lit.Type.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	return strings.ToLower(strings.TrimPrefix(about.Sel.Name, "Kind_KIND_")), of.Sel.Name
}

// TestAsyncAPISchemas holds each schema against values of its type: one with
// everything set, one with nothing.
func TestAsyncAPISchemas(t *testing.T) {
	doc := asyncAPI(t)
	checked := 0
	for _, v := range []any{
		messages.FleetEnvelope{},
		messages.FleetDocument{},
		messages.FleetAck{},
		messages.FleetMember{},
		node.Status{},
		node.Ask{},
		node.Kept{},
		node.DrainAnswer{},
		messages.ConfigProposal{},
		messages.ConfigResult{},
		messages.ConfigView{},
		messages.ConfigRevision{},
		messages.ConfigChange{},
		messages.ConfigRevert{},
		bridge.DiffRequest{},
	} {
		name := reflect.TypeOf(v).Name()
		full := reflect.New(reflect.TypeOf(v)).Elem()
		setAll(full)
		for what, value := range map[string]any{"full": full.Interface(), "empty": v} {
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			var read any
			d := json.NewDecoder(bytes.NewReader(text))
			if err := d.Decode(&read); err != nil {
				t.Fatal(err)
			}
			if what == "empty" {
				blank(read)
			}
			schema := at(doc, "components", "schemas", name)
			if schema == nil {
				t.Errorf("no schema of %s", name)
			}
			conforms(t, doc, schema, read, name)
			checked++
		}
	}
	if checked != 30 {
		t.Errorf("%d values", checked)
	}
	for schema, want := range map[string]string{"FleetState": "applied", "ConfigSource": "control"} {
		if all, _ := at(doc, "components", "schemas", schema, "enum").([]any); !slices.Contains(all, any(want)) {
			t.Errorf("%s is one of %v", schema, all)
		}
	}
	var states []string
	for _, s := range ackStates {
		states = append(states, string(s))
	}
	if all := fmt.Sprint(at(doc, "components", "schemas", "FleetState", "enum")); all != fmt.Sprint(states) {
		t.Errorf("states %s, but addresses have %v", all, states)
	}
}

// blank gives named strings that have no zero value one, as their types would.
func blank(v any) {
	m, _ := v.(map[string]any)
	for _, key := range []string{"state", "source"} {
		if m[key] == "" {
			m[key] = map[string]string{"state": "applied", "source": "control"}[key]
		}
	}
}

func setAll(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			setAll(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setAll(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setAll(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		x := reflect.New(v.Type().Elem()).Elem()
		setAll(x)
		v.SetMapIndex(reflect.ValueOf("key"), x)
	case reflect.String:
		switch v.Interface().(type) {
		case messages.FleetState:
			v.SetString(string(messages.FleetApplied))
		case messages.ConfigSource:
			v.SetString(string(messages.ConfigFromControl))
		default:
			v.SetString("text")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint64, reflect.Uint32:
		v.SetUint(3)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

// conforms checks a value against as much of JSON Schema as the document uses; every
// field that is there is in the schema.
func conforms(t *testing.T, doc, schema, v any, where string) {
	t.Helper()
	if r, ok := at(schema, "$ref").(string); ok {
		conforms(t, doc, at(doc, strings.Split(strings.TrimPrefix(r, "#/"), "/")...), v, where)
		return
	}
	if all, ok := at(schema, "allOf").([]any); ok {
		for _, s := range all {
			conforms(t, doc, s, v, where)
		}
		return
	}
	kinds, several := at(schema, "type").([]any)
	if !several {
		kinds = []any{at(schema, "type")}
	}
	kind := ""
	switch x := v.(type) {
	case nil:
		kind = "null"
	case string:
		kind = "string"
		if one, ok := at(schema, "enum").([]any); ok && !slices.Contains(one, any(x)) {
			t.Errorf("%s: %q is not one of %v", where, x, one)
		}
	case bool:
		kind = "boolean"
	case float64:
		kind = "number"
		if x == float64(int64(x)) && slices.Contains(kinds, any("integer")) {
			kind = "integer"
		}
	case []any:
		kind = "array"
		for _, inner := range x {
			conforms(t, doc, at(schema, "items"), inner, where+"[]")
		}
	case map[string]any:
		kind = "object"
		for name, inner := range x {
			s := at(schema, "properties", name)
			if s == nil {
				s = at(schema, "additionalProperties")
			}
			if s == nil || s == false {
				t.Errorf("%s: %s is not in the schema", where, name)
				continue
			}
			conforms(t, doc, s, inner, where+"."+name)
		}
		need, _ := at(schema, "required").([]any)
		for _, name := range need {
			if _, have := x[name.(string)]; !have {
				t.Errorf("%s: %s is required and left out", where, name)
			}
		}
	}
	if !slices.Contains(kinds, any(kind)) {
		t.Errorf("%s is %s, want %v", where, kind, kinds)
	}
}
