// Command generate writes the generated pages of docs/; run it from docs/
// through go generate.
package main

import (
	"fmt"
	"os"

	"chive/docs"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run() error {
	pages, err := docs.Pages("../messages")
	if err != nil {
		return err
	}
	for name, content := range pages {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
