package fleet

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/internal/freeport"
	"chive/messages"
)

// What time it is, when the servers tell and when they do not.
func TestStandingTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ told, last, want time.Time }{
		"told":                     {now.Add(time.Hour), now, now.Add(time.Hour)},
		"not told":                 {time.Time{}, now.Add(-9 * time.Second), now},
		"not told, nothing stored": {time.Time{}, time.Time{}, now},
		"not told, clock behind":   {time.Time{}, now.Add(time.Minute), now.Add(time.Minute)},
	} {
		info := &jetstream.StreamInfo{TimeStamp: c.told, State: jetstream.StreamState{LastTime: c.last}}
		if got := standing(info, now.Local()).Time; !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Debian's nats-server (2.9) does not tell the time; how old what a node said is can be told all the same.
func TestHeardOnDebiansServer(t *testing.T) {
	port, err := freeport.Take(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nats-server")
	if err != nil {
		program = "/usr/sbin/nats-server"
	}
	server := exec.Command(program, "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatalf("%v (make deps installs it)", err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	var nc *nats.Conn
	eventually(t, "Debian's nats-server", func() (err error) {
		nc, err = nats.Connect(fmt.Sprint("nats://127.0.0.1:", port))
		return err
	})
	t.Cleanup(nc.Close)
	m, _ := join(t, nc, "n1")
	m.Beat(messages.FleetMember{Node: "n1", Version: "1", Time: time.Now()})
	c, err := NewClient(nc, "f")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a member", func() error { return members(t.Context(), c, 1) })
	eventually(t, "it grows old", func() error {
		all, err := c.Members(t.Context())
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%+v, %w", all, err)
		}
		s, err := c.Standing(t.Context())
		if err != nil {
			return err
		}
		if age := s.Time.Sub(all[0].Heard); age < 100*time.Millisecond || age > Alive {
			return fmt.Errorf("heard of %v ago", age)
		}
		return nil
	})
}
