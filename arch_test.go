package chive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is this package, the Go API, among the others.
const root = "chive"

// arrow says what packages under from may import of this module. The first
// arrow whose from matches counts.
type arrow struct {
	from string
	to   []string
}

var arrows = []arrow{
	{root, []string{"actors/node", "actors/outcome", "actors/kernel", "config", "messages"}},
	{"tor", []string{"tor"}},
	{"messages", []string{"messages", "internal/safego"}},
	{"config", []string{"config"}},
	{"supervisor/retry", nil}, // usable without the rest of chive
	{"supervisor", []string{"supervisor/retry", "messages", "actors/kernel", "internal/safego"}},
	{"bridge", []string{"messages", "bridge", "internal/safego"}},
	{"actors/kernel", []string{"internal/safego"}},
	{"actors/node", []string{"actors", "supervisor", "tor", "config", "messages", "bridge", "internal/safego", "internal/execmem"}},
	{"actors", []string{"actors", "supervisor", "tor", "config", "messages", "internal/safego", "internal/rawio", "internal/cores", "internal/execmem"}},
	{"cmd", []string{"actors", "bridge", "config", "messages", "cmd", "internal/testnet", "internal/shell", "internal/safego", "internal/cores", "internal/invariant"}},
	{"internal/safego", nil},
	{"internal/rawio", nil},
	{"internal/shell", nil},
	{"internal/cores", nil},
	{"internal/execmem", nil},
}

// foreign says which packages of ours may import a module, by prefix.
var foreign = []struct {
	path, why string
	users     []string
}{
	{"github.com/nats-io/", "only bridge speaks NATS", []string{"bridge"}},
	{"github.com/asynkron/protoactor-go/actor", "only actors and supervisor are actors", []string{"actors", "supervisor"}},
	{"github.com/asynkron/protoactor-go/eventstream", "only actors and supervisor are actors", []string{"actors", "supervisor"}},
	{"github.com/asynkron/protoactor-go/extensions", "named by the actor package's own signatures", []string{"actors/kernel"}},
	{"github.com/asynkron/protoactor-go/", "protoactor beyond actor and eventstream is not used", nil},
	{"filippo.io/edwards25519", "only the core computes with points", []string{"tor"}},
	{"github.com/prometheus/", "only metrics speaks Prometheus' format", []string{"actors/metrics"}},
	{"github.com/alecthomas/kong", "only the command line parses flags", []string{"cmd"}},
}

// pure is what the protocol core does not do (DESIGN.md: no I/O, no clock).
var pure = []string{"net", "net/", "os", "os/", "log", "log/", "crypto/rand", "syscall", "golang.org/x/sys/"}

// impure is what the core still imports of that; the list only ever shrinks.
var impure = map[string]string{
	"tor/cell": "net", // SplitHostPort alone
}

func within(pkg, prefix string) bool {
	return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

type goPackage struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list gave %d packages", len(all))
	}
	return all
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		pkg, ours := strings.CutPrefix(p.ImportPath, "chive/")
		if !ours && pkg != root {
			continue
		}
		for _, imported := range p.Imports {
			if imported == root && !within(pkg, "internal") {
				t.Errorf("%s imports the Go API, which is above it", pkg)
				continue
			}
			if to, ok := strings.CutPrefix(imported, "chive/"); ok {
				checkArrow(t, pkg, to)
				continue
			}
			checkForeign(t, pkg, imported)
			if within(pkg, "tor") && imported != "net/netip" && imported != "golang.org/x/sys/cpu" {
				for _, bad := range pure {
					if impure[pkg] == imported || strings.HasSuffix(pkg, "test") {
						continue // test relays and authorities make keys
					}
					if imported == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(imported, bad) {
						t.Errorf("%s imports %s: the core does no I/O", pkg, imported)
					}
				}
			}
		}
	}
}

func checkArrow(t *testing.T, from, to string) {
	t.Helper()
	for _, a := range arrows {
		if !within(from, a.from) {
			continue
		}
		for _, allowed := range a.to {
			if within(to, allowed) {
				return
			}
		}
		t.Errorf("%s imports %s: that arrow points the wrong way", from, to)
		return
	}
	if within(to, "cmd") {
		t.Errorf("%s imports %s: nothing imports a command", from, to)
	}
}

func checkForeign(t *testing.T, pkg, imported string) {
	t.Helper()
	for _, f := range foreign {
		if !strings.HasPrefix(imported, f.path) {
			continue
		}
		for _, user := range f.users {
			if within(pkg, user) {
				return
			}
		}
		if !within(pkg, "internal") {
			t.Errorf("%s imports %s: %s", pkg, imported, f.why)
		}
		return
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" && !strings.HasSuffix(p.ImportPath, "/chivev1") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// sourceFiles calls f with every text file of the repository.
func sourceFiles(t *testing.T, f func(path string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !d.Type().IsRegular() || d.Name() == ".git": // a file in another work tree
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if bytes.IndexByte(content[:min(len(content), 8000)], 0) < 0 {
			f(filepath.ToSlash(path), content)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

const fileBudget = 600 // lines; a ratchet: it only ever goes down

func TestFileBudget(t *testing.T) {
	sourceFiles(t, func(path string, content []byte) {
		if strings.HasSuffix(path, ".go") && !generated.Match(content) {
			if n := bytes.Count(content, []byte{'\n'}); n > fileBudget {
				t.Errorf("%s has %d lines, the budget is %d", path, n, fileBudget)
			}
		}
	})
}

// Words that promise something for later do not ship; nor do paths of one
// machine.
func TestForbiddenWords(t *testing.T) {
	later := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b|(?i)\b(mock|mocks|mocked|stubbed)\b`)
	machine := regexp.MustCompile(`/(work|root)/[a-z]`)
	sourceFiles(t, func(path string, content []byte) {
		if path == "arch_test.go" {
			return
		}
		product := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		lines := bufio.NewScanner(bytes.NewReader(content))
		lines.Buffer(nil, 64<<20)
		for n := 1; lines.Scan(); n++ {
			if product {
				if word := later.Find(lines.Bytes()); word != nil {
					t.Errorf("%s:%d: %q", path, n, word)
				}
			}
			if where := machine.Find(lines.Bytes()); where != nil {
				t.Errorf("%s:%d: a path of one machine: %q", path, n, where)
			}
		}
	})
}
