package shell

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"chive/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"": "''", "80": "80", "--data-dir=/tmp/c1": "--data-dir=/tmp/c1", "5 minutes": "'5 minutes'", "it's": `'it'\''s'`,
		"~": "'~'", "a*b": "'a*b'", "naïve": "'naïve'", "a\nb": "'a\nb'",
	} {
		if got := Quote(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

// A real shell reads what was meant.
func TestLineIsReadBack(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh:", err)
	}
	words := []string{"", "plain", "5 minutes", "it's", `"$HOME" \ ~`, "~/x", "*", "a;b", "#x", "!1", "-o", "a\nb", "%+,-./:=@_"}
	out, err := exec.Command(sh, "-c", `printf '%s\0' `+Line(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, words) {
		t.Errorf("%q, want %q", got, words)
	}
}
