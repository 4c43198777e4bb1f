package chive

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"
	"testing"
)

// goFile is one parsed file and the names its imports have in it.
type goFile struct {
	path    string
	test    bool
	set     *token.FileSet
	tree    *ast.File
	imports map[string]string // local name → import path
}

func goFiles(t *testing.T, f func(goFile)) {
	t.Helper()
	seen := 0
	sourceFiles(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		g := goFile{path: name, test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet(), imports: map[string]string{}}
		var err error
		if g.tree, err = parser.ParseFile(g.set, name, content, parser.SkipObjectResolution); err != nil {
			t.Errorf("%v", err)
			return
		}
		for _, imp := range g.tree.Imports {
			to, _ := strconv.Unquote(imp.Path.Value)
			local := path.Base(to)
			if imp.Name != nil {
				local = imp.Name.Name
			}
			g.imports[local] = to
		}
		seen++
		f(g)
	})
	if seen < 20 {
		t.Fatalf("only %d Go files", seen)
	}
}

func (g goFile) in(folders ...string) bool {
	for _, folder := range folders {
		if within(g.path, folder) {
			return true
		}
	}
	return false
}

// fakeClock: under testing/synctest a sleep takes no time.
func (g goFile) fakeClock() bool {
	for _, to := range g.imports {
		if to == "testing/synctest" {
			return true
		}
	}
	return false
}

func (g goFile) line(n ast.Node) int { return g.set.Position(n.Pos()).Line }

// use is one use of a package's name: time.Now is {"time", "Now"}.
type use struct{ pkg, name string }

var (
	clock  = []use{{"time", "Now"}, {"time", "Since"}, {"time", "Until"}, {"time", "Sleep"}, {"time", "After"}, {"time", "AfterFunc"}, {"time", "Tick"}, {"time", "NewTimer"}, {"time", "NewTicker"}}
	sleeps = []use{{"time", "Sleep"}}
	// Traps of protoactor-go, each with its proof in docs/adr/0003.
	traps = []use{
		{"github.com/asynkron/protoactor-go/actor", "Bounded"},
		{"github.com/asynkron/protoactor-go/actor", "BoundedDropping"},
		{"github.com/asynkron/protoactor-go/actor", "NewExponentialBackoffStrategy"},
		{"github.com/asynkron/protoactor-go/actor", "NewRestartingStrategy"},
	}
	trapMethods = []string{"SetReceiveTimeout", "Stash", "RequestFuture", "RestartChildren"}
)

func TestForbiddenCode(t *testing.T) {
	goFiles(t, func(g goFile) {
		for _, to := range g.imports {
			if to == "math/rand" {
				t.Errorf("%s imports math/rand: use math/rand/v2 or pass the source in", g.path)
			}
		}
		ast.Inspect(g.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				checkGo(t, g, n)
			case *ast.SelectorExpr:
				checkSelector(t, g, n)
			}
			return true
		})
	})
}

// Goroutines start through one wrapper that recovers; the core has none.
func checkGo(t *testing.T, g goFile, n *ast.GoStmt) {
	t.Helper()
	switch {
	case g.test, g.in("actors/kernel", "internal"):
	case g.in("tor"):
		t.Errorf("%s:%d: a goroutine in the core", g.path, g.line(n))
	default:
		t.Errorf("%s:%d: a bare go statement: use kernel.Go or safego.Go", g.path, g.line(n))
	}
}

func checkSelector(t *testing.T, g goFile, n *ast.SelectorExpr) {
	t.Helper()
	if base, ok := n.X.(*ast.Ident); ok {
		u := use{g.imports[base.Name], n.Sel.Name}
		if g.test && contains(sleeps, u) && !g.fakeClock() {
			t.Errorf("%s:%d: a test sleeps: wait for what it waits for", g.path, g.line(n))
		}
		if g.in("tor") && !g.test && contains(clock, u) {
			t.Errorf("%s:%d: time.%s in the core: pass the time in", g.path, g.line(n), u.name)
		}
		if !g.test && contains(traps, u) {
			t.Errorf("%s:%d: actor.%s is unsound", g.path, g.line(n), u.name)
		}
		if u.pkg != "" {
			return // a package's function, not a method
		}
	}
	if !g.test && g.in("actors", "supervisor") && contains(trapMethods, n.Sel.Name) {
		t.Errorf("%s:%d: %s is unsound", g.path, g.line(n), n.Sel.Name)
	}
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
