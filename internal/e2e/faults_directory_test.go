package e2e

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/link/linktest"
)

// answer is what a directory sends: a body, in an encoding or in none.
type answer struct {
	encoding string
	body     []byte
}

// plain wraps a change of a document's text.
func plain(f func([]byte) []byte) func([]byte) answer {
	return func(b []byte) answer { return answer{body: f(b)} }
}

// mirror serves the documents of a real authority, some of them changed on the way.
func (bad badDirectory) mirror(t *testing.T, n *testnet.Network) relaydouble.Handler {
	t.Helper()
	auth, ok := n.Node("auth1")
	if !ok {
		t.Fatal("no authority")
	}
	base := "http://" + netip.AddrPortFrom(auth.IP, uint16(auth.DirPort)).String()
	return func(s *relaydouble.Stream) {
		asked, err := http.ReadRequest(bufio.NewReader(s))
		if err != nil {
			return
		}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Get(base + asked.URL.Path)
		if err != nil {
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return
		}
		a := answer{body: body}
		if bad.change != nil && strings.HasPrefix(asked.URL.Path, bad.prefix) {
			bad.served.Add(1)
			a = bad.change(body)
		}
		head := "HTTP/1.0 200 OK\r\n"
		if a.encoding != "" {
			head += "Content-Encoding: " + a.encoding + "\r\n"
		}
		_, _ = s.Write(append([]byte(head+"\r\n"), a.body...)) // the client may have had enough
	}
}

func deflated(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

const (
	consensusPrefix = "/tor/status-vote/"
	certsPrefix     = "/tor/keys/"
	microPrefix     = "/tor/micro/"
	beginSignature  = "-----BEGIN SIGNATURE-----\n"
)

// forged changes one letter of each signature.
func forged(b []byte) []byte {
	b = bytes.Clone(b)
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(beginSignature))
		if i < 0 {
			return b
		}
		at += i + len(beginSignature)
		if b[at] == 'A' {
			b[at] = 'B'
		} else {
			b[at] = 'A'
		}
	}
}

// oneSignature leaves the first signature of three.
func oneSignature(b []byte) []byte {
	const key = "\ndirectory-signature "
	first := bytes.Index(b, []byte(key))
	second := bytes.Index(b[first+1:], []byte(key))
	return b[:first+1+second+1]
}

func half(b []byte) []byte { return b[:len(b)/2] }

// badDirectory is a fallback directory that misbehaves.
type badDirectory struct {
	prefix  string // of the documents that it changes
	change  func([]byte) answer
	options relaydouble.Options
	torrc   []string
	want    []string // endings that there must be

	served *atomic.Int32 // answers that were changed
}

// The first directory that a fresh node asks misbehaves, in each way that there
// is. The node says so, believes nothing of it, asks real authorities instead,
// and serves.
func TestBadDirectory(t *testing.T) {
	n := network(t)
	zeros := make([]byte, 8<<20)
	member, frame := deflated(t, zeros[:1<<20]), zstandard(t, zeros[:1<<20])
	type faults = []relaydouble.Fault
	do := func(at relaydouble.Point, nth int, a relaydouble.Action) relaydouble.Options {
		return relaydouble.Options{Script: faults{{Name: "fault", At: at, Nth: nth, Do: a}}}
	}
	bomb := func(encoding string, body []byte) func([]byte) answer {
		return func([]byte) answer { return answer{encoding, body} }
	}
	const hurry = "CircuitBuildTimeout 3 seconds"
	for name, bad := range map[string]badDirectory{
		"forged consensus signature": {prefix: consensusPrefix, change: plain(forged), want: []string{"document-rejected document-untrusted"}},
		"consensus text changed": {prefix: consensusPrefix, change: plain(func(b []byte) []byte {
			return bytes.Replace(b, []byte(" Guard "), []byte(" Exit "), 1)
		}), want: []string{"document-rejected document-untrusted"}},
		"too few signatures":  {prefix: consensusPrefix, change: plain(oneSignature), want: []string{"document-rejected document-untrusted"}},
		"truncated consensus": {prefix: consensusPrefix, change: plain(half), want: []string{"document-rejected document-invalid"}},
		"truncated zlib": {prefix: consensusPrefix, change: func(b []byte) answer {
			return answer{"deflate", half(deflated(t, b))}
		}, want: []string{"document-rejected connection-lost"}},
		"truncated certificates":     {prefix: certsPrefix, change: plain(half), want: []string{"document-rejected document-invalid"}},
		"truncated microdescriptors": {prefix: microPrefix, change: plain(func(b []byte) []byte { return b[:20] }), want: []string{"document-rejected document-invalid"}},
		"oversized consensus":        {prefix: consensusPrefix, change: plain(func([]byte) []byte { return make([]byte, 17<<20) }), want: []string{"document-rejected document-too-large"}},
		"zlib bomb":                  {prefix: consensusPrefix, change: bomb("deflate", deflated(t, zeros)), want: []string{"document-rejected document-too-large"}},
		"zlib bomb in members":       {prefix: consensusPrefix, change: bomb("deflate", bytes.Repeat(member, 32)), want: []string{"document-rejected document-too-large"}},
		"zstd bomb":                  {prefix: consensusPrefix, change: bomb("x-zstd", zstandard(t, zeros)), want: []string{"document-rejected document-too-large"}},
		"zstd bomb in frames":        {prefix: consensusPrefix, change: bomb("x-zstd", bytes.Repeat(frame, 32)), want: []string{"document-rejected document-too-large"}},

		"wrong CERTS":      {options: relaydouble.Options{Certs: linktest.Mutations{WrongTLSDigest: true}}, want: []string{"connection-failed link-protocol"}},
		"expired CERTS":    {options: relaydouble.Options{Certs: linktest.Mutations{Expired: []cert.Type{cert.TypeIdentitySigning}}}, want: []string{"connection-failed cert-expired"}},
		"wrong handshake":  {options: do(relaydouble.AtCreated, 1, relaydouble.CorruptReply), want: []string{"circuit-failed handshake-auth"}},
		"bad relay digest": {options: do(relaydouble.AtRelayOut, 8, relaydouble.CorruptDigest), want: []string{"circuit-closed circuit-protocol"}},
		"unknown circuit":  {options: do(relaydouble.AtDataOut, 8, relaydouble.CellOn(7, cell.Relay, make([]byte, cell.BodyLen))), want: []string{"connection-closed link-protocol"}},

		"silent after accept": {options: do(relaydouble.AtAccept, 1, relaydouble.Stall), torrc: []string{hurry}, want: []string{"stream-ended timeout", "document-rejected timeout"}},
		"silent in handshake": {options: do(relaydouble.AtVersions, 1, relaydouble.Stall), torrc: []string{hurry}, want: []string{"stream-ended timeout", "document-rejected timeout"}},
		"silent after CREATE": {options: do(relaydouble.AtCreate, 1, relaydouble.Drop), torrc: []string{hurry}, want: []string{"circuit-failed timeout", "document-rejected timeout"}},
		"gone in a document":  {options: do(relaydouble.AtDataOut, 8, relaydouble.CloseConnection), want: []string{"connection-closed connection-lost", "document-rejected connection-lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A node that knows its guards already asks those for microdescriptors.
			for range 50 {
				if bad.run(t, n) || t.Failed() {
					return
				}
			}
			t.Error("the bad directory was never asked")
		})
	}
}

// run is the life of one node; false if it never met the fault.
func (bad badDirectory) run(t *testing.T, n *testnet.Network) bool {
	bad.served = new(atomic.Int32)
	o := bad.options
	o.Hops, o.Dir = 1, bad.mirror(t, n)
	relay := relaydouble.Start(t, o)
	hop := relay.Hops()[0]
	lines := append(n.ClientTorrc(), fallbackLine(hop.Addr(), hop.RSA()))
	c, err := launch(t, t.TempDir(), nil, append(lines, bad.torrc...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	c.serves(t, n, "")
	c.verified(t, 3)
	if bad.change != nil && bad.served.Load() == 0 {
		c.stop()
		return false
	}
	for _, want := range bad.want {
		c.until(t, want, func() bool { return c.endings()[want] > 0 })
	}
	if len(o.Script) > 0 && relay.Seen().Faults["fault"] != 1 {
		t.Errorf("the fault struck %d times", relay.Seen().Faults["fault"])
	}
	return true
}

// verified: one consensus was believed, and enough authorities signed it.
func (c *client) verified(t *testing.T, authorities uint32) {
	t.Helper()
	believed := 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		v := e.GetDocumentVerified()
		if v.GetKind() != chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS {
			continue
		}
		believed++
		if 2*v.GetSignatures() <= authorities {
			t.Errorf("believed a consensus with %d signatures of %d", v.GetSignatures(), authorities)
		}
	}
	if believed != 1 {
		t.Errorf("%d consensuses were believed", believed)
	}
}

func fallbackLine(at netip.AddrPort, id [20]byte) string {
	return fmt.Sprintf("FallbackDir %s orport=%d id=%X", at.Addr(), at.Port(), id)
}

// A line names a real relay with another's fingerprint: it does not prove that,
// so nothing is asked of it.
func TestWrongIdentityAtARealRelay(t *testing.T) {
	n := network(t)
	relay, ok := n.Node("relay1")
	if !ok {
		t.Fatal("no relay")
	}
	at := netip.AddrPortFrom(relay.IP, uint16(relay.ORPort))
	c, err := launch(t, t.TempDir(), nil, append(n.ClientTorrc(), fallbackLine(at, [20]byte{1, 2, 3}))...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	if got := c.endings(); got["connection-failed relay-identity"] != 1 || got["document-rejected relay-identity"] != 1 {
		t.Errorf("endings %v", got)
	}
	c.serves(t, n, "")
	c.verified(t, 3)
}
