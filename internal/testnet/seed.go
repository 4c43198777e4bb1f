package testnet

import (
	"crypto/sha3"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// seed writes what the nodes shall find when they start: measured bandwidths, a
// name server, and for each authority a past.
func (n *Network) seed(now time.Time) error {
	var bw strings.Builder
	fmt.Fprintf(&bw, "%d\nversion=1.4.0\nsoftware=testnet\n=====\n", now.Unix())
	for _, x := range n.nodes {
		if x.Bandwidth > 0 {
			fmt.Fprintf(&bw, "bw=%d node_id=$%s nick=%s\n", x.Bandwidth, x.Fingerprint, x.Name)
		}
	}
	// libevent's parser takes a port here, so the name server needs no privileges.
	resolv := fmt.Sprintf("nameserver %s\noptions timeout:2\n", n.target.DNS)
	files := map[string]string{
		filepath.Join(n.dir, "v3bw"):        bw.String(),
		filepath.Join(n.dir, "resolv.conf"): resolv,
	}
	for _, x := range n.nodes {
		if x.Role == RoleAuth {
			files[x.file("router-stability")] = n.stability(now)
			files[x.file("sr-state")] = n.sharedRandomState(now)
		}
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// stability is an authority's memory of how long relays stay up: a month without
// a fault for each. Without it Stable goes to those that came up before the
// median, which is chance.
func (n *Network) stability(now time.Time) string {
	const month = 30 * 24 * time.Hour
	var b strings.Builder
	fmt.Fprintf(&b, "format 2\nstored-at %s\ntracked-since %s\ndata\n", torTime(now), torTime(now.Add(-month)))
	for _, x := range n.nodes {
		if x.relay() {
			s := int(month.Seconds())
			fmt.Fprintf(&b, "R %s\n+MTBF %d 1.00000\n+WFU %d %d\n", x.Fingerprint, s, s, s)
		}
	}
	b.WriteString(".\n")
	return b.String()
}

// sharedRandomState is an authority's state of the shared-randomness protocol
// (srv-spec), so that the first consensus has both values. A run of the protocol
// is 24 voting intervals, a day by default.
func (n *Network) sharedRandomState(now time.Time) string {
	run := 24 * n.opts.VotingInterval
	from := now.Truncate(run)
	value := func(which string) string {
		h := sha3.Sum256(fmt.Appendf(nil, "testnet %s %d", which, from.Unix()))
		return base64.StdEncoding.EncodeToString(h[:])
	}
	return fmt.Sprintf("Version 1\nTorVersion Tor 0.4.8\nValidAfter %s\nValidUntil %s\n"+
		"SharedRandPreviousValue %d %s\nSharedRandCurrentValue %d %s\n",
		torTime(from), torTime(from.Add(run)),
		n.opts.Auths, value("previous"), n.opts.Auths, value("current"))
}
