package directory

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/leak"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// network answers as a directory would; change, if set, spoils an answer.
type network struct {
	docs   *netdoctest.Network
	change func(path string, answer []byte) []byte
	mu     sync.Mutex
	asked  []string
}

// DialDir implements Dialer.
func (n *network) DialDir(context.Context, Target) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		line, err := in.ReadString('\n')
		for l := line; err == nil && l != "\r\n"; {
			l, err = in.ReadString('\n')
		}
		if err != nil {
			return
		}
		path := strings.Fields(line)[1]
		n.mu.Lock()
		n.asked = append(n.asked, path)
		n.mu.Unlock()
		var body []byte
		switch {
		case strings.HasPrefix(path, "/tor/status-vote/"):
			body = n.docs.Consensus
		case strings.HasPrefix(path, "/tor/keys/"):
			body = n.docs.Certs
		case strings.HasPrefix(path, "/tor/micro/"):
			body = n.docs.Microdescs
		}
		answer := append([]byte("HTTP/1.0 200 OK\r\n\r\n"), body...)
		if n.change != nil {
			answer = n.change(path, answer)
		}
		_, _ = theirs.Write(answer) // the client may have had enough
	}()
	return ours, nil
}

// bench is a worker with what it told the world.
type bench struct {
	*worker
	updates []Updated
	events  []*chivev1.Envelope
}

func newBench(t testing.TB, n *network, dir string, now time.Time) *bench {
	t.Helper()
	b := &bench{}
	recorder := messages.NewRecorder("test", func() time.Time { return now }, 1024)
	recorder.Observe(func(e *chivev1.Envelope) { b.events = append(b.events, e) })
	var ids []netdoc.Digest
	certs, err := netdoc.ParseAuthCerts(n.docs.Certs)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range certs {
		ids = append(ids, c.Identity)
	}
	b.worker = newWorker(Options{
		Dialer: n, V3Idents: ids, Authorities: []Target{{Identity: netdoc.Digest{1}}, {Identity: netdoc.Digest{2}}},
		CacheDir: dir, Recorder: recorder, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Rand: rand.New(rand.NewPCG(1, 2)), OnUpdate: func(u Updated) { b.updates = append(b.updates, u) },
	})
	return b
}

func (b *bench) once(t *testing.T) error {
	refresh := b.refreshTime()
	return b.step(t.Context(), &refresh)
}

func (b *bench) enough() bool { return len(b.updates) > 0 && b.updates[len(b.updates)-1].Enough }

// rejected lists the outcomes of documents that were refused.
func (b *bench) rejected() []string {
	var out []string
	for _, e := range b.events {
		if r := e.GetDocumentRejected(); r != nil {
			out = append(out, messages.OutcomeName(r.GetOutcome()))
		}
	}
	return out
}

func documents() *netdoctest.Network { return netdoctest.New(netdoctest.Options{Relays: 30, Seed: 7}) }

func duringValidity(n *netdoctest.Network) time.Time { return n.ValidAfter.Add(10 * time.Minute) }

func TestBootstrapThenCache(t *testing.T) {
	n := &network{docs: documents()}
	dir := t.TempDir()
	first := newBench(t, n, dir, duringValidity(n.docs))
	if err := first.once(t); err != nil || !first.enough() {
		t.Fatalf("err %v, enough %v, rejected %v", err, first.enough(), first.rejected())
	}
	asked := len(n.asked)
	second := newBench(t, n, dir, duringValidity(n.docs))
	second.load()
	if !second.enough() || len(second.missing()) != 0 || len(n.asked) != asked {
		t.Errorf("from the cache: enough %v, %d missing, %d requests", second.enough(), len(second.missing()), len(n.asked)-asked)
	}
}

// What is forged, too large, cut or too old is refused with its name; a good
// source afterwards is taken all the same.
func TestBadDocumentsAreRefused(t *testing.T) {
	consensus := func(f func([]byte) []byte) func(string, []byte) []byte {
		return func(path string, answer []byte) []byte {
			if !strings.HasPrefix(path, "/tor/status-vote/") {
				return answer
			}
			return f(answer)
		}
	}
	docs := documents()
	bomb := func([]byte) []byte {
		var b bytes.Buffer
		b.WriteString("HTTP/1.0 200 OK\r\nContent-Encoding: deflate\r\n\r\n")
		w := zlib.NewWriter(&b)
		if _, err := w.Write(make([]byte, 8<<20)); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		return b.Bytes()
	}
	for name, tt := range map[string]struct {
		change func(string, []byte) []byte
		later  time.Duration
		want   string
	}{
		"one byte changed": {consensus(func(b []byte) []byte { return bytes.Replace(b, []byte("\ns "), []byte("\ns  "), 1) }), 0, "document-untrusted"},
		"one signature of three": {consensus(func([]byte) []byte {
			return append([]byte("HTTP/1.0 200 OK\r\n\r\n"), docs.ConsensusSignedBy(0)...)
		}), 0, "document-untrusted"},
		"cut in the middle": {consensus(func(b []byte) []byte { return b[:len(b)/2] }), 0, "document-invalid"},
		"bomb":              {consensus(bomb), 0, "document-too-large"},
		"error status":      {consensus(func([]byte) []byte { return []byte("HTTP/1.0 503 Busy\r\n\r\n") }), 0, "directory-status"},
		"closed at once":    {consensus(func([]byte) []byte { return nil }), 0, "connection-lost"},
		"too old":           {nil, 60 * 24 * time.Hour, "document-stale"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{docs: docs, change: tt.change}
			b := newBench(t, n, t.TempDir(), duringValidity(docs).Add(tt.later))
			if err := b.once(t); err == nil || b.consensus != nil || b.enough() {
				t.Fatalf("err %v, accepted %v", err, b.consensus != nil)
			}
			if got := b.rejected(); len(got) == 0 || got[len(got)-1] != tt.want {
				t.Fatalf("rejected as %v, want %s", got, tt.want)
			}
			if tt.change == nil {
				return
			}
			n.change = nil
			if err := b.once(t); err != nil || !b.enough() {
				t.Errorf("a good source afterwards: %v", err)
			}
		})
	}
}

// A directory that sends other microdescriptors makes no relay unusable.
func TestWrongMicrodescriptors(t *testing.T) {
	n := &network{docs: documents()}
	other := netdoctest.New(netdoctest.Options{Relays: 30, Seed: 8})
	n.change = func(path string, answer []byte) []byte {
		if strings.HasPrefix(path, "/tor/micro/") {
			return append([]byte("HTTP/1.0 200 OK\r\n\r\n"), other.Microdescs...)
		}
		return answer
	}
	b := newBench(t, n, t.TempDir(), duringValidity(n.docs))
	if err := b.once(t); err == nil || len(b.mds) != 0 {
		t.Fatalf("err %v, %d taken", err, len(b.mds))
	}
	n.change = nil
	if err := b.once(t); err != nil || !b.enough() {
		t.Errorf("a good source afterwards: %v", err)
	}
}

func TestCorruptCacheIsFetchedAnew(t *testing.T) {
	n := &network{docs: documents()}
	dir := t.TempDir()
	if err := newBench(t, n, dir, duringValidity(n.docs)).once(t); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileConsensus, fileCerts, fileMicrodescs} {
		p := filepath.Join(dir, name)
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/3] ^= 1
		if err := os.WriteFile(p, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, n, dir, duringValidity(n.docs))
	b.load()
	if b.consensus != nil || len(b.rejected()) == 0 {
		t.Fatalf("a corrupt cache was used; rejected %v", b.rejected())
	}
	if err := b.once(t); err != nil || !b.enough() {
		t.Errorf("fetched anew: %v", err)
	}
}

// A disk that takes nothing costs the cache, not the bootstrap.
func TestUnwritableCache(t *testing.T) {
	n := &network{docs: documents()}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, n, file, duringValidity(n.docs))
	if err := b.once(t); err != nil || !b.enough() {
		t.Fatalf("%v", err)
	}
	if got := fmt.Sprint(b.rejected()); !strings.Contains(got, "storage") {
		t.Errorf("told %s, want storage", got)
	}
}

func TestDialErrorKeepsItsOutcome(t *testing.T) {
	err := fmt.Errorf("fetch: %w", &DialError{chivev1.Outcome_OUTCOME_RELAY_IDENTITY})
	if got := documentOutcome(err); got != chivev1.Outcome_OUTCOME_RELAY_IDENTITY {
		t.Errorf("outcome %v", got)
	}
	if got := documentOutcome(errors.New("x")); got != chivev1.Outcome_OUTCOME_DOCUMENT_INVALID {
		t.Errorf("outcome %v", got)
	}
}
