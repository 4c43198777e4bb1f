package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chive/bridge"
	"chive/internal/freeport"
)

// patience bounds a failure, never a success.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"chive": func() { os.Exit(execute(os.Args[1:], standardStreams())) },
	})
}

// The scripts are the command line's contract: output, streams, exit codes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", "")
			address, err := freeport.Address()
			if err != nil {
				return err
			}
			env.Setenv("ADDRESS", address)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "answers": answers, "hangup": hangup, "said": said, "eventually": eventually, "reloads": reloads, "visits": visits, "listens": listens,
		},
	})
}

// exits CODE ARGS… runs chive and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS…")
	}
	var code int
	switch err := ts.Exec("chive", args[1:]...).(type) {
	case nil:
	case interface{ ExitCode() int }:
		code = err.ExitCode()
	default:
		ts.Fatalf("chive: %v", err)
	}
	if want := args[0]; want != string(rune('0'+code)) {
		ts.Fatalf("chive exited with %d, want %s", code, want)
	}
}

// answers [DIR] waits until the node of a folder answers; without one it is data.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	dir := append(args, "data")[0]
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		c, err := bridge.Connect(context.Background(), ts.MkAbs(dir))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("no node: %v", err)
		}
	}
}

// hangup sends SIGHUP to the node whose id is in the file pid.
func hangup(ts *testscript.TestScript, _ bool, _ []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile("pid")))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGHUP))
}

// reloads FILE REGEXP puts FILE into the torrc's place and has chive reload tell of the change. The
// node looks for changed files itself and may be first: then reload finds nothing to tell of, and
// what was there before is put back.
func reloads(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: reloads FILE REGEXP")
	}
	want := regexp.MustCompile("(?m)" + args[1])
	torrc, before, after := ts.MkAbs("torrc"), ts.ReadFile("torrc"), ts.ReadFile(args[0])
	for range 20 {
		ts.Check(os.WriteFile(torrc, []byte(after), 0o600))
		ts.Check(ts.Exec("chive", "reload", "--data-dir", "data"))
		out := ts.ReadFile("stdout")
		if want.MatchString(out) {
			return
		}
		if !strings.HasPrefix(out, "no option differs\n") {
			ts.Fatalf("no %s in\n%s", args[1], out)
		}
		ts.Check(os.WriteFile(torrc, []byte(before), 0o600))
		ts.Check(ts.Exec("chive", "reload", "--data-dir", "data"))
	}
	ts.Fatalf("the node was always first")
}

// visits HOST CODE asks for a host at the SocksPort unix:s, and compares the code of the reply.
func visits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: visits HOST CODE")
	}
	c := socks(ts)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(c, "\x05\x01\x00\x05\x01\x00\x03"+string(rune(len(args[0])))+args[0]+"\x00\x50")
	ts.Check(err)
	reply := make([]byte, 4)
	_, err = io.ReadFull(c, reply)
	ts.Check(err)
	if got := fmt.Sprintf("%02X", reply[3]); got != args[1] {
		ts.Fatalf("%s: code %s, want %s", args[0], got, args[1])
	}
}

// listens [ADDRESS] waits until a node takes connections there, without one at the SocksPort unix:s: it
// answers before that.
func listens(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) > 0 {
		dial(ts, "tcp", args[0]).Close()
		return
	}
	socks(ts).Close()
}

func socks(ts *testscript.TestScript) net.Conn { return dial(ts, "unix", ts.MkAbs("s")) }

func dial(ts *testscript.TestScript, network, address string) net.Conn {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			return c
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("no listener: %v", err)
		}
	}
}

// said REGEXP waits until the file log has a line that matches.
func said(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: said REGEXP")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !want.MatchString(ts.ReadFile("log")) {
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("no %s in\n%s", args[0], ts.ReadFile("log"))
		}
	}
}
