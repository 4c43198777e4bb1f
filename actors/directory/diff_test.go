package directory

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/tor/consdiff"
	"chive/tor/consdiff/consdifftest"
	"chive/tor/netdoc/netdoctest"
)

// cache is a directory with two consensuses that follow each other, and the diff.
type cache struct {
	*network
	next *netdoctest.Network
	mode func(diff []byte) []byte // spoils the diff; nil result: the whole consensus
	mu   sync.Mutex
	from []string // what clients said they have
}

// DialDir implements Dialer.
func (c *cache) DialDir(ctx context.Context, t Target) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		path, from := "", ""
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if p, ok := strings.CutPrefix(line, "GET "); ok {
				path, _, _ = strings.Cut(p, " ")
			}
			if h, ok := strings.CutPrefix(line, "X-Or-Diff-From-Consensus: "); ok {
				from = strings.TrimSpace(h)
			}
			if line == "\r\n" {
				break
			}
		}
		var body []byte
		switch {
		case strings.HasPrefix(path, "/tor/status-vote/"):
			c.mu.Lock()
			c.from = append(c.from, from)
			c.mu.Unlock()
			body = c.next.Consensus
			if d, _ := consdiff.SignedDigest(c.docs.Consensus); from == d.String() {
				if diff := c.mode(consdifftest.Make(c.docs.Consensus, body)); diff != nil {
					body = diff
				}
			}
		case strings.HasPrefix(path, "/tor/keys/"):
			body = c.docs.Certs
		case strings.HasPrefix(path, "/tor/micro/"):
			body = c.next.Microdescs
		}
		_, _ = theirs.Write(append([]byte("HTTP/1.0 200 OK\r\n\r\n"), body...)) // the client may have had enough
	}()
	return ours, nil
}

// following is the network an hour later, with the same keys: the times are others, and
// three relays have another bandwidth.
func following(n *netdoctest.Network) *netdoctest.Network {
	next := *n
	next.ValidAfter, next.FreshUntil, next.ValidUntil = n.ValidAfter.Add(time.Hour), n.FreshUntil.Add(time.Hour), n.ValidUntil.Add(time.Hour)
	const layout = "2006-01-02 15:04:05"
	r := strings.NewReplacer(
		"valid-after "+n.ValidAfter.Format(layout), "valid-after "+next.ValidAfter.Format(layout),
		"fresh-until "+n.FreshUntil.Format(layout), "fresh-until "+next.FreshUntil.Format(layout),
		"valid-until "+n.ValidUntil.Format(layout), "valid-until "+next.ValidUntil.Format(layout))
	next.Body = bytes.Replace([]byte(r.Replace(string(n.Body))), []byte("w Bandwidth="), []byte("w Bandwidth=1"), 3)
	next.Consensus = netdoctest.Sign(next.Body, "sha256", n.Authorities...)
	return &next
}

// fetches lists the consensuses that came: "whole", "diff", or "diff that failed".
func (b *bench) fetches() []string {
	var out []string
	for _, e := range b.events {
		f := e.GetDocumentFetched()
		switch {
		case f.GetKind() != chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS || f.GetCached():
		case f.GetDiff() && f.GetWhole() == 0:
			out = append(out, "diff that failed")
		case f.GetDiff():
			out = append(out, "diff")
		default:
			out = append(out, "whole")
		}
	}
	return out
}

// "When downloading the current consensus, a client may include X-Or-Diff-From-Consensus";
// what leads to no good consensus costs one more request, and nothing else.
func TestDiffs(t *testing.T) {
	docs := documents()
	next := following(docs)
	same := func(d []byte) []byte { return d }
	for name, tt := range map[string]struct {
		mode    func([]byte) []byte
		prepare func(t *testing.T, b *bench)
		later   time.Duration
		want    string
		reject  string
	}{
		"a diff is taken":              {same, nil, time.Hour, "[diff]", "[]"},
		"the whole consensus is, too":  {func([]byte) []byte { return nil }, nil, time.Hour, "[whole]", "[]"},
		"not from one of 73 hours ago": {same, nil, 73 * time.Hour, "", ""},
		"a diff that is cut":           {func(d []byte) []byte { return d[:len(d)-3] }, nil, time.Hour, "[diff that failed whole]", "[document-invalid]"},
		"a diff to another result":     {func(d []byte) []byte { return bytes.Replace(d, []byte("Bandwidth=1"), []byte("Bandwidth=2"), 1) }, nil, time.Hour, "[diff that failed whole]", "[document-invalid]"},
		"a diff of too many bytes":     {func(d []byte) []byte { return append(d, make([]byte, consdiff.MaxDiffSize)...) }, nil, time.Hour, "[diff that failed whole]", "[document-too-large]"},
		"a diff from something else":   {func([]byte) []byte { return consdifftest.Make(next.Consensus, next.Consensus) }, nil, time.Hour, "[diff that failed whole]", "[document-invalid]"},
		"a diff to a forged consensus": {func([]byte) []byte {
			return consdifftest.Make(docs.Consensus, bytes.Replace(next.Consensus, []byte("Bandwidth=1"), []byte("Bandwidth=2"), 1))
		}, nil, time.Hour, "[diff whole]", "[document-untrusted]"},
		"a diff to the one that is had": {func([]byte) []byte { return consdifftest.Make(docs.Consensus, docs.Consensus) }, nil, time.Hour, "[diff whole]", "[]"},
		"the cached text is gone": {same, func(t *testing.T, b *bench) {
			if err := os.Remove(filepath.Join(b.o.CacheDir, fileConsensus)); err != nil {
				t.Fatal(err)
			}
		}, time.Hour, "[diff that failed whole]", "[]"},
		"the cached text was changed": {same, func(t *testing.T, b *bench) {
			if err := os.WriteFile(filepath.Join(b.o.CacheDir, fileConsensus), next.Consensus, 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Hour, "[diff that failed whole]", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			now := duringValidity(docs)
			first := newBench(t, &network{docs: docs}, t.TempDir(), now)
			if err := first.once(t); err != nil {
				t.Fatal(err)
			}
			c := &cache{network: &network{docs: docs}, next: next, mode: tt.mode}
			b := newBench(t, c.network, first.o.CacheDir, now)
			b.load()
			b.o.Dialer = c
			if tt.prepare != nil {
				tt.prepare(t, b)
			}
			now = now.Add(tt.later)
			b.o.Now = func() time.Time { return now }
			if tt.want == "" { // nothing is as old as that and still in use
				if !b.diffFrom().IsZero() {
					t.Error("a diff from a consensus that is too old")
				}
				return
			}
			if err := b.fetchConsensus(t.Context()); err != nil || !b.consensus.ValidAfter.Equal(next.ValidAfter) {
				t.Fatalf("%v; valid after %v", err, b.consensus.ValidAfter)
			}
			if got := fmt.Sprint(b.fetches()); got != tt.want {
				t.Errorf("fetched %s, want %s", got, tt.want)
			}
			if got := fmt.Sprint(b.rejected()); got != tt.reject {
				t.Errorf("rejected %s, want %s", got, tt.reject)
			}
			text, err := os.ReadFile(filepath.Join(b.o.CacheDir, fileConsensus))
			if err != nil || !bytes.Equal(text, next.Consensus) {
				t.Errorf("the cache has another consensus; %v", err)
			}
			if d, _ := consdiff.SignedDigest(next.Consensus); b.base != d {
				t.Error("the next diff would start elsewhere")
			}
		})
	}
}

// A node without a cache, or without a consensus, asks for no diff, and takes none.
func TestNoDiffWithoutAText(t *testing.T) {
	docs := documents()
	c := &cache{network: &network{docs: docs}, next: docs, mode: func(d []byte) []byte { return d }}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, c.network, file, duringValidity(docs))
	b.o.Dialer = c
	if err := b.once(t); err != nil {
		t.Fatal(err)
	}
	c.next = following(docs)
	if err := b.fetchConsensus(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q", c.from); got != `["" ""]` {
		t.Errorf("asked for diffs from %s", got)
	}
}
