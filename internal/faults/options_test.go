package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chive/config"
)

// optionTests reads the tables of options and of listeners' flags.
func optionTests(t *testing.T) (options, flags map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Options\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/testing.md has no section Options")
	}
	options, flags = map[string][]string{}, map[string][]string{}
	into := options
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		what := strings.TrimSpace(cells[0])
		switch {
		case len(cells) != 2 || strings.HasPrefix(what, "---"):
			continue
		case what == "Option":
			into = options
			continue
		case what == "Flag":
			into = flags
			continue
		case into[what] != nil:
			t.Errorf("%s is in the table twice", what)
		}
		into[what] = []string{}
		for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
			into[what] = append(into[what], m[1])
		}
	}
	return options, flags
}

// Every option that chive honours, and every flag of a listener, names at least one test
// that shows what it does; those tests exist.
func TestTableOfOptions(t *testing.T) {
	options, flags := optionTests(t)
	var all []string
	for _, o := range config.Options() {
		all = append(all, o.Name)
	}
	sources := map[string]source{}
	check := func(table map[string][]string, known []string, kind string) {
		for _, what := range known {
			if len(table[what]) == 0 {
				t.Errorf("%s %s: no test shows its effect", kind, what)
			}
		}
		for what, tests := range table {
			if !slices.Contains(known, what) {
				t.Errorf("%s is no %s", what, kind)
			}
			for _, test := range tests {
				if problem := exists(t, sources, test); problem != "" {
					t.Errorf("%s %s: %s", kind, what, problem)
				}
			}
		}
	}
	check(options, all, "option")
	check(flags, config.Flags(), "flag")
}
