package faults

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
)

// required are the faults that docs/testing.md must have.
var required = []string{
	"forged consensus signature", "too few signatures", "wrong CERTS", "expired CERTS", "wrong identity at a real relay",
	"no files left that may be open, or not the address to connect from",
	"wrong handshake authenticator", "bad relay digest", "cell on an unknown circuit", "hostile exit", "hostile middle relay", "hostile guard",
	"exit that breaks the rules of a conflux set", "exit that has too much wait for its turn", "a leg of a conflux set is gone that was in use", "oversized document", "truncated document",
	"zlib bomb", "zstd bomb", "concatenated bombs", "relay accepts and says nothing", "relay stalls in a handshake",
	"consensus diff that is cut, too large, or leads elsewhere", "cached consensus changed under a diff",
	"directory withholds microdescriptors", "directory drips headers", "required protocol is missing",
	"router forgets the connections that are open", "guard hangs, its connections stay open", "relay answers no CREATE on any connection",
	"network changes while a connection is made",
	"relay stalls mid-download", "relay closes mid-download", "guard killed mid-download", "full disk before the start",
	"a service's client sends too much before the target is connected",
	"full disk mid-run", "data directory used twice", "corrupt cache file", "truncated cache file",
	"panic while a request is handled", "secrets in the log at info",
}

// otherOutcomes are those that are no event's.
var otherOutcomes = []string{"exit code 1", "exit code 3", "ENOSPC", "ErrInUse", "fetched anew", "no line has any", "asked for elsewhere", "protocols-missing"}

const root = "../.."

// row is a line of the table.
type row struct {
	fault    string
	outcomes []string
	tests    []string
}

func table(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, faults, found := strings.Cut(string(text), "\n## Faults\n")
	if !found {
		t.Fatal("docs/testing.md has no section Faults")
	}
	faults, _, _ = strings.Cut(faults, "\n## ")
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(faults) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.Contains(line, "---") || strings.HasPrefix(line, "| Fault ") {
			continue
		}
		r := row{fault: strings.TrimSpace(cells[0])}
		for o := range strings.SplitSeq(cells[1], ",") {
			r.outcomes = append(r.outcomes, strings.TrimSpace(o))
		}
		for _, m := range name.FindAllStringSubmatch(cells[2], -1) {
			r.tests = append(r.tests, m[1])
		}
		rows = append(rows, r)
	}
	return rows
}

// source is what the tests of a package are called, and the texts in them, of
// which the names of subtests are some.
type source struct{ functions, texts map[string]bool }

func read(t *testing.T, folder string) source {
	t.Helper()
	s := source{map[string]bool{}, map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s: no tests (%v)", folder, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					s.functions[n.Name.Name] = true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					s.texts[text] = true
				}
			}
			return true
		})
	}
	return s
}

// exists says what is wrong with the name of a test, as the tables of docs/testing.md
// write it: "folder TestName/subtest", without a folder in internal/e2e, or a script. What
// was read of the folders is kept in sources.
func exists(t *testing.T, sources map[string]source, name string) (problem string) {
	t.Helper()
	if strings.HasSuffix(name, ".txtar") {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			return err.Error()
		}
		return ""
	}
	folder, test, found := strings.Cut(name, " Test")
	if !found {
		folder, test = "internal/e2e", strings.TrimPrefix(name, "Test")
	}
	function, sub, isSub := strings.Cut("Test"+test, "/")
	if _, known := sources[folder]; !known {
		sources[folder] = read(t, folder)
	}
	if s := sources[folder]; !s.functions[function] || isSub && !s.texts[sub] {
		return folder + " has no " + strings.TrimPrefix(name, folder+" ")
	}
	return ""
}

// eventOutcomes are "name outcome" of every event that has an outcome.
func isEventOutcome(s string) bool {
	event, outcome, found := strings.Cut(s, " ")
	if !found || !slices.Contains([]string{
		"connection-failed", "connection-closed", "circuit-failed", "circuit-closed",
		"stream-ended", "stream-detached", "document-rejected", "guard-unreachable",
	}, event) {
		return false
	}
	for o := range chivev1.Outcome_name {
		if o != 0 && messages.OutcomeName(chivev1.Outcome(o)) == outcome {
			return true
		}
	}
	return false
}

// Each relay of an onion service is in the table in each way, with tests that exist.
func TestTableOfOnionRelays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([^`]+)`")
	sources, rows := map[string]source{}, 0
	_, table, _ := strings.Cut(string(text), "\n| Relay of an onion service |")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if strings.TrimSpace(line) == "" {
			break
		}
		if !strings.Contains(cells[0], ", to a ") {
			continue
		}
		rows++
		for _, cell := range cells[1:] {
			tests := name.FindAllStringSubmatch(cell, -1)
			if len(tests) == 0 || len(cells) != 5 {
				t.Errorf("%s: %d cells, one without a test", cells[0], len(cells))
			}
			for _, m := range tests {
				if problem := exists(t, sources, m[1]); problem != "" {
					t.Errorf("%s: %s", cells[0], problem)
				}
			}
		}
	}
	if rows != 6 {
		t.Errorf("%d rows, want three kinds of relay to client and host", rows)
	}
}

// The table of docs/testing.md tells the truth.
func TestTableOfFaults(t *testing.T) {
	rows := table(t)
	sources := map[string]source{}
	var faults []string
	for _, r := range rows {
		faults = append(faults, r.fault)
		if len(r.tests) == 0 {
			t.Errorf("%s: no test", r.fault)
		}
		for _, o := range r.outcomes {
			if !isEventOutcome(o) && !slices.Contains(otherOutcomes, o) {
				t.Errorf("%s: %q is no outcome", r.fault, o)
			}
		}
		for _, name := range r.tests {
			if problem := exists(t, sources, name); problem != "" {
				t.Errorf("%s: %s", r.fault, problem)
			}
		}
	}
	for _, fault := range required {
		if !slices.Contains(faults, fault) {
			t.Errorf("the table lacks %q", fault)
		}
	}
	for _, fault := range faults {
		if !slices.Contains(required, fault) {
			t.Errorf("%q is in the table and not required: add it, so that it stays", fault)
		}
	}
}
