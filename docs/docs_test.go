package docs

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestGeneratedPagesAreCurrent(t *testing.T) {
	pages, err := Pages("../messages")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code says: run make generate", name)
		}
	}
}

// Links between pages and into the tree lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	seen := 0
	for _, folder := range []string{"", "adr/", "../"} {
		entries, err := os.ReadDir("./" + folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".md") {
				continue
			}
			text, err := os.ReadFile(folder + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllSubmatch(text, -1) {
				seen++
				if _, err := os.Stat(folder + string(m[1])); err != nil {
					t.Errorf("%s%s: %v", folder, e.Name(), err)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d links were looked at", seen)
	}
}
