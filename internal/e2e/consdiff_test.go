package e2e

import (
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// Real caches answer a client that has the consensus before with a diff, which is applied
// and verified; the client then works with what it gave.
func TestConsensusDiffFromARealCache(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Auths: 3, Relays: 3, Exits: 1, Onions: -1, VotingInterval: 10 * time.Second})
	c := start(t, n)
	c.until(t, "a diff was applied, and the consensus verified", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		applied, size, whole := false, uint64(0), uint64(0)
		for _, e := range c.log {
			f, v := e.GetDocumentFetched(), e.GetDocumentVerified()
			switch {
			case f.GetDiff() && f.GetWhole() > 0:
				applied, size, whole = true, f.GetBytes(), f.GetWhole()
			case f.GetKind() == chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS:
				applied = false
			case applied && v.GetKind() == chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS:
				t.Logf("a diff of %d bytes gave %d: %d relays, %d signatures", size, whole, v.GetItems(), v.GetSignatures())
				return true
			}
		}
		return false
	})
	if got := c.endings()["document-rejected document-invalid"]; got != 0 {
		t.Errorf("%d documents were rejected", got)
	}
	c.serves(t, n, "after a diff")
}
