package foreign

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Blocks are the fenced blocks of a Markdown page that are in a language, in order.
func Blocks(page, language string) []string {
	var out []string
	for {
		_, rest, found := strings.Cut(page, "\n```"+language+"\n")
		if !found {
			return out
		}
		block, after, _ := strings.Cut(rest, "\n```\n")
		out = append(out, block+"\n")
		page = "\n" + after
	}
}

// Shell runs commands as somebody would who has only the nats command line.
type Shell struct {
	Tool    string            // path of nats
	Dir     string            // where commands run, and home
	Instead *strings.Replacer // what stands in the commands for this machine's
}

// Run runs commands to their end, or until one fails, and gives what they wrote to
// stdout.
func (s *Shell) Run(ctx context.Context, commands string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-euc", s.Instead.Replace(commands))
	cmd.Dir = s.Dir
	cmd.Env = s.environment()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the shell's children, too
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s\n%s%s", err, commands, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

// environment is the user's without what would configure nats.
func (s *Shell) environment() []string {
	// Without XDG_CONFIG_HOME nats keeps its contexts where the password file says, whatever HOME is.
	out := []string{"HOME=" + s.Dir, "XDG_CONFIG_HOME=" + filepath.Join(s.Dir, ".config"), "PATH=" + filepath.Dir(s.Tool) + string(os.PathListSeparator) + os.Getenv("PATH"), "NATS_TIMEOUT=60s"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "HOME", name == "PATH", strings.HasPrefix(name, "XDG_"), strings.HasPrefix(name, "NATS_"):
		default:
			out = append(out, v)
		}
	}
	return out
}
