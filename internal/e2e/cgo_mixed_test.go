package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/internal/testnet/target"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/congestion"
	"chive/tor/link"
)

// onionKeys reads the relays' ntor keys, by Ed25519 identity, from an authority's descriptors.
func onionKeys(t *testing.T, n *testnet.Network) map[string][32]byte {
	t.Helper()
	authority, ok := n.Node("auth1")
	if !ok {
		t.Fatal("no authority")
	}
	var text []byte
	for _, name := range []string{"cached-descriptors", "cached-descriptors.new"} {
		b, err := os.ReadFile(filepath.Join(authority.Dir, name))
		if err == nil {
			text = append(text, b...)
		}
	}
	keys := map[string][32]byte{}
	for _, m := range regexp.MustCompile(`(?s)\nmaster-key-ed25519 (\S+)\n.*?\nntor-onion-key (\S+)\n`).FindAllSubmatch(text, -1) {
		key, err := base64.RawStdEncoding.DecodeString(string(bytes.TrimRight(m[2], "=")))
		if err != nil || len(key) != 32 {
			t.Fatalf("onion key %q: %v", m[2], err)
		}
		keys[string(m[1])] = [32]byte(key)
	}
	return keys
}

func hopOf(t *testing.T, x testnet.Node, keys map[string][32]byte) circuit.Hop {
	t.Helper()
	rsa, err := hex.DecodeString(x.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := base64.RawStdEncoding.DecodeString(x.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	ntor, ok := keys[x.Ed25519]
	if !ok {
		t.Fatalf("%s has no onion key among %d", x.Name, len(keys))
	}
	return circuit.Hop{RSA: [20]byte(rsa), Ed25519: [32]byte(ed), NtorKey: ntor, IPv4: netip.AddrPortFrom(x.IP, uint16(x.ORPort))}
}

// bare is the protocol core alone on a link to a relay, with one circuit: what the relays are
// asked for is the test's choice.
type bare struct {
	t    *testing.T
	conn *tls.Conn
	buf  []byte
	circ *circuit.Circuit
}

func dialBare(t *testing.T, path []circuit.Hop) *bare {
	t.Helper()
	raw, err := net.Dial("tcp", path[0].IPv4.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := &bare{t: t, conn: tls.Client(raw, &tls.Config{InsecureSkipVerify: true})} // CERTS proves who it is
	if err := b.conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	h := link.New(link.Config{
		Want:          link.Identity{RSA: path[0].RSA, Ed25519: path[0].Ed25519},
		TLSCertSHA256: sha256.Sum256(b.conn.ConnectionState().PeerCertificates[0].Raw),
	})
	b.write(h.Start())
	for done := false; !done; {
		b.fill()
		var (
			used  int
			reply []byte
		)
		if used, reply, done, err = h.Feed(b.buf, time.Now()); err != nil {
			t.Fatal(err)
		}
		b.buf = b.buf[used:]
		b.write(reply)
	}
	began := time.Now()
	b.circ, err = circuit.NewCircuit(circuit.Config{
		ID: 1<<31 | 7, Path: path, Rand: rand.Reader, Now: func() time.Duration { return time.Since(began) },
		FlowParams: circuit.FlowParamsOf(func(_ string, def, _, _ int32) int32 { return def }, congestion.PathExit),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.circ.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.write(out)
	b.until(circuit.Opened, nil)
	return b
}

func (b *bare) write(p []byte) {
	b.t.Helper()
	if _, err := b.conn.Write(p); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bare) fill() {
	b.t.Helper()
	chunk := make([]byte, 32<<10)
	n, err := b.conn.Read(chunk)
	if b.buf = append(b.buf, chunk[:n]...); n == 0 {
		b.t.Fatal(err)
	}
}

// until feeds cells to the circuit until one means what is wanted.
func (b *bare) until(kind circuit.EventKind, each func(circuit.Event)) {
	b.t.Helper()
	for {
		id, command, body, n, err := cell.Next(b.buf)
		if err != nil {
			b.t.Fatal(err)
		}
		if n == 0 {
			b.fill()
			continue
		}
		b.buf = b.buf[n:]
		if id != b.circ.ID() {
			continue // padding of the link
		}
		reply, event, err := b.circ.Receive(nil, command, body)
		if err != nil {
			b.t.Fatal(err)
		}
		if event.Kind == circuit.Data {
			reply = b.circ.Consumed(reply, event.Stream, 1, len(event.Data))
		}
		b.write(reply)
		if each != nil {
			each(event)
		}
		if event.Kind == kind {
			return
		}
	}
}

// ask sends a request on a stream of its own and gives what comes until its end.
func (b *bare) ask(to string, request []byte) []byte {
	b.t.Helper()
	out, id, err := b.circ.Begin(nil, to, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(out)
	b.until(circuit.Connected, nil)
	for len(request) > 0 {
		out, n := b.circ.Send(nil, id, request, 31)
		if n == 0 {
			b.until(circuit.MayPackage, nil)
			continue
		}
		b.write(out)
		request = request[n:]
	}
	var answer bytes.Buffer
	b.until(circuit.Ended, func(e circuit.Event) { answer.Write(e.Data) })
	return answer.Bytes()
}

// Relays that are not asked for Counter Galois Onion, as those are not that do not offer it,
// speak tor1, with or without congestion control; and in whatever order C tor's relays speak
// one or the other, what passes is whole.
func TestEachMixWithRealRelays(t *testing.T) {
	n := network(t)
	keys := onionKeys(t, n)
	var path []circuit.Hop
	for _, name := range []string{"relay1", "relay2", "exit1"} {
		x, ok := n.Node(name)
		if !ok {
			t.Fatal("no " + name)
		}
		path = append(path, hopOf(t, x, keys))
	}
	const size = 500_000
	sum := target.Sum(size)
	to := netip.AddrPortFrom(n.Target().IP, uint16(n.Target().HTTPPort)).String()
	get := fmt.Appendf(nil, "GET /bytes/%d HTTP/1.0\r\n\r\n", size)
	post := append(fmt.Appendf(nil, "POST /upload HTTP/1.0\r\nContent-Length: %d\r\n\r\n", size), sequence(size)...)
	for mix := -1; mix < 8; mix++ { // -1: ntor, and no congestion control either
		name := "ntor"
		if mix >= 0 {
			name = fmt.Sprintf("%03b", mix)
		}
		t.Run(name, func(t *testing.T) {
			want := 0
			for i := range path {
				path[i].CongestionControl, path[i].CGO = mix >= 0, mix >= 0 && mix>>i&1 == 1
				if path[i].CGO {
					want++
				}
			}
			b := dialBare(t, path)
			if b.circ.CGOHops() != want || b.circ.CongestionControl() != (mix >= 0) {
				t.Errorf("%d hops speak Counter Galois Onion, want %d; congestion control: %v", b.circ.CGOHops(), want, b.circ.CongestionControl())
			}
			_, body, ok := bytes.Cut(b.ask(to, get), []byte("\r\n\r\n"))
			if !ok || sha256.Sum256(body) != sum {
				t.Errorf("download of %d bytes, hash %x", len(body), sha256.Sum256(body))
			}
			_, body, ok = bytes.Cut(b.ask(to, post), []byte("\r\n\r\n"))
			if !ok || string(body) != fmt.Sprintf("%x %d\n", sum, size) {
				t.Errorf("upload answered %q", body)
			}
			b.write(b.circ.Destroy(nil))
		})
	}
}
