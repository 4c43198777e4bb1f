package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/messages"
)

type fleetCredentials struct {
	Dir   string   `arg:"" type:"path" help:"The folder to write to; it is made if it does not exist."`
	Fleet string   `required:"" placeholder:"NAME" help:"The fleet's name."`
	Nodes []string `required:"" sep:"," placeholder:"NODE" help:"The nodes' names."`
}

// Help is printed by chive fleet credentials --help.
func (fleetCredentials) Help() string {
	return `Writes into a folder a key for each node and role, the key that signs configurations,
the secret of a cluster of embedded servers, the accounts for a nats-server's
configuration, and lines for each node's torrc; and says who needs what. Keys that are
there are kept, so that nodes can be added: name all of them again. Of nodes that are not
named any more nothing is deleted, but the accounts let them in no more. A folder is of one
fleet: one of another is refused.

Examples (the folder is called keys):
  chive fleet credentials keys --fleet f --nodes n1,n2,n3
  chive fleet credentials keys --fleet f --nodes n1,n2,n3,n4   # one more`
}

// Names of the files; those of nodes begin with their names.
const (
	signerFile   = "config.nk"
	secretFile   = "cluster.secret"
	accountsFile = "nats-accounts.conf"
)

// roleFile is named as a node looks for it beside its NatsCredentialFile.
func roleFile(r bridge.Role) string {
	if r == bridge.RoleObserve {
		return "nats.creds"
	}
	return "nats.creds." + string(r)
}

// Run writes the files.
func (c fleetCredentials) Run(std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	u := bridge.Users{Fleet: c.Fleet, Nodes: map[string]string{}, Clients: map[bridge.Role]string{}}
	var err error
	for _, n := range c.Nodes {
		if u.Nodes[n], err = c.key("node-" + n + ".nk"); err != nil {
			return err
		}
	}
	for _, r := range bridge.Roles {
		if u.Clients[r], err = c.key(roleFile(r)); err != nil {
			return err
		}
	}
	signer, err := c.key(signerFile)
	if err != nil {
		return err
	}
	if err := c.secret(); err != nil {
		return err
	}
	if err := c.write(accountsFile, u.ServerConfig()); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := c.write("node-"+n+".torrc", c.torrc(n, signer)); err != nil {
			return err
		}
	}
	return c.say(std.out)
}

// say tells who needs which file.
func (c fleetCredentials) say(w io.Writer) error {
	fmt.Fprintln(w, printable(c.Dir))
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, f := range [][2]string{
		{"node-NAME.nk, node-NAME.torrc", "for the node of that name: its key, and lines for its torrc"},
		{accountsFile, "for NATS servers that are not embedded: their configuration includes it"},
		{secretFile, "for each node with an embedded server in the cluster"},
		{roleFile(bridge.RoleObserve), "for who watches the fleet (chive fleet nodes, onions, events; status without the configuration)"},
		{roleFile(bridge.RoleOperate), "for who drains nodes, sees the configuration, and watches"},
		{roleFile(bridge.RoleConfigure), "for who publishes configurations, and watches"},
		{"these three", "for each node with NatsListen, too: its NatsCredentialFile, and the others beside it"},
		{signerFile, "for who signs configurations (chive fleet config --key), and for no node"},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", f[0], f[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(c.Nodes) == 2 {
		fmt.Fprintln(w, "Two nodes: have them share one nats-server, or add a third. A cluster of their embedded servers\nstores nothing any more when one of them ends (docs/fleet.md).")
	}
	return nil
}

func (c fleetCredentials) check() error {
	if err := messages.ValidName(c.Fleet); err != nil {
		return usage("--fleet: %w", err)
	}
	for i, n := range c.Nodes {
		if err := messages.ValidName(n); err != nil {
			return usage("--nodes: %w", err)
		}
		if slices.Contains(c.Nodes[:i], n) {
			return usage("--nodes: %s is there twice", n)
		}
	}
	return c.checkFolder()
}

// checkFolder refuses a folder that was made for another fleet: its keys would let the nodes of both
// into each other's, and its files for the first one would be gone.
func (c fleetCredentials) checkFolder() error {
	torrcs, err := fs.Glob(os.DirFS(c.Dir), "node-*.torrc")
	if err != nil {
		return err
	}
	other := func(name, whose string) error {
		return usage("%s is of %s, and --fleet is %s: name another folder, one for each fleet. Nothing was changed", printable(filepath.Join(c.Dir, name)), whose, c.Fleet)
	}
	for _, name := range torrcs {
		text, err := os.ReadFile(filepath.Join(c.Dir, name))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && strings.EqualFold(f[0], "Fleet") && f[1] != c.Fleet {
				return other(name, "the fleet "+printable(f[1]))
			}
		}
	}
	switch text, err := os.ReadFile(filepath.Join(c.Dir, accountsFile)); { // the nodes may have their torrcs already
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !strings.Contains(string(text), "KV_"+fleet.NodeBucket(c.Fleet)+`"`):
		return other(accountsFile, "another fleet")
	}
	return nil
}

func (c fleetCredentials) key(name string) (string, error) {
	return bridge.KeptKey(filepath.Join(c.Dir, name))
}

func (c fleetCredentials) write(name, text string) error {
	return os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o600)
}

// secret makes what the servers of a cluster share, unless it is there.
func (c fleetCredentials) secret() error {
	_, err := os.Stat(filepath.Join(c.Dir, secretFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c.write(secretFile, rand.Text()+rand.Text()+"\n")
	}
	return err
}

// torrc is the lines of a node, with what depends on the place commented out.
func (c fleetCredentials) torrc(node, signer string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Fleet %s\nNodeName %s\nFleetConfigKey %s\n", c.Fleet, node, signer)
	fmt.Fprintf(&b, `
# With NATS servers of their own, one line each:
#NatsUrl tls://nats.example:4222
#NatsNodeCredentialFile /etc/chive/node-%s.nk

# Or with the embedded servers of three nodes as a cluster, of which each names the others
# (those of two keep nothing when one ends):
#NatsListen 127.0.0.1:4222
#NatsClusterListen 192.0.2.1:6222
#NatsRoutes 192.0.2.2:6222
#NatsRoutes 192.0.2.3:6222
#NatsClusterCredentialFile /etc/chive/%s
#NatsTLSCert /etc/chive/nats.crt
#NatsTLSKey /etc/chive/nats.key
#NatsTLSCA /etc/chive/ca.crt

# How many servers hold what the fleet stores: 3 of three; left out with one.
#FleetReplicas 3
`, node, secretFile)
	return b.String()
}
