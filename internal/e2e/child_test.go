package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"chive/actors/node"
	"chive/config"
	"chive/internal/diary"
	"chive/internal/invariant"
	"chive/messages"
	"chive/messages/chivev1"
)

// childTorrc names the torrc of a node that this program is to run, in place of tests: a process
// that can be killed and stopped, with a clock that can be moved.
const childTorrc = "CHIVE_E2E_NODE"

// childMain runs the node until its input ends. Each line that it reads says
// how far the wall clock is ahead ("set 1h"), or for how long the machine slept ("sleep 10m"); on its file 3 it writes each event, a line of base64.
func childMain(torrc string) error {
	cfg, err := config.Load(torrc, nil)
	if err != nil {
		return err
	}
	c := &machineClock{}
	out := os.NewFile(3, "events")
	n, err := node.Start(context.Background(), node.Options{
		Config: cfg, Version: "test", Now: c.now(), Boot: c.boot(), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		OnEvent: func(e *chivev1.Envelope) {
			b, err := proto.Marshal(e)
			if err != nil {
				panic(err)
			}
			_, _ = fmt.Fprintln(out, base64.StdEncoding.EncodeToString(b)) // who does not read it is gone
		},
	})
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		how, by, _ := strings.Cut(in.Text(), " ")
		d, err := time.ParseDuration(by)
		switch {
		case err != nil:
			return err
		case how == "sleep":
			c.sleep(d)
		default:
			c.set(d)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.Stop(ctx)
}

// child is a node in a process of its own, and its life from start to end.
type child struct {
	*client // its log
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	read    chan struct{} // closed when all its events are
	said    *diary.Log
	ahead   time.Duration // its wall clock
}

// startChild runs a node that has its data below dir.
func startChild(t testing.TB, dir string, lines ...string) *child {
	t.Helper()
	torrc := dir + "/torrc"
	text := strings.Join(lines, "\n") + "\nSocksPort 127.0.0.1:auto\nDataDirectory " + dir + "/data\n"
	if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return runChild(t, dir)
}

// runChild runs it with the torrc that is there.
func runChild(t testing.TB, dir string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	events, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{
		client: &client{t: t, dir: dir, ready: make(chan struct{}), grown: make(chan struct{}, 1)},
		cmd:    exec.Command(self), read: make(chan struct{}), said: &diary.Log{},
	}
	c.cmd.Env = append(os.Environ(), childTorrc+"="+dir+"/torrc")
	c.cmd.ExtraFiles = []*os.File{out}
	c.cmd.Stdout, c.cmd.Stderr = c.said, c.said
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	go func() {
		defer close(c.read)
		defer events.Close()
		in := bufio.NewReader(events)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
			e := &chivev1.Envelope{}
			if err == nil {
				err = proto.Unmarshal(b, e)
			}
			if err != nil {
				t.Errorf("an event of the node: %v", err)
				return
			}
			c.see(e)
		}
	}()
	return c
}

// kill ends it as kill -9 does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
	<-c.read
}

// end ends it in order, and looks at what it told.
func (c *child) end() {
	_ = c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the node ended with %v: %s", err, c.said.String())
	}
	<-c.read
	for _, v := range invariant.Check(c.log) {
		c.t.Errorf("invariant: %v", v)
	}
}

// move moves its wall clock.
func (c *child) move(by time.Duration) {
	c.ahead += by
	c.say("set", c.ahead)
}

func (c *child) say(how string, d time.Duration) {
	if _, err := fmt.Fprintln(c.stdin, how, d); err != nil {
		c.t.Error(err)
	}
}

// asleep is a machine that sleeps: nothing runs, and the wall clock goes on by as much as is said.
// It stands still for no more than a part of it.
func (c *child) asleep(t testing.TB, stand, by time.Duration) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	wait(t, stand)
	c.ahead += by
	c.say("sleep", by)
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
}

// wait lets time go by that real processes need.
func wait(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// tells are the last events of it, for a test that failed.
func (c *child) tells(t testing.TB, last int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log[max(0, len(c.log)-last):] {
		t.Log(messages.Text(e))
	}
}
