package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/internal/diary"
)

const namesake = "another node with this node's NodeName wants into its cluster"

// A server of a cluster that another node of its name would be of says so, and what to do.
func TestClusterOfTwoOfOneName(t *testing.T) {
	secret := filepath.Join(shortDir(t), "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-all-servers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &diary.Log{}
	var routes []string
	for range 2 {
		node := joins(t, "n1", Options{
			Log:    slog.New(slog.NewTextHandler(said, nil)),
			Listen: "127.0.0.1:0", InFleet: true, Replicas: 2, ClusterListen: fmt.Sprintf("127.0.0.1:%d", freePort(t)), ClusterCredentialFile: secret, Routes: routes,
		})
		routes = append(routes, node.ClusterAddress())
	}
	eventually(t, "it is told", func() error {
		if said.Count(namesake) == 0 || said.Count("node=n1") == 0 {
			return errors.New(said.String())
		}
		return nil
	})
}

// Whoever is refused tries each second; the log is not filled with it, and with nothing else that the
// server says.
func TestNamesakeIsToldOfNowAndThen(t *testing.T) {
	said := &diary.Log{}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := &serverLog{log: slog.New(slog.NewTextHandler(said, nil)), node: "n1", now: func() time.Time { return now }}
	for range 3 {
		l.Errorf("127.0.0.1:6222 - rid:5 - "+duplicate, "chive-n1")
		l.Errorf("127.0.0.1:6222 - rid:6 - authentication error")
		now = now.Add(time.Second)
	}
	if n := said.Count("level"); n != 1 || said.Count(namesake) != 1 {
		t.Errorf("%d lines: %s", n, said)
	}
	now = now.Add(duplicateEvery)
	l.Errorf("127.0.0.1:6222 - rid:7 - "+duplicate, "chive-n1")
	if n := said.Count(namesake); n != 2 {
		t.Errorf("told %d times", n)
	}
}
