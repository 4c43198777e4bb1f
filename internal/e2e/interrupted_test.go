package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// interrupted: curl is stopped by Ctrl-C in the midst of downloads. Its streams are cancelled; no
// socket failed.
func interrupted(t *testing.T, n *testnet.Network, c *client) {
	ended := func(out chivev1.Outcome) int {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetStreamEnded().GetOutcome() == out })
	}
	const times = 8
	failed := ended(chivev1.Outcome_OUTCOME_CLIENT_IO)
	for i := range times {
		before := ended(chivev1.Outcome_OUTCOME_CANCELLED) + ended(chivev1.Outcome_OUTCOME_CLIENT_IO)
		curl := exec.CommandContext(t.Context(), "curl", "-s", "--socks5-hostname", c.socks, resource(n, 1<<30))
		out, err := curl.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := curl.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, out, 1<<20); err != nil {
			t.Errorf("download %d: %v", i, err)
		}
		if err := curl.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		_ = curl.Wait() // it was interrupted
		eventually(t, "the stream ends", func() error {
			if now := ended(chivev1.Outcome_OUTCOME_CANCELLED) + ended(chivev1.Outcome_OUTCOME_CLIENT_IO); now == before {
				return errors.New("it goes on")
			}
			return nil
		})
	}
	if n := ended(chivev1.Outcome_OUTCOME_CLIENT_IO) - failed; n > 0 {
		t.Errorf("of %d streams %d are told as failures of their sockets", times, n)
	}
}
