package testnet

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"
)

// startOnions starts the onion services and returns when their descriptors are
// at the directories.
func (n *Network) startOnions(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, x := range n.nodes {
		if x.Role != RoleOnion {
			continue
		}
		if err := n.writeTorrc(x, voteLater); err != nil {
			return err
		}
		if err := x.letIn(n.opts.OnionClients[x.Name]); err != nil {
			return err
		}
		if err := n.startNode(x); err != nil {
			return err
		}
		g.Go(func() error { return n.waitOnion(ctx, x) })
	}
	return g.Wait()
}

// letIn writes the keys of a service's authorised clients.
func (x *node) letIn(clients []string) error {
	if len(clients) == 0 {
		return nil
	}
	dir := x.file("hs/authorized_clients")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, key := range clients {
		line := "descriptor:x25519:" + key + "\n"
		if err := os.WriteFile(fmt.Sprintf("%s/client%d.auth", dir, i+1), []byte(line), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) waitOnion(ctx context.Context, x *node) error {
	if err := waitPublished(ctx, x.file("control"), 1, func() error { return n.deathOf(x) }); err != nil {
		return fmt.Errorf("descriptor of %s: %w", x.Name, err)
	}
	name, err := os.ReadFile(x.file("hs/hostname"))
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	x.Address = strings.TrimSpace(string(name))
	return nil
}

// WaitPublished returns when so many onion services of a C tor that was just started, and has
// this ControlSocket, are at all their directories.
func WaitPublished(ctx context.Context, socket string, services int) error {
	return waitPublished(ctx, socket, services, func() error { return nil })
}

func waitPublished(ctx context.Context, socket string, services int, death func() error) error {
	var c *control
	err := poll(ctx, "the control socket", func() (bool, error) {
		var err error
		if c, err = dialControl(ctx, socket); err != nil {
			return false, death() // not there yet
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.command("SETEVENTS HS_DESC"); err != nil {
		return err
	}
	return waitUploads(func() (string, error) { return c.event(startWithin) }, services)
}

// waitUploads returns when, by the events it asks for, every upload of so many services that
// was begun has ended well. A service has two descriptors, for two time periods, and uploads
// each to all its directories in one go.
func waitUploads(next func() (string, error), services int) error {
	type upload struct{ service, directory string }
	begun, done := map[upload]int{}, map[upload]int{}
	published := map[string]bool{}
	for {
		e, err := next()
		if err != nil {
			return err
		}
		f := strings.Fields(e) // HS_DESC ACTION ADDRESS AUTH HSDIR [DESCRIPTOR-ID] …
		if len(f) < 5 || f[0] != "HS_DESC" {
			continue
		}
		switch f[1] {
		case "UPLOAD":
			begun[upload{f[2], f[4]}]++
		case "UPLOADED":
			done[upload{f[2], f[4]}]++
			published[f[2]] = true
		}
		// Some that end may have begun before anybody listened: they stand for no others.
		under := false
		for u, n := range begun {
			under = under || done[u] < n
		}
		if len(published) == services && !under {
			return nil
		}
	}
}
