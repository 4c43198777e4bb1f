package bridge

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	shared "chive/bridge/fleet"
	"chive/messages"
)

// A node's rights on another server are enough to leave the directory for others, and
// to find it.
func TestNodesShareTheDirectory(t *testing.T) {
	h := startHub(t, "n1", "n2")
	member := func(node string) *shared.Member {
		nc := as(t, h.url, h.keys[node], nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("%s: %v", node, err) }))
		m, err := shared.New(shared.Options{Conn: nc, Fleet: "f", Node: node, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		m.Begin()
		t.Cleanup(m.Leave)
		return m
	}
	one, two := member("n1"), member("n2")
	want := messages.DirectoryCopy{ValidAfter: time.Now(), Consensus: bytes.Repeat([]byte("consensus"), 100_000), Certs: []byte("certs"), Microdescs: []byte("md")}
	one.OfferDirectory(want)
	eventually(t, "the directory", func() error {
		got, err := two.FetchDirectory(t.Context())
		if err == nil && !bytes.Equal(got.Consensus, want.Consensus) {
			t.Error("another one")
		}
		return err
	})
	want.ValidAfter, want.Certs = want.ValidAfter.Add(time.Minute), []byte("newer")
	two.OfferDirectory(want) // replaces it
	eventually(t, "the newer directory", func() error {
		got, err := one.FetchDirectory(t.Context())
		if err == nil && string(got.Certs) != "newer" {
			err = shared.ErrNothing
		}
		return err
	})
}
