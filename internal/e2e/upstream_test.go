package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"chive/messages"
	"chive/tor/socks"
)

// The credentials that a proxy asks for.
const proxyUser, proxyPassword = "kestrel", "merlin-and-hobby"

// proxy is a small one on loopback that speaks SOCKS4, SOCKS5 and HTTP CONNECT, the
// latter two for proxyUser only.
type proxy struct {
	l       net.Listener
	wg      sync.WaitGroup
	passed  [3]atomic.Int64 // connections made, by protocol
	refused atomic.Int64    // connections not made
	refuses atomic.Bool     // it has no network of its own
	forgot  atomic.Int64    // so many times, all that goes through it
	mu      sync.Mutex
	conns   []net.Conn
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	return startProxyAt(t, "127.0.0.1:0")
}

func startProxyAt(t *testing.T, at string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(p.stop)
	return p
}

// forget drops what goes through the proxy from now on and ends nothing, as a router that
// forgot its connections.
func (p *proxy) forget() { p.forgot.Add(1) }

// remembered writes for as long as the proxy forgets nothing.
type remembered struct {
	io.Writer
	p     *proxy
	since int64
}

func (r *remembered) Write(b []byte) (int, error) {
	if r.p.forgot.Load() != r.since {
		return len(b), nil
	}
	return r.Writer.Write(b)
}

// cut ends what goes through the proxy.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) stop() {
	_ = p.l.Close()
	p.cut()
	p.wg.Wait()
}

// proxyRefusals are the answers of one that has no network, by protocol.
var proxyRefusals = [3]string{"\x00\x5b\x00\x00\x00\x00\x00\x00", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00", "HTTP/1.1 503 No\r\n\r\n"}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *proxy) serve(c net.Conn) {
	p.keep(c)
	defer c.Close()
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	var target string
	var reply []byte
	kind := 0
	if first[0] == 'C' {
		kind = 2
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword)) {
			_, _ = io.WriteString(c, "HTTP/1.1 407 Who\r\n\r\n")
			return
		}
		target, reply = req.Host, []byte("HTTP/1.1 200 OK\r\n\r\n")
	} else {
		m := socks.New(socks.Config{})
		var req *socks.Request
		for req == nil {
			b, err := r.ReadByte()
			if err != nil {
				return
			}
			var out []byte
			if _, out, req, err = m.Feed([]byte{b}); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
		addr, err := netip.ParseAddr(req.Host)
		if err != nil {
			return
		}
		target = netip.AddrPortFrom(addr, req.Port).String()
		reply = socks.AppendReply(nil, 0, netip.AddrPort{})
		switch {
		case req.SOCKS4:
			reply = binary.BigEndian.AppendUint64(nil, 0x5a<<48)
		case req.Username != proxyUser || req.Password != proxyPassword:
			return
		default:
			kind = 1
		}
	}
	if p.refuses.Load() {
		p.refused.Add(1)
		_, _ = io.WriteString(c, proxyRefusals[kind])
		return
	}
	relay, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	p.keep(relay)
	p.passed[kind].Add(1)
	if _, err := c.Write(reply); err != nil {
		return
	}
	since := p.forgot.Load()
	p.wg.Go(func() {
		_, _ = io.Copy(&remembered{relay, p, since}, r)
		_ = relay.Close()
	})
	_, _ = io.Copy(&remembered{c, p, since}, relay)
}

// Connections to real relays go through a proxy of each kind, and through none
// beside it.
func TestUpstreamProxies(t *testing.T) {
	n := network(t)
	p := startProxy(t)
	at := p.l.Addr().String()
	for kind, lines := range [][]string{
		{"Socks4Proxy " + at},
		{"Socks5Proxy " + at, "Socks5ProxyUsername " + proxyUser, "Socks5ProxyPassword " + proxyPassword},
		{"HTTPSProxy " + at, "HTTPSProxyAuthenticator " + proxyUser + ":" + proxyPassword},
	} {
		t.Run([]string{"Socks4Proxy", "Socks5Proxy", "HTTPSProxy"}[kind], func(t *testing.T) {
			logged := &strings.Builder{}
			c, err := launch(t, t.TempDir(), slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}), append(n.ClientTorrc(), lines...)...)
			if err != nil {
				t.Fatal(err)
			}
			c.await(t)
			if _, size, err := c.get(t.Context(), "", resource(n, 100_000)); err != nil || size != 100_000 {
				t.Errorf("%d bytes, %v", size, err)
			}
			c.stop()
			opened := 0
			for _, e := range c.log {
				if e.GetConnectionOpened() != nil {
					opened++
				}
			}
			if passed := p.passed[kind].Load(); opened == 0 || passed < int64(opened) {
				t.Errorf("%d connections, %d through the proxy", opened, passed)
			}
			c.keepsSecret(t, logged.String())
		})
	}
}

// keepsSecret looks for the proxy's credentials in all that a node, which has stopped,
// leaves behind: its log, its events at every tier, and its files.
func (c *client) keepsSecret(t *testing.T, logged string) {
	t.Helper()
	told := map[string]string{"log": logged}
	for _, e := range c.log {
		told["events"] += e.String() + "\n" + messages.Text(e) + "\n"
	}
	files := 0
	err := filepath.WalkDir(c.dir+"/data", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		told[path] = string(b)
		files++
		return err
	})
	if err != nil || files < 3 || logged == "" {
		t.Fatalf("%d files, %d bytes of log, %v", files, len(logged), err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(proxyUser + ":" + proxyPassword))
	for where, text := range told {
		for _, secret := range []string{proxyUser, proxyPassword, basic} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s", where, secret)
			}
		}
	}
}
