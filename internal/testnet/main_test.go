package testnet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"chive/internal/leak"
)

// childDir, when set, makes the test binary a process that starts a network there
// and then waits to be killed.
const childDir = "CHIVE_TESTNET_CHILD"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == TargetCommand {
		os.Exit(TargetMain(os.Args[2:]))
	}
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(childMain(dir))
	}
	leak.Main(m)
}

// small is the least network in which a client can build a circuit.
var small = Options{Auths: 1, Relays: 2, Exits: 1, Onions: -1}

func childMain(dir string) int {
	o := small
	o.Dir = dir
	if _, err := Start(context.Background(), o); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // never ends: the parent kills us
	return 1
}

// socks asks a SOCKS5 port for a connection (RFC 1928) and gives the reply code.
func socks(ctx context.Context, proxy, host string, port int) (net.Conn, byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, 0, err
	}
	if err := c.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		return nil, 0, err
	}
	req := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	reply := make([]byte, 2+10)
	if _, err = c.Write(append(req, byte(port>>8), byte(port))); err == nil {
		_, err = io.ReadFull(c, reply)
	}
	if err != nil || reply[3] != 0 {
		c.Close()
		return nil, reply[3], err
	}
	return c, 0, nil
}

// get fetches a path from the target over the client.
func get(ctx context.Context, client *TorClient, host string, port int, path string) ([]byte, error) {
	h := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, code, err := socks(ctx, client.SocksAddr, host, port)
			if err == nil && code != 0 {
				err = fmt.Errorf("SOCKS reply %d", code)
			}
			return c, err
		},
	}}
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// mustGet fetches n bytes of the target's sequence and compares the hash.
func mustGet(t *testing.T, c *TorClient, host string, port int, n int64, sum [sha256.Size]byte) {
	t.Helper()
	b, err := get(t.Context(), c, host, port, fmt.Sprintf("/bytes/%d", n))
	if err != nil {
		t.Errorf("%s: %v", host, err)
		return
	}
	if int64(len(b)) != n || sha256.Sum256(b) != sum {
		t.Errorf("%s: %d bytes of %d, or another content", host, len(b), n)
	}
}
