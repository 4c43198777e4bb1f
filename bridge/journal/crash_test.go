package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"chive/messages"
)

// crashDir is the environment variable that makes this program the one that is killed.
const crashDir = "CHIVE_JOURNAL_CRASH_DIR"

// crashChild appends without end and says after each append how far it is, and when it
// begins one. Every few it writes a state.
func crashChild(dir string) {
	j, rec, err := Open(Options{Dir: dir, Keep: 5})
	if err != nil || rec.Err != nil {
		fmt.Println("error", err, rec.Err)
		os.Exit(1)
	}
	ctx := context.Background()
	at, err := j.Load(ctx, "count", nil, func(messages.JournalEntry) error { return nil })
	for ; err == nil; at++ {
		if at%7 == 6 {
			err = j.Snapshot(ctx, "count", at, event("all", crashText(at)))
		}
		if err == nil {
			fmt.Println("begin", at+1)
			_, err = j.Append(ctx, messages.JournalAppend{
				Aggregate: "count", Expected: at, ID: fmt.Sprint("c-", at+1), Events: []messages.JournalEvent{event("said", crashText(at+1))},
			})
		}
		if err == nil {
			fmt.Println("done", at+1)
		}
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// crashText differs in length, so that records end anywhere in a block of the disk.
func crashText(n uint64) string {
	return strings.Repeat(fmt.Sprint(n, " "), int(n*37%400))
}

// crashRuns is how often the process is killed.
func crashRuns(t *testing.T) int {
	if text := os.Getenv("CHIVE_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2 {
			return 1000
		}
		return n
	}
	if testing.Short() {
		return 5
	}
	return 60
}

// No event whose append returned is lost when the process is killed, at whatever moment;
// what is there is whole, and nothing is there that was not begun.
func TestKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	last, unacknowledged, recovered := uint64(0), 0, 0
	for run := range crashRuns(t) {
		begun, done := killOnce(t, dir, last, time.Duration(rng.Int64N(int64(6*time.Millisecond))), rng.IntN(30)-8)
		j, rec := openRecovered(t, Options{Dir: dir, Keep: 5})
		if rec.Err != nil {
			recovered++
			t.Logf("run %d: %v", run, rec.Err)
		}
		at := uint64(0)
		n, err := j.Load(testContext(t), "count", nil, func(e messages.JournalEntry) error {
			if !e.State && at != 0 && e.Sequence != at+1 || string(e.Event.Data) != crashText(e.Sequence) {
				t.Errorf("run %d: event %d after %d is not what was written", run, e.Sequence, at)
			}
			at = e.Sequence
			return nil
		})
		if err != nil || n < max(done, last) || n > max(begun, last) {
			t.Fatalf("run %d: %v, %d events; %d were acknowledged, %d begun", run, err, n, done, begun)
		}
		if n > done && n > last {
			unacknowledged++
		}
		last = n
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d events; %d times one was there that was not acknowledged", last, unacknowledged)
	if last == 0 {
		t.Error("nothing was ever written")
	}
	if recovered > 0 {
		t.Errorf("a killed process left a damaged store %d times", recovered)
	}
}

// killOnce runs the child until it has written some events more, or a moment after it was
// started if wait is negative, and kills it after the delay.
func killOnce(t *testing.T, dir string, from uint64, delay time.Duration, wait int) (begun, done uint64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun, done = from, from
	kill := func() *time.Timer { return time.AfterFunc(delay, func() { _ = cmd.Process.Kill() }) }
	var timer *time.Timer
	if wait < 0 {
		delay *= 20 // while it starts
		timer = kill()
	}
	bound := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer bound.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		switch {
		case err != nil:
			t.Errorf("the child says %q", lines.Text())
		case word == "begin":
			begun = n
		case word == "done":
			done = n
		}
		if timer == nil && done >= from+uint64(wait) {
			timer = kill()
		}
	}
	if err := cmd.Wait(); err == nil || timer == nil {
		t.Errorf("the child ended by itself: %v", err)
	}
	timer.Stop()
	return begun, done
}
