package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/diary"
	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// resigned has the network's authorities sign a consensus that they never voted for: their
// keys are at hand, and C tor has no option for what it requires of clients.
func resigned(t *testing.T, n *testnet.Network, consensus []byte, change func(string) string) []byte {
	t.Helper()
	const item = "directory-signature "
	body, signatures, ok := strings.Cut(string(consensus), "\n"+item)
	if !ok {
		t.Error("a consensus without signatures")
		return nil
	}
	out := []byte(change(body + "\n"))
	digest := sha256.Sum256(append(bytes.Clone(out), item...))
	keys := signingKeys(t, n)
	for line := range strings.Lines(item + signatures) {
		words := strings.Fields(line)
		if len(words) != 4 || words[0]+" " != item || words[1] != "sha256" {
			continue
		}
		key := keys[words[3]]
		if key == nil {
			t.Errorf("no authority has the key %s", words[3])
			return nil
		}
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), digest[:])
		if err != nil {
			t.Error(err)
			return nil
		}
		out = append(out, line...)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "SIGNATURE", Bytes: signature})...)
	}
	return out
}

// signingKeys are the authorities', by digest.
func signingKeys(t *testing.T, n *testnet.Network) map[string]*rsa.PrivateKey {
	t.Helper()
	keys := map[string]*rsa.PrivateKey{}
	for _, x := range n.Nodes() {
		if x.Role != testnet.RoleAuth {
			continue
		}
		text, err := os.ReadFile(filepath.Join(x.Dir, "keys", "authority_signing_key"))
		if err != nil {
			t.Error(err)
			return nil
		}
		block, _ := pem.Decode(text)
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Error(err)
			return nil
		}
		keys[fmt.Sprintf("%X", sha1.Sum(x509.MarshalPKCS1PublicKey(&key.PublicKey)))] = key
	}
	return keys
}

// adds has a line of the consensus list one protocol more.
func adds(keyword, protocol string) func(string) string {
	return func(text string) string {
		return strings.Replace(text, "\n"+keyword+" ", "\n"+keyword+" "+protocol+" ", 1)
	}
}

// onNetworkThat runs a node whose first directory has a consensus that the authorities
// signed with another demand in it.
func onNetworkThat(t *testing.T, n *testnet.Network, log *diary.Log, dir string, change func(string) string) *client {
	t.Helper()
	bad := badDirectory{prefix: consensusPrefix, served: new(atomic.Int32), change: plain(func(b []byte) []byte {
		return resigned(t, n, b, change)
	})}
	relay := relaydouble.Start(t, relaydouble.Options{Hops: 1, Dir: bad.mirror(t, n)})
	hop := relay.Hops()[0]
	c, err := launch(t, dir, slog.NewTextHandler(log, nil), append(n.ClientTorrc(), fallbackLine(hop.Addr(), hop.RSA()))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) wait(t *testing.T, what string, match func(*chivev1.Envelope) bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.count(match) == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

// A consensus that a majority of authorities signed requires a protocol of clients that
// nobody has: the node builds no circuit for users, refuses what is asked of it at once,
// and says why. It does so after a restart, too, from what it has cached.
func TestRequiredProtocolIsMissing(t *testing.T) {
	n := network(t)
	dir := t.TempDir()
	missing := func(e *chivev1.Envelope) bool { return e.GetProtocolsMissing().GetRequired() == "Relay=62" }
	for _, start := range []string{"fresh", "from the cache"} {
		logged := &diary.Log{}
		c := onNetworkThat(t, n, logged, dir, adds("required-client-protocols", "Relay=62"))
		c.wait(t, "protocol that is missing", missing)
		c.socks = (<-c.Listening()).String()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, _, err := c.get(ctx, "", resource(n, 1000))
		cancel()
		if err == nil || ctx.Err() != nil && ctx.Err() != context.Canceled {
			t.Errorf("%s: a request is answered with %v", start, err)
		}
		if s := c.Status(); s.Lacks != "Relay=62" {
			t.Errorf("%s: the status is %+v", start, s)
		}
		c.stop()
		refused := c.count(func(e *chivev1.Envelope) bool {
			return e.GetStreamEnded().GetOutcome() == chivev1.Outcome_OUTCOME_PROTOCOLS_MISSING
		})
		built := c.count(func(e *chivev1.Envelope) bool {
			return e.GetCircuitLaunched().GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL
		})
		micro := c.count(func(e *chivev1.Envelope) bool {
			return e.GetDocumentFetched().GetKind() == chivev1.DocumentKind_DOCUMENT_KIND_MICRODESCRIPTORS
		})
		if refused == 0 || built != 0 || micro != 0 || logged.Count(`protocols="Relay=62"`) != 1 {
			t.Errorf("%s: %d requests refused for it, %d circuits built, %d times microdescriptors fetched; logged\n%s", start, refused, built, micro, logged.String())
		}
	}
}

// One that is recommended only is warned of, and the node works.
func TestRecommendedProtocolIsMissing(t *testing.T) {
	n := network(t)
	logged := &diary.Log{}
	c := onNetworkThat(t, n, logged, t.TempDir(), adds("recommended-client-protocols", "Frob=1"))
	c.await(t)
	c.serves(t, n, "")
	c.stop()
	if c.count(func(e *chivev1.Envelope) bool {
		m := e.GetProtocolsMissing()
		return m.GetRequired() == "" && strings.Contains(m.GetRecommended(), "Frob=1")
	}) != 1 || logged.Count("the network recommends what this version does not have") != 1 || logged.Count("Frob=1") == 0 {
		t.Errorf("logged\n%s", logged.String())
	}
}
