package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chive/messages"
)

// answer is what a call of the port gave.
type answer[T any] struct {
	is  T
	err error
}

// wait calls and waits for the answer.
func wait[T any](t *testing.T, call func(func(T, error))) (T, error) {
	t.Helper()
	answers := make(chan answer[T], 2)
	call(func(is T, err error) { answers <- answer[T]{is, err} })
	select {
	case a := <-answers:
		return a.is, a.err
	case <-time.After(waits):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func writes(t *testing.T, m *Member, key, value string, expect uint64) (uint64, error) {
	t.Helper()
	return wait(t, func(done func(uint64, error)) { m.ShareWrite(key, []byte(value), expect, done) })
}

func stored(t *testing.T, m *Member, key string) messages.ShareEntry {
	t.Helper()
	e, err := wait(t, func(done func(messages.ShareEntry, error)) { m.ShareRead(key, done) })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSharedEntries(t *testing.T) {
	s := hub(t)
	a, _ := join(t, dial(t, s), "n1")
	b, _ := join(t, dial(t, s), "n2")
	const key = "t.lease"
	if e := stored(t, a, key); e.Number != 0 || e.Value != nil {
		t.Errorf("at first: %+v", e)
	}
	first, err := writes(t, a, key, "one", 0)
	if err != nil || first == 0 {
		t.Fatal(first, err)
	}
	if _, err := writes(t, b, key, "late", 0); !errors.Is(err, messages.ErrShareConflict) {
		t.Errorf("made twice: %v", err)
	}
	second, err := writes(t, b, key, "two", first)
	if err != nil || second <= first {
		t.Fatal(second, err)
	}
	if _, err := writes(t, a, key, "three", first); !errors.Is(err, messages.ErrShareConflict) {
		t.Errorf("behind another: %v", err)
	}
	if e := stored(t, a, key); e.Number != second || string(e.Value) != "two" || e.Key != key {
		t.Errorf("%+v", e)
	}
	a.SharePut(key, nil)
	var gone messages.ShareEntry
	eventually(t, "deleted", func() error {
		if gone = stored(t, b, key); gone.Value != nil || gone.Number <= second {
			return fmt.Errorf("%+v", gone)
		}
		return nil
	})
	if _, err := writes(t, a, key, "again", 0); !errors.Is(err, messages.ErrShareConflict) {
		t.Errorf("made again as if nothing had been there: %v", err)
	}
	if n, err := writes(t, a, key, "again", gone.Number); err != nil || n <= gone.Number {
		t.Errorf("behind what was deleted: %v", err)
	}
	if _, err := writes(t, a, "t.lease", string(make([]byte, MaxShared+1)), gone.Number+1); err == nil {
		t.Error("a value beyond the limit")
	}
}

func TestSharedEntriesAreSeenAndListed(t *testing.T) {
	s := hub(t)
	a, _ := join(t, dial(t, s), "n1")
	b, _ := join(t, dial(t, s), "n2")
	stored(t, a, "t.lease") // makes the bucket
	seen := make(chan messages.ShareEntry, 16)
	stop, err := b.ShareWatch("t", func(e messages.ShareEntry) { seen <- e })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.o.Conn.FlushTimeout(waits); err != nil {
		t.Fatal(err)
	}
	a.SharePut("u.node.n1", []byte("another service's"))
	a.SharePut("t.node.n1", []byte("x"))
	a.SharePut("t.node.n1", nil)
	a.SharePut("t.node.n2", []byte("y"))
	for _, want := range []messages.ShareEntry{{Key: "t.node.n1", Value: []byte("x")}, {Key: "t.node.n1"}, {Key: "t.node.n2", Value: []byte("y")}} {
		select {
		case e := <-seen:
			if e.Key != want.Key || !bytes.Equal(e.Value, want.Value) || (e.Value == nil) != (want.Value == nil) {
				t.Errorf("seen %+v, want %+v", e, want)
			}
		case <-time.After(waits):
			t.Fatal("nothing was seen")
		}
	}
	stop()
	eventually(t, "list", func() error {
		all, err := wait(t, func(done func([]messages.ShareEntry, error)) { b.ShareList("t", done) })
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(x, y messages.ShareEntry) int { return bytes.Compare([]byte(x.Key), []byte(y.Key)) })
		if len(all) != 2 || all[0].Value != nil || string(all[1].Value) != "y" || all[1].Number == 0 {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
}

func TestShareWithoutServers(t *testing.T) {
	s := hub(t)
	m, _ := join(t, dial(t, s), "n1")
	stored(t, m, "t.lease")
	m.Beat(messages.FleetMember{Node: "n1"})
	eventually(t, "nothing is left to be told", func() error { // else that is tried again and again
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.beat != nil {
			return errors.New("it was not told")
		}
		return nil
	})
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "it is away", func() error {
		if m.o.Conn.IsConnected() {
			return errors.New("connected")
		}
		return nil
	})
	if _, err := writes(t, m, "t.lease", "x", 0); err == nil || errors.Is(err, messages.ErrShareConflict) {
		t.Errorf("written without a server: %v", err)
	}
	before := m.o.Conn.Stats().OutMsgs
	m.SharePut("t.node.n1", []byte("x"))
	if m.o.Conn.Stats().OutMsgs != before {
		t.Error("what is of no use later waits for the servers")
	}
	m.Leave()
	m.ShareRead("t.lease", func(messages.ShareEntry, error) { t.Error("an answer after it left") })
}

// A bucket that the servers lost is made again.
func TestSharedBucketIsLost(t *testing.T) {
	s := hub(t)
	m, _ := join(t, dial(t, s), "n1")
	if _, err := writes(t, m, "t.lease", "x", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waits)
	defer cancel()
	if err := m.js.DeleteKeyValue(ctx, OnionBucket("f")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is there again", func() error {
		_, err := writes(t, m, "t.lease", "y", 0)
		return err
	})
}
