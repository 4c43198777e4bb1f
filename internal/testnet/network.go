package testnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"chive/internal/testnet/target"
)

// Names inside a network's directory.
const (
	nodesDir   = "nodes"
	clientsDir = "clients"
	stateFile  = "network.json"
	torrcFile  = "network.torrc"
	targetLog  = "target.log"
)

// Network is a private network of tor processes. Its methods may be called from
// several goroutines.
type Network struct {
	dir       string // absolute
	temporary bool   // Close removes dir
	tor       string // path of the tor program
	opts      Options
	target    Target

	launcher *launcher
	children sync.WaitGroup // goroutines that wait for our children
	claim    *claim         // nil when a detached target holds it
	server   *target.Server // nil when the target is a process

	started time.Duration

	// mu guards launcher and closed, and of the nodes what changes after layout and
	// makeKeys: PID, proc, Ed25519, Address. It is held while network.json is written.
	mu     sync.Mutex
	nodes  []*node
	closed bool
}

// Target is the far end that the exits reach (package target). Any name under
// .test resolves at the exits to its address, but nx.test, which does not exist.
type Target struct {
	IP          netip.Addr     `json:"ip"`
	HTTPPort    int            `json:"http"`
	EchoPort    int            `json:"echo"`
	DiscardPort int            `json:"discard"`
	ChargenPort int            `json:"chargen"`
	DNS         netip.AddrPort `json:"dns"` // UDP
	PID         int            `json:"pid"` // of the process that runs it
}

// Target gives the far end's address and ports.
func (n *Network) Target() Target { return n.target }

// Dir is the network's directory.
func (n *Network) Dir() string { return n.dir }

// StartTime is how long Start took, 0 for an attached network.
func (n *Network) StartTime() time.Duration { return n.started }

// Start brings a network up and returns when it is ready: every authority and
// relay has a consensus in which each relay has its flags, relays have the
// microdescriptors, and each onion service's descriptor is at its directories.
// Whatever it started is gone again when it fails.
func Start(ctx context.Context, o Options) (*Network, error) {
	begin := time.Now()
	n, err := newNetwork(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("private network: %w", err)
	}
	if err := n.boot(ctx); err != nil {
		err = fmt.Errorf("private network: %w%s", err, n.complaints())
		return nil, errors.Join(err, n.Close())
	}
	n.started = time.Since(begin)
	return n, nil
}

func newNetwork(ctx context.Context, o Options) (*Network, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	tor, err := findTor(torPrograms)
	if err != nil {
		return nil, err
	}
	c, err := o.claim(ctx)
	if err != nil {
		return nil, err
	}
	n := &Network{tor: tor, opts: o, claim: c}
	if err := n.prepareDir(c.block); err != nil {
		c.Close()
		return nil, err
	}
	if err := n.layout(c); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// claim claims the network's addresses; while other networks hold too many, it waits.
func (o Options) claim(ctx context.Context) (c *claim, err error) {
	ctx, cancel := context.WithTimeout(ctx, addressesWithin)
	defer cancel()
	for told := false; ; told = true {
		if c, err = claimAddresses(1+o.Auths+o.Relays+o.Exits+o.Onions, orPort, dirPort); err == nil {
			return c, nil
		}
		if !told {
			o.Progress("wait for loopback addresses: " + err.Error())
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Close ends every process of the network, also of one that was attached to,
// and says so if one is left.
func (n *Network) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	launcher := n.launcher
	n.mu.Unlock()

	err := endAll(n.dir)
	n.children.Wait()
	if launcher != nil {
		launcher.close()
	}
	if n.server != nil {
		err = errors.Join(err, n.server.Close())
	}
	if n.temporary { // before another may have these addresses, who removes what is left of them
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	if n.claim != nil {
		err = errors.Join(err, n.claim.Close())
	}
	return err
}

// endAll kills the processes of the network in dir until none is left. There is
// nothing to lose by SIGKILL, and it reaches a stopped process too.
func endAll(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), goneWithin)
	defer cancel()
	return poll(ctx, "every process of the network to end", func() (bool, error) {
		left, err := owned(dir)
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
		return len(left) == 0, err
	})
}

// prepareDir makes the directory, or empties that of an earlier network.
func (n *Network) prepareDir(block int) error {
	if n.opts.Dir == "" {
		prefix := fmt.Sprintf("chive-testnet-%d-", block)
		// A network that was killed left its directory; the block is ours, so no
		// living one has this prefix.
		stale, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
		for _, d := range stale {
			_ = os.RemoveAll(d)
		}
		dir, err := os.MkdirTemp("", prefix)
		if err != nil {
			return err
		}
		n.dir, n.temporary = dir, true
		return n.checkPath()
	}
	dir, err := filepath.Abs(n.opts.Dir)
	if err != nil {
		return err
	}
	n.dir = dir
	if err := n.checkPath(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return reuse(dir)
}

// checkPath refuses a directory whose control sockets would not fit a socket
// address (108 bytes), or that a torrc cannot name.
func (n *Network) checkPath() error {
	if longest := filepath.Join(n.dir, clientsDir, "0123456789", "control"); len(longest) > 107 {
		return fmt.Errorf("directory %s: its path is too long for unix sockets inside", n.dir)
	}
	if strings.ContainsAny(n.dir, " \t\r\n\"#\\") {
		return fmt.Errorf("directory %q: a torrc cannot hold spaces, quotes, # or \\ in a path", n.dir)
	}
	return nil
}

func reuse(dir string) error {
	left, err := owned(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("directory %s: its network is up (%d processes); take it down first", dir, len(left))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ours := []string{nodesDir, clientsDir, stateFile, stateFile + ".new", torrcFile, targetLog, "resolv.conf", "v3bw"}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return fmt.Errorf("directory %s: holds %s, which is not of a private network; give an empty directory", dir, e.Name())
		}
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// ClientTorrc is what a client of this network needs beside a data directory and
// a SOCKS port; C tor and chive both read it. Clients bind to 127.0.0.1, so that
// no packet of theirs can leave this machine.
func (n *Network) ClientTorrc() []string {
	return append([]string{
		"TestingTorNetwork 1",
		"EnforceDistinctSubnets 1",
		"OutboundBindAddress 127.0.0.1",
	}, n.authorityLines()...)
}

func (n *Network) authorityLines() []string {
	var out []string
	for _, x := range n.Nodes() {
		if x.Role == RoleAuth {
			over6 := ""
			if at := x.IPv6(); at.IsValid() {
				over6 = " ipv6=" + at.String()
			}
			out = append(out, fmt.Sprintf("DirAuthority %s orport=%d v3ident=%s%s %s:%d %s",
				x.Name, x.ORPort, x.V3Ident, over6, x.IP, x.DirPort, x.Fingerprint))
		}
	}
	return out
}
