// Command cmd regenerates the Go code of the .proto files; run it from
// messages/ through go generate.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"chive/internal/protogen"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := protogen.Generate(context.Background(), root)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
