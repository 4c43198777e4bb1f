package protogen

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../messages"

// What is committed is what the .proto files say, neither older nor edited.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	want, err := Generate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatal("nothing was generated")
	}
	for name, content := range want {
		have, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("%v: run go generate ./messages", err)
			continue
		}
		if !bytes.Equal(have, content) {
			t.Errorf("messages/%s is not what its .proto file says: run go generate ./messages", name)
		}
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".pb.go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if _, ok := want[filepath.ToSlash(rel)]; !ok {
			t.Errorf("messages/%s comes from no .proto file", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGenerateRefusesABrokenFile(t *testing.T) {
	for name, source := range map[string]string{
		"syntax":    `syntax = "proto3"; message {`,
		"reference": `syntax = "proto3"; message A { Missing b = 1; }`,
		"import":    `syntax = "proto3"; import "missing.proto";`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if files, err := Generate(t.Context(), dir); err == nil {
			t.Errorf("%s: generated %d files", name, len(files))
		}
	}
}
