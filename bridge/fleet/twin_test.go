package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"chive/internal/diary"
	"chive/messages"
)

// entry is one of a bucket.
type entry struct {
	jetstream.KeyValueEntry
	revision uint64
	value    []byte
}

func (e entry) Revision() uint64 { return e.revision }
func (e entry) Value() []byte    { return e.value }

func TestTwinIsTold(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	of := func(started time.Time, revision uint64) jetstream.KeyValueEntry {
		value, err := json.Marshal(messages.FleetMember{Node: "n1", Started: started})
		if err != nil {
			t.Fatal(err)
		}
		return entry{revision: revision, value: value}
	}
	other := now.Add(-time.Hour)
	clock := now
	var said bytes.Buffer
	w := twin{log: slog.New(slog.NewTextHandler(&said, nil)), mine: 10}
	for i, step := range []struct {
		e     jetstream.KeyValueEntry
		after time.Duration
		want  bool
	}{
		{of(other, 11), 0, false}, // the last word of one that ended
		{of(now, 10), 0, false},
		{nil, 0, false},
		{of(other, 11), 0, false},
		{of(now, 12), 0, false}, // the node's own, of which it heard no answer
		{of(other, 13), 0, false},
		{of(other, 9), 0, false}, // of a server that lags behind
		{entry{revision: 11, value: []byte("rubbish")}, 0, false},
		{of(other, 11), 0, false},
		{of(other, 12), 0, true},
		{of(other, 13), twinEvery - time.Second, false},
		{of(other, 14), time.Second, true},
		{of(now, 10), twinEvery, false},
		{of(other, 15), 0, false},
		{of(other, 16), 0, true},
	} {
		said.Reset()
		clock = clock.Add(step.after)
		w.looked(step.e, now, clock)
		if got := strings.Contains(said.String(), "level=WARN") && strings.Contains(said.String(), "NodeName"); got != step.want {
			t.Errorf("step %d: told %v, want %v: %q", i, got, step.want, said.String())
		}
	}
}

// twins is what the log says of them.
const twins = "has this node's NodeName"

// named is a member n1 that started then.
type named struct {
	*Member
	started time.Time
	diary   *diary.Log
}

func joinNamed(t *testing.T, s *server.Server, started time.Time) *named {
	t.Helper()
	d := &diary.Log{}
	m, err := New(Options{Conn: dial(t, s), Fleet: "f", Node: "n1", Now: time.Now, Log: slog.New(slog.NewTextHandler(d, nil))})
	if err != nil {
		t.Fatal(err)
	}
	m.Begin()
	t.Cleanup(m.Leave)
	return &named{m, started, d}
}

// says has its word stored.
func (n *named) says(t *testing.T, c *Client, streams int) {
	t.Helper()
	n.Beat(messages.FleetMember{Node: "n1", Started: n.started, Streams: streams})
	eventually(t, "it is stored", func() error {
		if all, err := c.Members(t.Context()); err != nil || len(all) != 1 || all[0].Streams != streams {
			return fmt.Errorf("%+v, %w", all, err)
		}
		return nil
	})
}

// counted counts how a bucket is used.
type counted struct {
	jetstream.KeyValue
	gets, puts, updates int
}

func (c *counted) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	c.gets++
	return c.KeyValue.Get(ctx, key)
}

func (c *counted) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	c.puts++
	return c.KeyValue.Put(ctx, key, value)
}

func (c *counted) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	c.updates++
	return c.KeyValue.Update(ctx, key, value, last)
}

// A node that is alone writes its word and reads nothing; one whose last word has gone, or is another's,
// looks and writes.
func TestWordOverTheLastOne(t *testing.T) {
	s := hub(t)
	d := &diary.Log{}
	m, err := New(Options{Conn: dial(t, s), Fleet: "f", Node: "n1", Now: time.Now, Log: slog.New(slog.NewTextHandler(d, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Leave)
	kv, err := making(t.Context(), m.js, nodeBucket("f", 1))
	if err != nil {
		t.Fatal(err)
	}
	c, other := &counted{KeyValue: kv}, twin{log: m.o.Log}
	word := messages.FleetMember{Node: "n1", Started: signed}
	say := func(gets, puts, updates int) {
		t.Helper()
		*c = counted{KeyValue: kv}
		if err := m.say(t.Context(), c, &word, &other); err != nil {
			t.Fatal(err)
		}
		if c.gets != gets || c.puts != puts || c.updates != updates {
			t.Errorf("%d read, %d written, %d over the last one; want %d, %d, %d", c.gets, c.puts, c.updates, gets, puts, updates)
		}
		e, err := kv.Get(t.Context(), "n1")
		if err != nil || e.Revision() != other.mine {
			t.Errorf("%+v, %v: the node takes %d for its own", e, err, other.mine)
		}
	}
	say(0, 1, 0)
	for range 3 {
		say(0, 0, 1)
	}
	if err := kv.Purge(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	say(1, 1, 1)
	say(0, 0, 1)
	for i := range 3 {
		if _, err := m.put(t.Context(), kv, "n1", messages.FleetMember{Node: "n1", Started: signed.Add(time.Hour)}, 0); err != nil {
			t.Fatal(err)
		}
		say(1, 1, 1)
		if got, want := d.Count(twins), min(i, 1); got != want {
			t.Errorf("after %d words of another it was told %d times", i+1, got)
		}
	}
	// The answer to its own got lost.
	if _, err := m.put(t.Context(), kv, "n1", word, 0); err != nil {
		t.Fatal(err)
	}
	say(1, 1, 1)
	if other.times != 0 {
		t.Errorf("its own counts for another's: %d", other.times)
	}
}

// Two nodes of one name tell; one that was started anew, in whichever way the first ended, does not.
func TestTwoNodesOfOneName(t *testing.T) {
	s := hub(t)
	c := operator(t, s)
	first := joinNamed(t, s, signed)
	for i := range 3 {
		first.says(t, c, 100+i)
	}
	first.cancel() // as kill -9 does, it leaves its entry
	first.work.Wait()
	second := joinNamed(t, s, signed.Add(time.Minute))
	for i := range 4 {
		second.says(t, c, 200+i)
	}
	if first.diary.Count(twins)+second.diary.Count(twins) > 0 {
		t.Fatalf("a node that was started anew:\n%s%s", first.diary.String(), second.diary.String())
	}
	third := joinNamed(t, s, signed.Add(time.Hour))
	for i := range 5 {
		third.says(t, c, 300+i)
		second.says(t, c, 400+i)
	}
	for name, n := range map[string]*named{"second": second, "third": third} {
		if got := n.diary.Count(twins); got != 1 {
			t.Errorf("%s has told %d times", name, got)
		}
	}
}
