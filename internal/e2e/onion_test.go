package e2e

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/internal/testnet/target"
	"chive/messages/chivev1"
	"chive/tor/socks"
)

// noService is an address that nobody serves: its key is a sound one.
const noService = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"

var base32Key = base32.StdEncoding.WithPadding(base32.NoPadding)

// onionLab is a private network with three onion services of C tor: one for everyone, one
// for an authorised client, one that defends itself by proof of work.
type onionLab struct {
	*testnet.Network
	open, private, guarded string // addresses
	key                    string // of the authorised client, private
}

func startOnionLab(t *testing.T) *onionLab {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, err := testnet.Start(t.Context(), testnet.Options{
		Onions: 3, OnionClients: map[string][]string{"onion2": {base32Key.EncodeToString(key.PublicKey().Bytes())}},
		Torrc: map[string][]string{"onion3": {"HiddenServicePoWDefensesEnabled 1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			n.DumpLogs(&b, 10)
			t.Log(b.String())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &onionLab{Network: n, key: base32Key.EncodeToString(key.Bytes())}
	for name, address := range map[string]*string{"onion1": &l.open, "onion2": &l.private, "onion3": &l.guarded} {
		x, _ := n.Node(name)
		*address = x.Address
	}
	return l
}

// auth is the line of a key file for a service.
func auth(address, key string) string {
	return strings.TrimSuffix(address, ".onion") + ":descriptor:x25519:" + key + "\n"
}

// keyDir is a ClientOnionAuthDir.
func keyDir(t *testing.T, line string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.auth_private"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func bytesOf(address string, size int) string {
	return fmt.Sprintf("http://%s/bytes/%d", address, size)
}

// reply is the code with which SOCKS answers a CONNECT.
func (c *client) reply(t *testing.T, user, host string, port uint16) byte {
	t.Helper()
	conn, err := net.Dial("tcp", c.socks)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	say := "\x05\x01\x02\x01" + string([]byte{byte(len(user))}) + user + "\x01x" +
		"\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + string([]byte{byte(port >> 8), byte(port)})
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	var got [6]byte // method, authentication, version and code
	if _, err := io.ReadFull(conn, got[:]); err != nil {
		t.Fatalf("SOCKS says % x, %v", got, err)
	}
	return got[5]
}

// TestOnionServices: services that C tor hosts, over relays of C tor.
func TestOnionServices(t *testing.T) {
	t.Parallel()
	l := startOnionLab(t)
	extended := freePort(t)
	// A short build timeout has the waits for services be short.
	c := start(t, l.Network, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 4 seconds", "SocksPort "+extended+" ExtendedErrors", "ClientOnionAuthDir "+keyDir(t, auth(l.private, l.key)))
	if c.socks != extended { // the order of listeners is not told
		c.socks = extended
	}
	t.Run("download", func(t *testing.T) { c.fetchOnion(t, "", l.open, 5<<20) })
	t.Run("subdomain", func(t *testing.T) { c.fetchOnion(t, "", "www."+l.open, 10_000) })
	t.Run("upload", func(t *testing.T) { c.uploadOnion(t, l.open, 3<<20) })
	t.Run("many streams", func(t *testing.T) { c.manyOnionStreams(t, l) })
	t.Run("client authorisation", func(t *testing.T) { c.fetchOnion(t, "", l.private, 100_000) })
	t.Run("proof of work offered", func(t *testing.T) { c.fetchOnion(t, "", l.guarded, 100_000) })
	t.Run("refusals", func(t *testing.T) { c.onionRefusals(t, l) })
	t.Run("front ends", func(t *testing.T) { onionFronts(t, l) })
	t.Run("keys come and go", func(t *testing.T) { clientKeys(t, l) })
	t.Run("service that does not answer", func(t *testing.T) { c.onionStopped(t, l) })
	t.Run("service that is down", func(t *testing.T) { c.onionDown(t, l) })
	t.Run("circuit padding", func(t *testing.T) { c.circuitsPadded(t) })
}

// fetchOnion downloads and compares the hash with what the service's machine has.
//
// Who visits with C tor after the service closed circuits does so as another user. Its relays
// are at times late to say that a circuit is gone: a DESTROY that comes while the connection it
// is to go out on has something to send waits for the next cell of a circuit there
// (circuitmux_append_destroy_cell). Until then a client takes the circuit for open, and his next
// stream ends with it.
func (c *client) fetchOnion(t *testing.T, user, address string, size int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sum, n, err := c.get(ctx, user, bytesOf(address, size))
	if want := fmt.Sprintf("%x", target.Sum(int64(size))); err != nil || n != int64(size) || sum != want {
		t.Fatalf("%d of %d bytes, hash %s, err %v", n, size, sum, err)
	}
}

// uploadOnion has the service echo what it is sent.
func (c *client) uploadOnion(t *testing.T, address string, size int) {
	t.Helper()
	body := make([]byte, size)
	target.Fill(body, 0)
	proxy := &url.URL{Scheme: "socks5h", Host: c.socks}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/upload", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%x", target.Sum(int64(size))); err != nil || !strings.Contains(string(said), want) {
		t.Fatalf("%q, %v; want %s", said, err, want)
	}
}

// manyOnionStreams: streams of one user share a rendezvous circuit, those of others have
// their own.
func (c *client) manyOnionStreams(t *testing.T, l *onionLab) {
	const users, each = 4, 6
	joined := func() int {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetServiceJoined() != nil })
	}
	before := joined()
	var wg sync.WaitGroup
	for u := range users {
		for range each {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				sum, n, err := c.get(ctx, fmt.Sprintf("user%d", u), bytesOf(l.open, 200_000))
				if want := fmt.Sprintf("%x", target.Sum(200_000)); err != nil || sum != want {
					t.Errorf("user %d: %d bytes, %v", u, n, err)
				}
			})
		}
	}
	wg.Wait()
	if n := joined() - before; n != users {
		t.Errorf("%d rendezvous for %d users", n, users)
	}
	if n := c.count(func(e *chivev1.Envelope) bool {
		return e.GetServiceJoined() != nil && !e.GetServiceJoined().GetCongestionControl()
	}); n != 0 {
		t.Errorf("%d rendezvous without congestion control", n)
	}
}

// onionRefusals: each cause by its code.
func (c *client) onionRefusals(t *testing.T, l *onionLab) {
	for _, tt := range []struct {
		what, host string
		want       socks.ReplyCode
	}{
		{"nobody's address", noService, socks.ReplyOnionDescriptorNotFound},
		{"nobody's address, again", noService, socks.ReplyOnionDescriptorNotFound},
		{"a wrong checksum", strings.Repeat("a", 56) + ".onion", socks.ReplyOnionBadAddress},
		{"version 2", "expyuzz4wqqyqhjn.onion", socks.ReplyOnionBadAddress},
	} {
		if got := socks.ReplyCode(c.reply(t, "refused", tt.host, 80)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, got, tt.want)
		}
	}
	eventually(t, "both that are no addresses are streams in events", func() error {
		if n := c.count(func(e *chivev1.Envelope) bool {
			return e.GetStreamEnded().GetOutcome() == chivev1.Outcome_OUTCOME_ONION_ADDRESS
		}); n != 2 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// clientKeys: without a key F4, with a wrong one F5, with the right one in; each from the
// reload on that brings it.
func clientKeys(t *testing.T, l *onionLab) {
	wrong, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := keyDir(t, "no key\n")
	file := filepath.Join(dir, "a.auth_private")
	r := startReloadable(t, l.Network, []string{"SocksPort 127.0.0.1:auto ExtendedErrors", "ClientOnionAuthDir " + dir})
	for _, tt := range []struct {
		line string
		want socks.ReplyCode
	}{
		{"no key\n", socks.ReplyOnionAuthMissing},
		{auth(l.private, base32Key.EncodeToString(wrong.Bytes())), socks.ReplyOnionAuthWrong},
		{auth(l.private, l.key), socks.ReplySucceeded},
	} {
		if err := os.WriteFile(file, []byte(tt.line), 0o600); err != nil {
			t.Fatal(err)
		}
		if result, err := r.Reload(t.Context()); err != nil || result.Reason != "" {
			t.Fatalf("reload: %+v, %v", result, err)
		}
		if got := socks.ReplyCode(r.reply(t, "someone", l.private, 80)); got != tt.want {
			t.Errorf("with %.8q…: %v, want %v", tt.line, got, tt.want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := socks.ReplyCode(r.reply(t, "another", l.private, 80)); got != socks.ReplyOnionAuthMissing {
		t.Errorf("with the key gone: %v", got)
	}
}

// onionStopped: the introduction points pass the introduction on, and nobody comes (F3). When
// the service runs again the client pays a proof of work for what was in vain, and gets in.
func (c *client) onionStopped(t *testing.T, l *onionLab) {
	if err := l.Stop("onion3"); err != nil {
		t.Fatal(err)
	}
	got := socks.ReplyCode(c.reply(t, "patient", l.guarded, 80))
	if err := l.Cont("onion3"); err != nil {
		t.Fatal(err)
	}
	if got != socks.ReplyOnionRendezvousFailed {
		t.Errorf("%v", got)
	}
	c.fetchOnion(t, "patient", l.guarded, 100_000)
	if n := c.count(func(e *chivev1.Envelope) bool {
		return e.GetServiceIntroduced().GetOutcome() == chivev1.Outcome_OUTCOME_OK && e.GetServiceIntroduced().GetEffort() == 8
	}); n == 0 {
		t.Error("no introduction with a proof of work")
	}
}

// onionDown: the introduction points know no such service any more (F2), or have not noticed
// yet, and it does not come (F3).
func (c *client) onionDown(t *testing.T, l *onionLab) {
	if err := l.Kill("onion1"); err != nil {
		t.Fatal(err)
	}
	if got := socks.ReplyCode(c.reply(t, "late", l.open, 80)); got != socks.ReplyOnionIntroFailed && got != socks.ReplyOnionRendezvousFailed {
		t.Errorf("%v", got)
	}
}

// onionFronts: every way in that a program has, and those where services are not wanted.
func onionFronts(t *testing.T, l *onionLab) {
	tunnel, none, only := freePort(t), freePort(t), freePort(t)
	c := start(t, l.Network, "HTTPTunnelPort "+tunnel, "SocksPort "+none+" NoOnionTraffic", "SocksPort "+only+" OnionTrafficOnly ExtendedErrors",
		"AutomapHostsOnResolve 1", "VirtualAddrNetworkIPv4 10.128.0.0/16", "VanguardsLiteEnabled 0")
	for c.socks == tunnel || c.socks == none || c.socks == only {
		c.socks = (<-c.Listening()).String()
	}
	const size = 150_000
	want := fmt.Sprintf("%x", target.Sum(size))
	for _, args := range [][]string{
		{"--socks4a", c.socks},
		{"--socks5-hostname", only},
		{"--proxytunnel", "--proxy", "http://" + tunnel},
		{"--proxytunnel", "--proxy", "http://" + c.socks},
	} {
		// curl itself refuses names in .onion (RFC 7686); a name it does not know stands for one.
		body, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--max-time", "150", bytesOf(l.open, size)}, args...)...).Output()
		if sum := sha256.Sum256(body); err != nil || fmt.Sprintf("%x", sum) != want {
			t.Errorf("curl %v: %d bytes, %v", args, len(body), err)
		}
	}
	// A virtual address stands for the service.
	ask := "\x05\x01\x00\x05\xf0\x00\x03\x3e" + l.open + "\x00\x00"
	got := exchange(t, c.socks, ask, 100)
	if len(got) != 12 || !strings.HasPrefix(got[2:], "\x05\x00\x00\x01\x0a\x80") {
		t.Fatalf("RESOLVE: % x", got)
	}
	addr, _ := netip.AddrFromSlice([]byte(got[6:10]))
	if sum, n, err := c.get(t.Context(), "", bytesOf(addr.String(), size)); err != nil || sum != want {
		t.Errorf("%v: %d bytes, %v", addr, n, err)
	}
	at := func(socks string) *client { return &client{t: t, socks: socks} }
	if got := at(none).reply(t, "u", l.open, 80); got != byte(socks.ReplyNotAllowed) {
		t.Errorf("NoOnionTraffic: %v", socks.ReplyCode(got))
	}
	if got := at(only).reply(t, "u", "target.test", uint16(l.Target().HTTPPort)); got != byte(socks.ReplyNotAllowed) {
		t.Errorf("OnionTrafficOnly: %v", socks.ReplyCode(got))
	}
	if got := at(c.socks).reply(t, "u", noService, 80); got != byte(socks.ReplyHostUnreachable) {
		t.Errorf("without ExtendedErrors: %v", socks.ReplyCode(got))
	}
	// C tor closes the circuit of who asks for a port that the service has not.
	if got := at(only).reply(t, "u", l.open, 4444); got == 0 {
		t.Error("a port that is not served is connected")
	}
	if n := c.count(func(e *chivev1.Envelope) bool { return e.GetVanguardAdded() != nil }); n != 0 {
		t.Errorf("%d relays in a second layer that is not wanted", n)
	}
}

// circuitsPadded: C tor's relays padded the introductions, 7 to 10 cells each, and had a
// cell for one with each rendezvous; no other circuit has any. It ends the client.
func (c *client) circuitsPadded(t *testing.T) {
	c.stop()
	purposes := map[string]chivev1.Purpose{}
	padded, held := map[chivev1.Purpose]int{}, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.log {
		if p := purposeOf(e); p != 0 {
			purposes[e.GetActorId()] = p
		}
		closed := e.GetCircuitClosed()
		if closed == nil || closed.GetPaddingIn()+closed.GetPaddingOut() == 0 {
			continue
		}
		p := purposes[e.GetActorId()]
		padded[p]++
		in, out := closed.GetPaddingIn(), closed.GetPaddingOut()
		if p == chivev1.Purpose_PURPOSE_INTRODUCTION && (in > 10 || out != 0) ||
			p == chivev1.Purpose_PURPOSE_RENDEZVOUS && (in > 1 || out > 1) {
			t.Errorf("%v: %d cells of padding in, %d out", p, in, out)
		}
		if p == chivev1.Purpose_PURPOSE_INTRODUCTION && closed.GetOutcome() != chivev1.Outcome_OUTCOME_IDLE {
			held++ // those whose padding had ended before are closed at once, as C tor does
		}
	}
	t.Logf("padded: %v; %d introductions were held open for it", padded, held)
	if padded[chivev1.Purpose_PURPOSE_INTRODUCTION] == 0 || padded[chivev1.Purpose_PURPOSE_RENDEZVOUS] == 0 || len(padded) != 2 {
		t.Errorf("padded circuits: %v", padded)
	}
}
