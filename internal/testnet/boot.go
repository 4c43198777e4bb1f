package testnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"chive/internal/testnet/target"
)

const (
	startWithin     = 4 * time.Minute // far above any real start; a loaded machine is slow
	addressesWithin = startWithin     // those who hold them are tests, which may take minutes
	pollInterval    = 20 * time.Millisecond
	maxDocument     = 8 << 20
)

// boot takes the network from nothing to ready.
func (n *Network) boot(ctx context.Context) error {
	if n.opts.SharedRandom {
		wait := inPhase(time.Now(), n.opts.VotingInterval)
		n.opts.Progress(fmt.Sprintf("wait %.1f s for the next phase of the shared random protocol", wait.Seconds()))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	begin := time.Now()
	for _, step := range []struct {
		does string
		f    func(context.Context) error
	}{
		{"make keys", n.makeKeys},
		{"start the far end", n.startTarget},
		{"start authorities and relays", n.startRelays},
		{"hold the vote until every descriptor is everywhere", n.waitDescriptors},
		{"vote", n.vote},
		{"spread the consensus", n.spreadConsensus},
		{"start onion services", n.startOnions},
	} {
		n.opts.Progress(step.does)
		if err := step.f(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.does, err)
		}
	}
	n.opts.Progress(fmt.Sprintf("ready after %.1f s", time.Since(begin).Seconds()))
	return n.save()
}

func (n *Network) makeKeys(ctx context.Context) error {
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, x := range n.nodes { // authorities come first, and have the most work
		g.Go(func() error {
			if err := os.MkdirAll(x.Dir, 0o700); err != nil || !x.relay() {
				return err
			}
			var err error
			if x.Role == RoleAuth {
				addr := fmt.Sprintf("%s:%d", x.IP, x.DirPort)
				if x.V3Ident, err = makeAuthority(x.Dir, addr, time.Now()); err != nil {
					return err
				}
			}
			x.Fingerprint, err = makeRelayIdentity(x.Dir)
			return err
		})
	}
	return g.Wait()
}

func (n *Network) startTarget(context.Context) error {
	s, err := target.Listen(n.claim.addr(0))
	if err != nil {
		return err
	}
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	n.target = Target{
		IP: s.IP(), HTTPPort: port(s.HTTP), EchoPort: port(s.Echo), DiscardPort: port(s.Discard),
		ChargenPort: port(s.Chargen), DNS: s.DNS.LocalAddr().(*net.UDPAddr).AddrPort(), PID: os.Getpid(),
	}
	if n.opts.Detached {
		return n.detachTarget(s)
	}
	n.server = target.Serve(s)
	return nil
}

func (n *Network) startRelays(ctx context.Context) error {
	first := voteLater
	if n.opts.SharedRandom {
		ok := false
		if first, _, ok = hold(time.Now(), n.opts.VotingInterval); !ok {
			return errors.New("no schedule of the first vote is in the phase of the shared random protocol")
		}
	}
	if err := n.seed(time.Now()); err != nil {
		return err
	}
	for _, x := range n.nodes {
		if !x.relay() {
			continue
		}
		if err := n.writeTorrc(x, first); err != nil {
			return err
		}
		if err := n.startNode(x); err != nil {
			return err
		}
	}
	return n.save()
}

func (n *Network) startNode(x *node) error {
	argv := []string{n.tor, "-f", x.file("torrc"), "--defaults-torrc", "/dev/null"}
	p, err := n.spawn(argv, x.file("stdout.log"), nil, n.opts.Detached)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	x.proc, x.PID = p, p.pid
	return nil
}

// waitDescriptors returns when each authority has every relay's descriptor. A
// vote before that would leave relays out of the first consensus.
func (n *Network) waitDescriptors(ctx context.Context) error {
	return n.eachAuthority(ctx, "every descriptor", func(x *node) (bool, error) {
		text, err := fetch(ctx, x, "/tor/server/all")
		if err != nil {
			return false, nil // not listening yet, or nothing there yet
		}
		have := map[string]bool{}
		for line := range strings.Lines(text) {
			if fp, ok := strings.CutPrefix(line, "fingerprint "); ok {
				have[strings.ReplaceAll(strings.TrimSpace(fp), " ", "")] = true
			}
		}
		for _, y := range n.nodes {
			if y.relay() && !have[y.Fingerprint] {
				return false, nil
			}
		}
		return true, n.readEd25519()
	})
}

// readEd25519 learns the identities that tor made.
func (n *Network) readEd25519() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.nodes {
		if !x.relay() || x.Ed25519 != "" {
			continue
		}
		b, err := os.ReadFile(x.file("fingerprint-ed25519"))
		if err != nil {
			return err
		}
		f := strings.Fields(string(b))
		if len(f) != 2 {
			return fmt.Errorf("%s: unknown form of fingerprint-ed25519", x.Name)
		}
		x.Ed25519 = strings.TrimRight(f[1], "=")
	}
	return nil
}

// vote makes the authorities vote about a second from now, and returns when all
// of them have the consensus.
func (n *Network) vote(ctx context.Context) error {
	if err := n.schedule(ctx); err != nil {
		return err
	}
	return n.eachAuthority(ctx, "the consensus", func(x *node) (bool, error) {
		text, err := fetch(ctx, x, consensusPath)
		if err != nil {
			return false, nil // none yet
		}
		return true, n.checkConsensus(text)
	})
}

// schedule tells all authorities, while they run, the same moment to vote. When
// one was told too late for the moment chosen (a loaded machine), all are told a
// later one.
//
// With the shortest initial interval, 5 s, C tor votes two seconds before the
// interval starts, counts one second before, and publishes as it starts.
func (n *Network) schedule(ctx context.Context) error {
	const (
		interval = 5 * time.Second
		ahead    = 2 * time.Second
		margin   = 50 * time.Millisecond
	)
	for lead := 250 * time.Millisecond; ; lead *= 2 {
		start := time.Now().Add(ahead + lead + time.Second - 1).Truncate(time.Second)
		first := schedule{interval: interval, offset: int(start.Unix() % int64(interval.Seconds()))}
		g, gctx := errgroup.WithContext(ctx)
		for _, x := range n.nodes {
			if x.Role == RoleAuth {
				g.Go(func() error { return n.tellSchedule(gctx, x, first) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if time.Until(start) > ahead+margin {
			return nil
		}
	}
}

func (n *Network) tellSchedule(ctx context.Context, x *node, first schedule) error {
	// The file is for a later reload or restart.
	if err := n.writeTorrc(x, first); err != nil {
		return err
	}
	c, err := dialControl(ctx, x.file("control"))
	if err != nil {
		return fmt.Errorf("%s: %w", x.Name, err)
	}
	defer c.Close()
	_, err = c.command("SETCONF " + strings.Join(first.settings("="), " "))
	return err
}

// eachAuthority polls the authorities side by side until done is true for each.
func (n *Network) eachAuthority(ctx context.Context, what string, done func(*node) (bool, error)) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, x := range n.nodes {
		if x.Role != RoleAuth {
			continue
		}
		g.Go(func() error {
			return poll(ctx, what+" at "+x.Name, func() (bool, error) {
				if ok, err := done(x); ok || err != nil {
					return ok, err
				}
				return false, n.anyDeath()
			})
		})
	}
	return g.Wait()
}

// spreadConsensus returns when every relay can serve and use the consensus.
// Relays asked too early and are backing off: SIGHUP makes them ask at once.
func (n *Network) spreadConsensus(ctx context.Context) error {
	relays := 0
	for _, x := range n.nodes {
		if !x.relay() {
			continue
		}
		relays++
		if x.Role == RoleAuth {
			continue
		}
		if _, err := n.signal(x.Name, syscall.SIGHUP); err != nil {
			return err
		}
	}
	for _, x := range n.nodes {
		if !x.relay() {
			continue
		}
		err := poll(ctx, "the consensus at "+x.Name, func() (bool, error) {
			if _, err := os.Stat(x.file("cached-microdesc-consensus")); err != nil {
				return false, n.deathOf(x)
			}
			b, _ := os.ReadFile(x.file("cached-microdescs.new")) // not there yet: none
			if strings.Count(string(b), "\nid ed25519 ") >= relays {
				return true, nil
			}
			return false, n.deathOf(x)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poll calls done until it is true, fails, or ctx ends.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	t := time.NewTicker(pollInterval)
	defer t.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-t.C:
		}
	}
}

// ErrDied says that a node ended by itself; what it printed is in the error.
var ErrDied = errors.New("ended by itself")

func (n *Network) anyDeath() error {
	for _, x := range n.nodes {
		if err := n.deathOf(x); err != nil {
			return err
		}
	}
	return nil
}

// deathOf is an error when a node that this process started has ended.
func (n *Network) deathOf(x *node) error {
	n.mu.Lock()
	p := x.proc
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.exited:
		return fmt.Errorf("%s %w:\n%s", x.Name, ErrDied, tail(x.file("stdout.log"), 8))
	default:
		return nil
	}
}

// tail is the last lines of a file.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var dirClient = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
}

// fetch gets a document from an authority's directory port.
func fetch(ctx context.Context, x *node, path string) (string, error) {
	url := fmt.Sprintf("http://%s%s", netip.AddrPortFrom(x.IP, uint16(x.DirPort)), path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := dirClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("fetch from %s: %w", x.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetch %s from %s: %s", path, x.Name, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return "", fmt.Errorf("fetch %s from %s: %w", path, x.Name, err)
	}
	return string(b), nil
}

func accepts(a netip.AddrPort) bool {
	c, err := net.DialTimeout("tcp", a.String(), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// complaints are the last warnings of each node, for a start that failed.
func (n *Network) complaints() string {
	const perNode = 3
	var b strings.Builder
	for _, x := range n.nodes {
		text, err := os.ReadFile(x.file("notice.log"))
		if err != nil {
			continue
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "[warn]") || strings.Contains(line, "[err]") {
				lines = append(lines, line)
			}
		}
		for _, line := range lines[max(0, len(lines)-perNode):] {
			fmt.Fprintf(&b, "\n  %s: %s", x.Name, strings.TrimSpace(line))
		}
	}
	return b.String()
}

// DumpLogs writes the end of every process's log at notice level.
func (n *Network) DumpLogs(w io.Writer, lines int) {
	logs, _ := filepath.Glob(filepath.Join(n.dir, "*", "*", "notice.log"))
	for _, path := range logs {
		fmt.Fprintf(w, "--- %s\n%s\n", filepath.Base(filepath.Dir(path)), tail(path, lines))
	}
}
