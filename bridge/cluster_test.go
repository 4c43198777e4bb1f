package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	shared "chive/bridge/fleet"
	"chive/messages"
)

// What is told of a cluster: that it has no majority, when servers have had the time to choose a
// leader; that it has one again; and that it is of an even number, once.
func TestQuorum(t *testing.T) {
	type look struct {
		for_ time.Duration
		size int
		led  bool
	}
	for name, c := range map[string]struct {
		looks []look
		want  string
	}{
		"three":             {[]look{{time.Hour, 3, true}}, ""},
		"one after another": {[]look{{5 * time.Second, 1, false}, {50 * time.Second, 2, true}, {time.Hour, 3, true}}, ""},
		"they choose":       {[]look{{time.Minute, 3, true}, {10 * time.Second, 3, false}, {time.Hour, 3, true}}, ""},
		"one of three, again": {
			[]look{{time.Minute, 3, true}, {time.Hour, 3, false}, {time.Hour, 3, true}, {time.Hour, 3, false}},
			"no majority servers=3 needed=2; majority again servers=3; no majority servers=3 needed=2",
		},
		"two": {
			[]look{{time.Hour, 2, true}, {time.Hour, 2, false}, {time.Hour, 2, true}},
			"even servers=2 may_be_lost=0; no majority servers=2 needed=2; majority again servers=2",
		},
		"two, three, four": {[]look{{time.Hour, 2, true}, {time.Hour, 3, true}, {time.Hour, 4, true}}, "even servers=2 may_be_lost=0; even servers=4 may_be_lost=1"},
		"alone":            {[]look{{time.Hour, 2, false}}, "no majority servers=2 needed=2"},
	} {
		var said bytes.Buffer
		q := &quorum{log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for _, l := range c.looks {
			for end := now.Add(l.for_); now.Before(end); now = now.Add(lookEvery) {
				q.look(l.size, l.led, now)
			}
		}
		var got []string
		for line := range strings.Lines(said.String()) {
			line = strings.TrimSpace(line)
			for begins, short := range map[string]string{
				`level=WARN msg="the cluster of NATS servers has no majority: `: "no majority", `level=INFO+2 msg="the cluster of NATS servers has a majority again`: "majority again",
				`level=WARN msg="an even number of NATS servers`: "even",
			} {
				if strings.HasPrefix(line, begins) {
					line = short + line[strings.LastIndex(line, `"`)+1:]
				}
			}
			got = append(got, line)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// Two embedded servers are a cluster of two. The first alone has no majority; with the second it
// has; when that one ends in order, what is read at the other is old, and it is said so.
func TestClusterOfTwo(t *testing.T) {
	secret := filepath.Join(shortDir(t), "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-all-servers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var nodes []*running
	var at []*shared.Member
	var routes []string
	for i := range 2 {
		where := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		node := joins(t, fmt.Sprintf("n%d", i+1), Options{
			Listen: "127.0.0.1:0", InFleet: true, Replicas: 2, ClusterListen: where, ClusterCredentialFile: secret, Routes: routes,
		})
		if i == 0 {
			if size, led := node.clusterNow(); size < 2 || led {
				t.Errorf("alone it is one of %d, led: %v", size, led)
			}
		}
		m, err := node.Member(shared.Options{Replicas: 2, Now: time.Now, Keys: []string{"U"}, See: func(messages.FleetPublication) {}})
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, node.ClusterAddress())
		nodes, at = append(nodes, node), append(at, m)
	}
	for _, node := range nodes {
		eventually(t, "a majority", func() error {
			if size, led := node.clusterNow(); size != 2 || !led {
				return fmt.Errorf("%d servers, led: %v", size, led)
			}
			return nil
		})
	}
	for i, m := range at {
		m.Begin()
		m.Beat(messages.FleetMember{Node: fmt.Sprintf("n%d", i+1), Time: time.Now()})
	}
	c, err := ConnectFleet(t.Context(), FleetAccess{DataDir: nodes[0].dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	look := func() (shared.Standing, int, error) {
		s, err := c.Standing(t.Context())
		if err != nil {
			return s, 0, err
		}
		all, err := c.Members(t.Context())
		return s, len(all), err
	}
	eventually(t, "both are members", func() error {
		s, members, err := look()
		if err == nil && (s.Servers != 2 || s.There != 2 || !s.Stores || s.Needed() != 2 || members != 2) {
			err = fmt.Errorf("%+v, %d members", s, members)
		}
		if _, config := c.Config(t.Context()); err == nil && !errors.Is(config, shared.ErrNothing) {
			err = config // the bucket is not there yet
		}
		return err
	})
	at[1].Leave()
	ctx, cancel := context.WithTimeout(context.Background(), waits)
	defer cancel()
	if err := nodes[1].Close(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "no majority", func() error {
		s, members, err := look()
		if err == nil && (s.Servers != 2 || s.There != 1 || s.Stores || members != 1 || s.Time.IsZero()) {
			err = fmt.Errorf("%+v, %d members", s, members)
		}
		return err
	})
	eventually(t, "why nothing can be published", func() error { // servers of whom the leader is lost answer nothing for a while
		_, err := c.Publish(t.Context(), []byte("{}"), 0)
		if err == nil {
			t.Fatal("it is stored")
		}
		if errors.Is(err, shared.ErrNoMajority) {
			return nil
		}
		return err
	})
	at[0].Leave()
}
