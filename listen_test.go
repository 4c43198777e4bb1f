package chive

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// clientKey is the public key of a client.
func clientKey(t *testing.T, curve ecdh.Curve) *ecdh.PublicKey {
	t.Helper()
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey()
}

// What cannot be is refused at once, and said.
func TestListenRefuses(t *testing.T) {
	c := offline(t)
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	low, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	wrong := newKey(t)
	wrong[40] ^= 1
	for name, tt := range map[string]struct {
		service Service
		says    string
	}{
		"folder and key":       {Service{Folder: t.TempDir(), Key: newKey(t)}, "Folder or a Key"},
		"half a key":           {Service{Key: newKey(t)[:32]}, "ed25519"},
		"parts of two keys":    {Service{Key: wrong}, "ed25519"},
		"nobody":               {Service{Clients: []*ecdh.PublicKey{}}, "nobody"},
		"a client of P-256":    {Service{Clients: []*ecdh.PublicKey{clientKey(t, ecdh.P256())}}, "X25519"},
		"a client without key": {Service{Clients: []*ecdh.PublicKey{nil}}, "X25519"},
		"a key for everybody":  {Service{Clients: []*ecdh.PublicKey{low}}, "everybody"},
		"port 0":               {Service{Ports: []uint16{80, 0}}, "ports"},
		"a port twice":         {Service{Ports: []uint16{80, 80}}, "ports"},
		"a long backlog":       {Service{Backlog: mostBacklog + 1}, "Backlog"},
		"a short backlog":      {Service{Backlog: -1}, "Backlog"},
		"an option that isn't": {Service{Lines: []string{"HiddenServiceMaxStream 1"}}, "HiddenServiceMaxStream"},
		"a port as an option":  {Service{Lines: []string{"HiddenServicePort 80"}}, "HiddenServicePort"},
		"an option of a folder": {
			Service{Lines: []string{"HiddenServiceDirGroupReadable 1"}},
			"HiddenServiceDirGroupReadable",
		},
		"a backend without a folder":     {Service{Lines: []string{"HiddenServiceOnionBalanceInstance 1"}}, "HiddenServiceOnionBalanceInstance"},
		"a circuit told twice":           {Service{Lines: []string{"HiddenServiceExportCircuitID haproxy"}}, "RemoteAddr"},
		"a service of many nodes":        {Service{Folder: t.TempDir(), Lines: []string{"HiddenServiceShared 1"}}, "HiddenServiceShared"},
		"a folder that others can enter": {Service{Folder: open}, "chmod 700"},
		"a folder in nothing":            {Service{Folder: filepath.Join(open, "a", "b")}, "no such file"},
	} {
		l, err := c.Listen(t.Context(), tt.service)
		var op *net.OpError
		if l != nil || !errors.As(err, &op) || op.Op != "listen" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Listen(over, Service{}); !errors.Is(err, context.Canceled) {
		t.Errorf("its context is over: %v", err)
	}
}

// A Listener has its address at once, and says that nobody can find it while there is no
// network. One address is listened on once in a process, and is free when the Listener is closed.
func TestListen(t *testing.T) {
	c, other := offline(t), offline(t)
	key := newKey(t)
	dir := filepath.Join(t.TempDir(), "service")
	for name, s := range map[string]Service{"key": {Key: key}, "folder": {Folder: dir, Ports: []uint16{443, 80}}} {
		l, err := c.Listen(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil || len(host) != 62 || !strings.HasSuffix(host, ".onion") || l.Addr().Network() != "tcp" || (port == "443") != (name == "folder") {
			t.Errorf("%s: %v, %v", name, l.Addr(), err)
		}
		for _, again := range []*Client{c, other} {
			if _, err := again.Listen(t.Context(), s); !errors.Is(err, ErrAddressInUse) {
				t.Errorf("%s: twice: %v", name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		var ne net.Error
		if err := l.Published(ctx); !errors.Is(err, ErrNotPublished) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: published: %v", name, err)
		}
		cancel()
		accepted := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		if err := l.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrClosed) {
			t.Errorf("%s: accept: %v", name, err)
		}
		for what, err := range map[string]error{"close": l.Close(), "published": l.Published(t.Context())} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %s when closed: %v", name, what, err)
			}
		}
		again, err := other.Listen(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: the address is not free: %v", name, err)
		}
		if again.Addr() != l.Addr() {
			t.Errorf("%s: %v is %v now", name, l.Addr(), again.Addr())
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "hostname")); err != nil || len(b) != 63 {
		t.Errorf("hostname: %q, %v", b, err)
	}
}

// Whoever may find a service can change, but not to everybody.
func TestListenAllow(t *testing.T) {
	c := offline(t)
	l, err := c.Listen(t.Context(), Service{Clients: []*ecdh.PublicKey{clientKey(t, ecdh.X25519())}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Allow([]*ecdh.PublicKey{clientKey(t, ecdh.X25519()), clientKey(t, ecdh.X25519())}); err != nil {
		t.Error(err)
	}
	for _, clients := range [][]*ecdh.PublicKey{nil, {}, {nil}, {clientKey(t, ecdh.P256())}} {
		if err := l.Allow(clients); err == nil {
			t.Errorf("allowed %v", clients)
		}
	}
}

// Of a service without a folder nothing is written.
func TestListenLeavesNothing(t *testing.T) {
	c := offline(t)
	dir := c.node.Config().DataDirectory
	key := newKey(t)
	l, err := c.Listen(t.Context(), Service{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(l.Addr().String(), ".onion")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if text := string(b); strings.Contains(text, host) || strings.Contains(text, string(key[:32])) || strings.Contains(text, string(key[32:])) {
			t.Errorf("%s tells of the service", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// The end of the Client is that of its Listeners, and so is Drain.
func TestListenersEndWithTheClient(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"Close": func(c *Client) error { return c.Close(t.Context()) },
		"Drain": func(c *Client) error { return c.Drain(t.Context()) },
	} {
		c := offline(t)
		key := newKey(t)
		l, err := c.Listen(t.Context(), Service{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- http.Serve(l, http.NotFoundHandler()) }()
		if err := end(c); err != nil {
			t.Fatal(err)
		}
		if err := <-served; !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrClosed) != (name == "Close") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Listen(t.Context(), Service{}); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: listen after: %v", name, err)
		}
		again, err := offline(t).Listen(t.Context(), Service{Key: key})
		if err != nil {
			t.Errorf("%s: the address is not free: %v", name, err)
		} else if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the configuration hosts is not listened on, what is listened on is not hosted by a
// new configuration, and one that has nothing to do with it leaves it alone.
func TestListenAndConfiguration(t *testing.T) {
	dir, free := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "keys")
	torrc := filepath.Join(t.TempDir(), "torrc")
	write := func(text string) {
		if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := func(dir string) string { return "HiddenServiceDir " + dir + "\nHiddenServicePort 80\n" }
	write(service(dir))
	c := offline(t, WithTorrc(torrc))
	if _, err := c.Listen(t.Context(), Service{Folder: dir}); !errors.Is(err, ErrAddressInUse) {
		t.Errorf("a folder of the configuration: %v", err)
	}
	l, err := c.Listen(t.Context(), Service{Folder: free})
	if err != nil {
		t.Fatal(err)
	}
	write(service(dir) + service(free))
	if r, err := c.node.Reload(t.Context()); err == nil && r.Reason == "" || !strings.Contains(r.Reason+fmt.Sprint(err), "listens on this service") {
		t.Errorf("a configuration that hosts it too: %+v, %v", r, err)
	}
	write(service(dir) + "MaxCircuitDirtiness 5 minutes\n")
	if r, err := c.node.Reload(t.Context()); err != nil || r.Reason != "" {
		t.Errorf("another change: %+v, %v", r, err)
	}
	if s := c.node.Config().MaxCircuitDirtiness; s != 5*time.Minute {
		t.Errorf("not changed: %v", s)
	}
	write("")
	if r, err := c.node.Reload(t.Context()); err != nil || r.Reason != "" {
		t.Errorf("nothing hosted: %+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Published(ctx); !errors.Is(err, ErrNotPublished) {
		t.Errorf("the listener: %v", err)
	}
}
