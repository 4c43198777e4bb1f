package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schemas writes JSON schemas of Go types, as encoding/json has them, with the source's
// comments.
type schemas struct {
	packages map[string]*goSource // by import path
	names    []string             // in the order they were asked for
	done     map[string]object
	types    map[string]reflect.Type // by name
	closed   bool                    // what is asked for now is refused by nodes when it has other fields
	err      error
}

// goSource is what one package's source says of its types.
type goSource struct {
	about  map[string]string   // by "Type" and "Type.Field"
	values map[string][]string // of constants, by named string type
}

// newSchemas reads the packages in folders below this module.
func newSchemas(folders ...string) (*schemas, error) {
	s := &schemas{packages: map[string]*goSource{}, done: map[string]object{}, types: map[string]reflect.Type{}}
	for _, folder := range folders {
		set := token.NewFileSet()
		g := &goSource{about: map[string]string{}, values: map[string][]string{}}
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			g.read(f)
		}
		abs, err := filepath.Abs(folder)
		if err != nil {
			return nil, err
		}
		s.packages[filepath.Base(abs)] = g
	}
	return s, nil
}

func (g *goSource) read(f *ast.File) {
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			switch x := spec.(type) {
			case *ast.TypeSpec:
				g.readType(x, decl.Doc)
			case *ast.ValueSpec:
				g.readConst(x)
			}
		}
	}
}

func (g *goSource) readType(x *ast.TypeSpec, doc *ast.CommentGroup) {
	g.about[x.Name.Name] = words(doc, x.Doc)
	body, ok := x.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range body.Fields.List {
		for _, n := range f.Names {
			g.about[x.Name.Name+"."+n.Name] = words(f.Doc, f.Comment)
		}
	}
}

func (g *goSource) readConst(x *ast.ValueSpec) {
	kind, ok := x.Type.(*ast.Ident)
	if !ok {
		return
	}
	for _, v := range x.Values {
		if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				g.values[kind.Name] = append(g.values[kind.Name], text)
			}
		}
	}
}

// words is the first comment that says something, on one line.
func words(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// written is all schemas that were asked for.
func (s *schemas) written() object {
	out := object{}
	for _, name := range s.names {
		out.set(name, s.done[name])
	}
	return out
}

// answer is a reference to the schema of a Go value's type: readers pass over
// fields that they do not know.
func (s *schemas) answer(of any) object {
	s.closed = false
	return s.named(reflect.TypeOf(of))
}

// request is the same for what a node reads: a field that it does not know is an error.
func (s *schemas) request(of any) object {
	s.closed = true
	return s.named(reflect.TypeOf(of))
}

func (s *schemas) source(t reflect.Type) *goSource {
	if g := s.packages[t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]]; g != nil {
		return g
	}
	if s.err == nil {
		s.err = fmt.Errorf("asyncapi: the source of %s is not read", t)
	}
	return &goSource{}
}

func (s *schemas) named(t reflect.Type) object {
	name := t.Name()
	if other := s.types[name]; other != nil && other != t { // of two packages
		at := strings.LastIndexByte(t.PkgPath(), '/') + 1
		name = strings.ToUpper(t.PkgPath()[at:at+1]) + t.PkgPath()[at+1:] + name
	}
	if _, known := s.done[name]; !known {
		s.done[name], s.types[name] = nil, t
		s.names = append(s.names, name)
		switch t.Kind() {
		case reflect.Struct:
			s.done[name] = s.structure(t)
		case reflect.String:
			o := object{{"type", "string"}, {"enum", s.source(t).values[t.Name()]}}
			o.text("description", s.source(t).about[t.Name()])
			s.done[name] = o
		default:
			s.err = fmt.Errorf("asyncapi: no schema of %s", t)
		}
	}
	return ref("components/schemas/" + name)
}

func (s *schemas) structure(t reflect.Type) object {
	src := s.source(t)
	o := object{{"type", "object"}}
	o.text("description", src.about[t.Name()])
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		optional := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
		p := s.of(f.Type, optional)
		p.text("description", src.about[t.Name()+"."+f.Name])
		properties.set(name, p)
		if !optional {
			required = append(required, name)
		}
	}
	o.set("properties", properties)
	if len(required) > 0 {
		o.set("required", required)
	}
	if s.closed {
		o.set("additionalProperties", false)
	}
	return o
}

// of is the schema of a field.
func (s *schemas) of(t reflect.Type, optional bool) object {
	kind := func(name string) any { // nil is null, unless it is left out
		if optional {
			return name
		}
		return []string{name, "null"}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem(), optional)
	case t.Kind() == reflect.Slice:
		return object{{"type", kind("array")}, {"items", s.of(t.Elem(), false)}}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		return object{{"type", kind("object")}, {"additionalProperties", s.of(t.Elem(), false)}}
	case t.Kind() == reflect.Struct, t.Kind() == reflect.String && t.PkgPath() != "":
		return object{{"allOf", []object{s.named(t)}}} // a reference alone could have no description
	}
	switch t.Kind() {
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return object{{"type", "integer"}}
	case reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint:
		return object{{"type", "integer"}, {"minimum", 0}}
	}
	s.err = fmt.Errorf("asyncapi: no schema of %s", t)
	return nil
}
