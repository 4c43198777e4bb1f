package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/internal/relaydouble"
	"chive/internal/testnet"
	"chive/tor/cell"
)

// impostor is a double in the place of a real guard, with the keys of every relay
// of the network: circuits enter at the guard's address and end in the double.
func impostor(t *testing.T, n *testnet.Network, guard string, script ...relaydouble.Fault) *relaydouble.Relay {
	t.Helper()
	return impostorWith(t, n, guard, toTarget, script...)
}

// toTarget is the honest end of a stream.
var toTarget = relaydouble.Splice(func(target string) (net.Conn, error) { return net.Dial("tcp", target) })

func impostorWith(t *testing.T, n *testnet.Network, guard string, streams relaydouble.Handler, script ...relaydouble.Fault) *relaydouble.Relay {
	t.Helper()
	var keys []relaydouble.Keys
	for _, x := range n.Nodes() {
		listen := ""
		if x.Name == guard {
			listen = netip.AddrPortFrom(x.IP, uint16(x.ORPort)).String()
		}
		k, err := relaydouble.KeysOf(x.Dir, listen, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return relaydouble.Start(t, relaydouble.Options{
		Hops: len(keys), Keys: keys, Script: script, Handler: streams,
		SendmeIncrement: 31, CGO: true, // what the real relays list
	})
}

// body fetches a URL through SOCKS and gives what came, also when not all did.
func (c *client) body(ctx context.Context, user, target string) ([]byte, error) {
	proxy := &url.URL{Scheme: "socks5h", Host: c.socks, User: url.UserPassword(user, "x")}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// downloadSize is that of the download in which faults strike: some 4000 cells.
const downloadSize = 2_000_000

// A guard with all the right keys misbehaves once, while a circuit is built or in
// the middle of a download. That ends as it is called; what had come is right;
// the next request is served, by the same guard, with nobody's help.
func TestBadGuard(t *testing.T) {
	n := network(t)
	whole, guard := withoutGuard(t, n)
	for _, test := range []struct {
		name string
		at   relaydouble.Point
		nth  int
		do   relaydouble.Action
		cut  bool // the download does not end well
		want []string
	}{
		{"good after all", relaydouble.AtCreated, 1, func(*relaydouble.Moment) bool { return true }, false, nil},
		{"wrong ntor at the guard", relaydouble.AtCreated, 1, relaydouble.CorruptReply, false, []string{"circuit-failed handshake-auth"}},
		{"wrong ntor at hop 3", relaydouble.AtExtended, 2, relaydouble.CorruptReply, false, []string{"circuit-failed handshake-auth"}},
		{"bad digest in a download", relaydouble.AtRelayOut, 500, relaydouble.CorruptDigest, true, []string{"circuit-closed circuit-protocol", "stream-ended circuit-protocol"}},
		{"unknown circuit in a download", relaydouble.AtDataOut, 500, relaydouble.CellOn(7, cell.Relay, make([]byte, cell.BodyLen)), true, []string{"connection-closed link-protocol", "stream-ended link-protocol"}},
		{"RELAY_EARLY in a download", relaydouble.AtDataOut, 500, relaydouble.SendRelay(relaydouble.RelayCell{Cmd: cell.RelayDrop, Early: true}), true, []string{"circuit-closed circuit-protocol"}},
		{"DESTROY in a download", relaydouble.AtDataOut, 500, relaydouble.Destroy(cell.DestroyFinished), true, []string{"circuit-closed destroyed", "stream-ended destroyed"}},
		{"gone in a download", relaydouble.AtDataOut, 500, relaydouble.CloseConnection, true, []string{"connection-closed connection-lost", "stream-ended connection-lost"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fault := relaydouble.Fault{Name: "fault", At: test.at, Nth: test.nth, Do: test.do}
			if test.at == relaydouble.AtRelayOut {
				fault.If = func(m *relaydouble.Moment) bool { return m.Hop == 2 } // not what builds circuits beside
			}
			relay := impostor(t, n, guard, fault)
			c := relaunch(t, n, whole)
			c.downloads(t, n, test.cut)
			c.serves(t, n, "after")
			c.stop()
			got := c.endings()
			for _, want := range test.want {
				if got[want] == 0 {
					t.Errorf("no %q; endings %v", want, got)
				}
			}
			if n := relay.Seen().Faults["fault"]; n != 1 { // violations may be those of real relays, which connect too
				t.Errorf("the fault struck %d times", n)
			}
			if n := c.fetched(); len(n) != 0 || got["guard-unreachable"] != 0 {
				t.Errorf("fetched %v, endings %v: the fault cost more than its circuit", n, got)
			}
		})
	}
}

// downloads fetches some megabytes; what came is right even if it is cut.
func (c *client) downloads(t *testing.T, n *testnet.Network, cut bool) {
	t.Helper()
	want := pattern(t, n)
	got, err := c.body(t.Context(), "victim", resource(n, downloadSize))
	switch {
	case !bytes.HasPrefix(want, got):
		t.Errorf("%d bytes came, other ones than were sent", len(got))
	case cut && err == nil:
		t.Error("a download that was cut ended without an error")
	case !cut && (err != nil || len(got) != len(want)):
		t.Errorf("%d bytes of %d, err %v", len(got), len(want), err)
	}
}

func pattern(t *testing.T, n *testnet.Network) []byte {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(resource(n, downloadSize))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// relaunch runs a node on a copy of the data of one that has stopped. All it does goes
// through one guard: no conflux set, which takes two.
func relaunch(t *testing.T, n *testnet.Network, whole string, lines ...string) *client {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(whole, "data"))); err != nil {
		t.Fatal(err)
	}
	c, err := launch(t, dir, nil, append(append(n.ClientTorrc(), "ConfluxEnabled 0"), lines...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	return c
}

// withoutGuard gives the data of a node that has stopped, and the guard that nodes with it
// use, which is away until the test ends: an impostor may take its place.
func withoutGuard(t *testing.T, n *testnet.Network) (whole, guard string) {
	t.Helper()
	whole = bootstrapped(t, n)
	guard = firstGuard(t, n, whole)
	if err := n.Kill(guard); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Restart(guard); err != nil {
			t.Error(err)
		}
	})
	return whole, guard
}

// firstGuard names the guard that nodes with this data use.
func firstGuard(t *testing.T, n *testnet.Network, whole string) string {
	t.Helper()
	c := relaunch(t, n, whole)
	c.serves(t, n, "")
	defer c.stop()
	return c.guard(t, n)
}
