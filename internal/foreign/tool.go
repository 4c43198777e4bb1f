package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNoModules means that the tool's modules are neither in the module cache nor to be
// had from the module proxy.
var ErrNoModules = errors.New("the modules of tools/nats cannot be had: with a module proxy in reach, go -C tools/nats mod download gets them")

// unreachable is what the go command says when it cannot get a module.
var unreachable = regexp.MustCompile(`module lookup disabled|dial tcp|no such host|connection refused|i/o timeout|TLS handshake|network is unreachable|reading https?://`)

// Build builds the nats command line from its sources, as a static program, into Go's
// build cache, and gives its path. Without changes it is there from the last time. root
// is this module's folder.
func Build(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "nats")
	cmd.Dir = filepath.Join(root, "tools", "nats")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "PWD="+cmd.Dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if unreachable.Match(said.Bytes()) {
			return "", fmt.Errorf("%w: %s", ErrNoModules, said.Bytes())
		}
		return "", fmt.Errorf("build the nats command line: %w\n%s", err, said.Bytes())
	}
	path := strings.TrimSpace(string(out))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("build the nats command line: %w", err)
	}
	return path, nil
}
