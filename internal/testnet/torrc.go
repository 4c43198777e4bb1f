package testnet

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A schedule is when authorities vote for the first time.
type schedule struct {
	interval time.Duration
	offset   int // seconds after a multiple of interval
}

// settings are the schedule's options, with name and value joined by sep.
func (s schedule) settings(sep string) []string {
	return []string{
		fmt.Sprintf("TestingV3AuthInitialVotingInterval%s%d", sep, int(s.interval.Seconds())),
		fmt.Sprintf("TestingV3AuthVotingStartOffset%s%d", sep, s.offset),
	}
}

const (
	roundsPerPhase = 12 // of the shared random protocol, votes each; a run is two phases
	holdFor        = 45 * time.Second
)

// holdIntervals are those of schedules that C tor accepts and that are longer than holdFor.
var holdIntervals = func() (all []time.Duration) {
	for i := voteLater.interval; i >= holdFor; i -= time.Second {
		if voteLater.interval%i == 0 {
			all = append(all, i)
		}
	}
	return all
}()

// hold is a schedule by which nobody votes before holdFor has passed, and first is when somebody
// would. An authority takes what goes before the first vote of the schedule that it starts with for
// no round of the shared random protocol: that vote has to be in the phase that lasts, both by its
// own interval and by the voting interval. false: there is no such schedule now.
func hold(now time.Time, voting time.Duration) (s schedule, first time.Time, ok bool) {
	phase := roundsPerPhase * voting
	ends := now.Truncate(phase).Add(phase)
	reveals := func(interval time.Duration) bool {
		return first.Unix()/int64(interval/time.Second)%(2*roundsPerPhase) >= roundsPerPhase
	}
	for _, interval := range holdIntervals {
		first = now.Truncate(interval).Add(interval)
		if first.Sub(now) >= holdFor && first.Before(ends) && reveals(interval) == reveals(voting) {
			return schedule{interval: interval}, first, true
		}
	}
	return schedule{}, time.Time{}, false
}

// inPhase is how long to wait for a time at which hold has a schedule.
func inPhase(now time.Time, voting time.Duration) (wait time.Duration) {
	for {
		if _, _, ok := hold(now.Add(wait), voting); ok {
			return wait
		}
		wait += time.Second
	}
}

// Before every descriptor is everywhere nobody shall vote: half an hour is longer
// than any start takes.
var voteLater = schedule{interval: 30 * time.Minute}

// writeTorrc writes a node's torrc. All sources are bound to the node's own
// loopback address: an exit accepts any destination, and this way none of its
// packets can leave the machine.
func (n *Network) writeTorrc(x *node, first schedule) error {
	l := []string{
		"DataDirectory " + x.Dir,
		"ControlSocket " + x.file("control"),
		"Log notice file " + x.file("notice.log"),
		"LogTimeGranularity 1",
		"SafeLogging 0",
		"ProtocolWarnings 1",
		"TestingTorNetwork 1",
		"AssumeReachable 1",
		"PathsNeededToBuildCircuits 0.67",
		"ShutdownWaitLength 0",
		"DisableDebuggerAttachment 0",
		"OutboundBindAddress " + x.IP.String(),
		"GeoIPFile /dev/null",
		"GeoIPv6File /dev/null",
		"SocksPort 0",
	}
	if x.ORPort6 == 0 {
		l = append(l, "AddressDisableIPv6 1")
	}
	if !n.opts.Detached {
		// The slower second line behind the parent-death signal: tor looks every
		// 15 seconds whether this process still lives.
		l = append(l, fmt.Sprintf("__OwningControllerProcess %d", os.Getpid()))
	}
	switch x.Role {
	case RoleOnion:
		l = append(l, n.onionLines(x)...)
	case RoleAuth:
		l = append(l, n.relayLines(x)...)
		l = append(l, n.authLines(x, first)...)
	default:
		l = append(l, n.relayLines(x)...)
		l = append(l, "PublishServerDescriptor v3")
	}
	l = append(l, n.authorityLines()...)
	for _, key := range []string{"*", string(x.Role), x.Name} {
		l = append(l, n.opts.Torrc[key]...)
	}
	if x.Exit {
		// After what else was asked for, which thus may refuse some. Accept *:* and nothing
		// less: the summary in a microdescriptor of a policy that accepts private addresses
		// only is "reject".
		l = append(l, "ExitPolicy accept *:*")
	}
	return os.WriteFile(x.file("torrc"), []byte(strings.Join(l, "\n")+"\n"), 0o600)
}

func (n *Network) relayLines(x *node) []string {
	l := []string{
		"Nickname " + x.Name,
		"Address " + x.IP.String(),
		fmt.Sprintf("ORPort %s:%d", x.IP, x.ORPort),
		"ContactInfo " + x.Name + "@testnet.invalid",
		"BandwidthRate 1 GBytes",
		"BandwidthBurst 1 GBytes",
		"ServerDNSResolvConfFile " + n.dir + "/resolv.conf",
		"ServerDNSDetectHijacking 0",
		"ServerDNSAllowBrokenConfig 1",
		"ServerDNSAllowNonRFC953Hostnames 1",
		"ServerDNSTestAddresses target.test",
	}
	if at := x.IPv6(); at.IsValid() {
		l = append(l, "ORPort "+at.String())
	}
	if x.Exit {
		return append(l, "ExitRelay 1", "ExitPolicyRejectPrivate 0")
	}
	return append(l, "ExitRelay 0", "ExitPolicy reject *:*")
}

func (n *Network) authLines(x *node, first schedule) []string {
	l := []string{
		fmt.Sprintf("DirPort %s:%d", x.IP, x.DirPort),
		"AuthoritativeDirectory 1",
		"V3AuthoritativeDirectory 1",
		fmt.Sprintf("V3AuthVotingInterval %d", int(n.opts.VotingInterval.Seconds())),
		"V3AuthVoteDelay 2",
		"V3AuthDistDelay 2",
		"V3AuthNIntervalsValid 3",
		"TestingV3AuthInitialVoteDelay 2",
		"TestingV3AuthInitialDistDelay 2",
		"TestingMinExitFlagThreshold 0",
		"TestingDirAuthVoteExit " + n.fingerprints(func(y Node) bool { return y.Exit }),
		"TestingDirAuthVoteExitIsStrict 1",
		"TestingDirAuthVoteGuard " + n.fingerprints(func(y Node) bool { return y.Guard }),
		"TestingDirAuthVoteGuardIsStrict 1",
		"TestingDirAuthVoteHSDir *",
		"MinUptimeHidServDirectoryV2 0",
		"V3BandwidthsFile " + n.dir + "/v3bw",
		`ConsensusParams "` + n.opts.consensusParams() + `"`,
	}
	if len(n.opts.IPv6) > 0 {
		l = append(l, "AuthDirHasIPv6Connectivity 1")
	}
	return append(l, first.settings(" ")...)
}

func (n *Network) onionLines(x *node) []string {
	t := n.target
	l := []string{"EnforceDistinctSubnets 1", "HiddenServiceDir " + x.file("hs")}
	for _, p := range []struct{ virtual, port int }{
		{80, t.HTTPPort},
		{8080, t.HTTPPort},
		{8081, t.EchoPort},
		{8082, t.DiscardPort},
		{8083, t.ChargenPort},
	} {
		l = append(l, fmt.Sprintf("HiddenServicePort %d %s:%d", p.virtual, t.IP, p.port))
	}
	return l
}

func (n *Network) fingerprints(which func(Node) bool) string {
	var out []string
	for _, x := range n.Nodes() {
		if which(x) {
			out = append(out, "$"+x.Fingerprint)
		}
	}
	return strings.Join(out, ",")
}
