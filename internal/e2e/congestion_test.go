package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/internal/testnet/target"
)

// sequence is the first bytes of what the target sends.
func sequence(size int) []byte {
	b := make([]byte, size)
	target.Fill(b, 0)
	return b
}

// post sends a body through SOCKS, isolated by user, and returns the answer.
func (c *client) post(ctx context.Context, user, to string, body []byte) (string, error) {
	proxy := &url.URL{Scheme: "socks5h", Host: c.socks, User: url.UserPassword(user, "x")}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return string(answer), err
}

// Every hop of every circuit of several negotiates congestion control with C tor's relays,
// and what passes under it is whole, both ways and however slow an end is.
func TestCongestionControl(t *testing.T) {
	n := network(t)
	c := start(t, n)
	t.Run("downloads and uploads", func(t *testing.T) { bothWays(t, n, c) })
	t.Run("slow application", func(t *testing.T) { slowApplication(t, n, c) })
	t.Run("slow target", func(t *testing.T) { slowTarget(t, n, c) })
	c.stop()
	negotiated(t, c)
}

func bothWays(t *testing.T, n *testnet.Network, c *client) {
	const size = 4 << 20
	sum := target.Sum(size)
	upload := "http://" + netip.AddrPortFrom(n.Target().IP, uint16(n.Target().HTTPPort)).String() + "/upload"
	body := sequence(size)
	var wg sync.WaitGroup
	for i := range 3 {
		user := fmt.Sprintf("congested%d", i)
		for range 2 {
			wg.Go(func() {
				got, length, err := c.get(t.Context(), user, resource(n, size))
				if err != nil || length != size || got != fmt.Sprintf("%x", sum) {
					t.Errorf("%s: download of %d bytes, hash %s, err %v", user, length, got, err)
				}
			})
			wg.Go(func() {
				got, err := c.post(t.Context(), user, upload, body)
				if err != nil || got != fmt.Sprintf("%x %d\n", sum, size) {
					t.Errorf("%s: upload answered %q, err %v", user, got, err)
				}
			})
		}
	}
	wg.Wait()
}

// slowApplication reads a little of a download and waits: its stream stops, by XOFF, and no
// other does.
func slowApplication(t *testing.T, n *testnet.Network, c *client) {
	const size = 24 << 20 // more than the sockets on the way hold
	conn := c.dial(t, netip.AddrPortFrom(n.Target().IP, uint16(n.Target().HTTPPort)))
	defer conn.Close()
	if err := conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /bytes/%d HTTP/1.0\r\n\r\n", size); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	const other = 8 << 20
	if _, got, err := c.get(t.Context(), "", resource(n, other)); err != nil || got != other {
		t.Errorf("another stream gets %d bytes beside, err %v", got, err)
	}
	if _, err := io.Copy(hash, res.Body); err != nil {
		t.Fatal(err)
	}
	if want := target.Sum(size); !bytes.Equal(hash.Sum(nil), want[:]) {
		t.Error("a slow application gets another content")
	}
}

// slowTarget reads nothing of an upload until it stands still: the exit has stopped it. Then
// it goes on, as fast as the exit's XON says.
func slowTarget(t *testing.T, n *testnet.Network, c *client) {
	const size = 24 << 20
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.Target().IP, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	read, sum := make(chan struct{}), make(chan [sha256.Size]byte, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		<-read
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Error(err)
			return
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, conn); err != nil {
			t.Errorf("the target reads: %v", err)
		}
		sum <- [sha256.Size]byte(hash.Sum(nil))
	})
	conn := c.dial(t, l.Addr().(*net.TCPAddr).AddrPort())
	defer conn.Close()
	body := sequence(size)
	sent := 0
	for { // until a second brings nothing
		if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		m, err := conn.Write(body[sent:])
		sent += m
		if err == nil {
			t.Fatal("nothing stops an upload that nobody reads")
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if m == 0 {
			break
		}
	}
	// The exit's XON may tell a rate that it measured while the target read nothing, and C
	// tor never tells another then: what is still to go is little.
	const rest = 256 << 10
	body = body[:min(sent+rest, size)]
	close(read)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(body[sent:]); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	if got := <-sum; got != target.Sum(int64(len(body))) {
		t.Error("a slow target gets another content")
	}
}

// negotiated reads the log: every hop of every circuit of several granted congestion control
// by ntor-v3, and none was closed for what C tor's relays said.
func negotiated(t *testing.T, c *client) {
	hops := map[string]uint32{} // of circuits that are no single hop
	agreed := 0
	for _, e := range c.log {
		if l := e.GetCircuitLaunched(); l.GetHops() > 1 {
			hops[e.GetActorId()] = l.GetHops()
		}
		x := e.GetCircuitExtended()
		if x != nil && hops[e.GetActorId()] > 0 {
			agreed++
			if x.GetHandshake() != "ntor-v3" || !x.GetCongestionControl() {
				t.Errorf("circuit %s, hop %d: %s, congestion control %v", e.GetActorId(), x.GetHop(), x.GetHandshake(), x.GetCongestionControl())
			}
		}
		if o := e.GetCircuitOpened(); o.GetHops() > 1 && !o.GetCongestionControl() {
			t.Errorf("circuit %s has fixed windows", e.GetActorId())
		}
	}
	if agreed < 9 { // three users at least
		t.Errorf("%d hops reached", agreed)
	}
	if bad := c.endings()["circuit-closed circuit-protocol"]; bad != 0 {
		t.Errorf("%d circuits closed for a violation", bad)
	}
}
