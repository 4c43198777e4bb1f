package config

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is what one node was asked to do, after defaults. Every field is
// honoured by the product; durations are whole seconds or more precise.
type Config struct {
	DataDirectory  string // absolute; made with mode 0700 by the node
	CacheDirectory string // absolute; equals DataDirectory unless set

	SocksPorts             []SocksPort // in order of the torrc; empty when SocksPort 0
	HTTPTunnelPorts        []SocksPort // likewise, of Protocol HTTP
	DNSPorts               []SocksPort // likewise, of Protocol DNS
	MetricsPorts           []SocksPort // likewise, of Protocol Metrics; they take no flags
	MetricsPolicy          Policy      // who may read there
	MapAddresses           []Mapping
	AutomapHostsOnResolve  bool
	AutomapHostsSuffixes   []string // each begins with a dot
	VirtualAddrNetworkIPv4 netip.Prefix
	VirtualAddrNetworkIPv6 netip.Prefix

	// The proxy that connections to relays go through: at most one is valid.
	Socks4Proxy, Socks5Proxy, HTTPSProxy     netip.AddrPort
	Socks5ProxyUsername, Socks5ProxyPassword Secret
	HTTPSProxyAuthenticator                  Secret // username:password

	AllowNonLocalSocks bool // a listener beyond loopback was permitted
	DirAuthorities     []DirAuthority
	FallbackDirs       []FallbackDir
	PublicNetwork      bool // DirAuthorities are the compiled-in public ones
	DefaultFallbacks   bool // FallbackDirs are the compiled-in ones
	TestingTorNetwork  bool

	UseDefaultFallbackDirs bool
	OutboundBindAddress4   netip.Addr // source of outgoing connections; zero: the system chooses
	OutboundBindAddress6   netip.Addr

	EnforceDistinctSubnets           bool     // no two relays of a path in one /16 (IPv4) or /32 (IPv6)
	ClientRejectInternalAddresses    bool     // refuse streams to private and loopback addresses
	ClientDNSRejectInternalAddresses bool     // and what exits answer with them
	LongLivedPorts                   []uint16 // target ports that get circuits of Stable relays

	// Streams of every SocksPort that does not say otherwise share a circuit only
	// if what is set here agrees.
	IsolateDestinations   bool // target address and port
	IsolateSOCKSAuth      bool
	IsolateClientPort     bool // the client's source port; of a unix socket, the connection
	IsolateClientProtocol bool

	EnableCircuitPrebuilding bool          // clean circuits are kept ready
	CircuitPoolMinSize       int           // at least so many
	CircuitPoolMaxSize       int           // at most so many
	NewCircuitPeriod         time.Duration // how often the number follows the demand

	PredictedPortsRelevanceTime time.Duration // how long circuits are kept ready for a port after its use

	EnableConnectionPooling bool          // circuits through one relay share a connection
	ConnectionPoolMaxIdle   int           // connections without circuits that are kept
	ConnectionPoolMaxLife   time.Duration // an older one takes no new circuits; 0: no limit
	EnableBufferPooling     bool          // buffers are used again

	ClientOnionAuthDir          string // absolute; "" if there is none
	VanguardsLiteEnabled        string // auto, 0 or 1
	VanguardsFull               string // auto, 0 or 1
	ExtendAllowPrivateAddresses bool   // introduction points of onion services may have private addresses

	ConnectionPadding        string // auto, 0 or 1
	ReducedConnectionPadding bool
	CircuitPadding           bool // circuits to onion services are padded
	ReducedCircuitPadding    bool // not at all: all there is of it costs

	OnionServices []OnionService // that the node hosts, in order of the torrc

	OnionVerifyPeriod time.Duration // 0: they are not verified unless asked for
	Reach
	ConfluxEnabled  string // auto, 0 or 1
	ConfluxClientUX string // throughput, latency, throughput_lowmem or latency_lowmem

	Nodes
	PathBias
	Guards

	// Of each identity, a user name (SOCKS, HTTP) with its password.
	IdentityMaxAge        time.Duration // it is renewed then; 0: never
	IdentityMaxStreams    int           // it is renewed after so many; 0: never
	IdentityDistinctExits bool          // no other identity uses its exits

	MaxCircuitDirtiness      time.Duration // a circuit takes new streams this long after its first
	LearnCircuitBuildTimeout bool
	CircuitBuildTimeout      time.Duration // initial; 0: as the network says
	CircuitsAvailableTimeout time.Duration
	SocksTimeout             time.Duration // from a SOCKS request to its reply
	ShutdownWaitLength       time.Duration // how long open streams may finish after the first signal

	RelayBreakerFailures int           // connections to a relay that fail in a row open its breaker
	RelayBreakerOpenTime time.Duration // for so long

	BandwidthRate            int64 // bytes a second, each way
	BandwidthBurst           int64 // bytes
	MaxClientCircuitsPending int   // circuits being built at once
	CircuitRate              int   // new circuits a second; 0: no limit
	CircuitBurst             int
	SocksRequestRate         int // a second; 0: no limit
	SocksRequestBurst        int
	DirectoryFetchRate       int // a minute; 0: no limit
	DirectoryFetchBurst      int
	MaxMemInQueues           int64 // bytes

	SafeLogging        bool          // targets and addresses are scrubbed from log lines
	Logs               []Log         // as written; Destinations applies LogLevel
	LogLevel           string        // a severity's word; "" leaves the Logs as they are
	LogTimeGranularity time.Duration // time stamps are rounded down to this
	TruncateLogFile    bool          // log files are emptied when opened
	PidFile            string        // absolute; "" for none
	EventHistory       time.Duration // how long events are kept on disk; 0: not at all

	Fleet              string // subject token
	NodeName           string // subject token
	NatsListen         string // address:port for other NATS clients; "" for none
	NatsCredentialFile string // absolute; written by the node with mode 0600 when NatsListen is set
	Nats

	Warnings []*Error // legal, but probably not meant
}

// Protocol is what a listener speaks.
type Protocol uint8

// The protocols, each with an option of its own.
const (
	SOCKS     Protocol = iota // SOCKS4, 4a, 5 and HTTP CONNECT
	HTTP                      // HTTP CONNECT
	DNS                       // over UDP and TCP
	Metrics                   // HTTP, for who gathers metrics
	protocols                 // how many there are
)

// String is the name of the protocol's option.
func (p Protocol) String() string {
	return [protocols]string{"SocksPort", "HTTPTunnelPort", "DNSPort", "MetricsPort"}[p]
}

// ports are the listeners of a protocol.
func (c *Config) ports(p Protocol) *[]SocksPort {
	return [protocols]*[]SocksPort{&c.SocksPorts, &c.HTTPTunnelPorts, &c.DNSPorts, &c.MetricsPorts}[p]
}

// Listeners are those of every protocol.
func (c *Config) Listeners() (out []SocksPort) {
	for p := range protocols {
		out = append(out, *c.ports(p)...)
	}
	return out
}

// SocksPort is one listener, of any Protocol.
type SocksPort struct {
	Protocol Protocol
	Network  string         // "tcp" or "unix"
	Address  netip.AddrPort // tcp; port 0 when Auto
	Path     string         // unix; absolute
	Auto     bool           // the system chooses the port

	// Streams share a circuit only if each of these that is set agrees.
	IsolateClientAddr     bool // default true; always false for unix
	IsolateSOCKSAuth      bool // default true
	IsolateClientProtocol bool
	IsolateDestAddr       bool
	IsolateDestPort       bool
	IsolateClientPort     bool // of the option of that name; no flag
	// KeepAliveIsolateSOCKSAuth: the age of a circuit whose streams gave SOCKS
	// authentication counts from its last use. Only with IsolateSOCKSAuth.
	KeepAliveIsolateSOCKSAuth bool
	// SessionGroup: streams of two listeners may share a circuit only when the
	// groups are equal. At least 0 when the torrc names it; otherwise a
	// negative number no other listener has.
	SessionGroup int

	IPv4Traffic bool // default true: the exit may connect over IPv4
	IPv6Traffic bool // default true: the exit may connect over IPv6
	PreferIPv6  bool

	DNSRequest        bool // default true: an exit may be asked to resolve names
	OnionTraffic      bool // default true: onion services may be connected to
	PreferSOCKSNoAuth bool // take "no authentication" from SOCKS5 clients that offer both

	ExtendedErrors bool // replies F0..F7 where they apply

	GroupWritable     bool // unix only: socket mode 0660
	WorldWritable     bool // unix only: socket mode 0666
	RelaxDirModeCheck bool // unix only: the folder may be accessible to others
}

// String gives the listener as a torrc would: 127.0.0.1:9050 or unix:/path.
func (p SocksPort) String() string {
	switch {
	case p.Network == "unix":
		return "unix:" + p.Path
	case p.Auto:
		if p.Address.Addr().Is6() {
			return "[" + p.Address.Addr().String() + "]:auto"
		}
		return p.Address.Addr().String() + ":auto"
	}
	return p.Address.String()
}

// Loopback reports whether only this machine can reach the listener.
func (p SocksPort) Loopback() bool {
	return p.Network == "unix" || p.Address.Addr().IsLoopback()
}

// Fingerprint is a relay's or authority's 20-byte RSA identity digest.
type Fingerprint [20]byte

// String gives 40 upper-case hex digits.
func (f Fingerprint) String() string { return strings.ToUpper(hex.EncodeToString(f[:])) }

// DirAuthority is a directory authority this node believes.
type DirAuthority struct {
	Nickname    string         // may be empty
	V3Ident     Fingerprint    // digest of the key that certifies its signing keys
	Fingerprint Fingerprint    // its relay identity
	ORPort      netip.AddrPort // IPv4
	DirPort     netip.AddrPort // IPv4; chive never uses it, the ORPort carries BEGIN_DIR
	IPv6        netip.AddrPort // zero when not given
	Weight      float64        // share among the authorities when one is chosen; default 1
}

// FallbackDir is a relay that is asked for the first documents.
type FallbackDir struct {
	IPv4        netip.AddrPort // OR port; zero when the line has an IPv6 address only
	IPv6        netip.AddrPort // OR port; zero when not given
	Fingerprint Fingerprint
	Weight      float64 // default 1
}

// Target is where a log goes.
type Target string

// The targets of a Log line.
const (
	TargetStderr Target = "stderr"
	TargetStdout Target = "stdout"
	TargetFile   Target = "file"
)

// Severity is one of C tor's five levels.
type Severity int8

// The severities, least to most severe.
const (
	Debug Severity = iota
	Info
	Notice
	Warn
	Err
)

var severityNames = [...]string{"debug", "info", "notice", "warn", "err"}

// String gives the torrc's word.
func (s Severity) String() string {
	if s < Debug || s > Err {
		return fmt.Sprintf("Severity(%d)", int8(s))
	}
	return severityNames[s]
}

// Log is one destination of log lines: those from Severity up to Max.
type Log struct {
	Severity Severity
	Max      Severity // Err unless a range was given
	Target   Target
	Path     string // absolute, for TargetFile
}

// Destinations is where log lines go: the Logs, from LogLevel on if that is set.
func (c *Config) Destinations() []Log {
	out := slices.Clone(c.Logs)
	if level, ok := severity(c.LogLevel); ok {
		for i := range out {
			out[i].Severity = level
		}
		out = slices.DeleteFunc(out, func(l Log) bool { return l.Max < l.Severity })
	}
	return out
}

// String gives the line's value as a torrc would.
func (l Log) String() string {
	text := l.Severity.String()
	if l.Max != Err {
		text += "-" + l.Max.String()
	}
	if text += " " + string(l.Target); l.Target == TargetFile {
		text += " " + l.Path
	}
	return text
}

// Override is one option from the command line. It replaces what the torrc says
// about the option; a Name that starts with "+" adds to a list instead.
type Override struct {
	Name, Value string
}

// Load reads the torrc at path ("" for none, "-" for standard input), applies
// the overrides and the defaults, and checks the whole. The error is an Errors
// holding everything that is wrong, or a plain error when the file can't be read.
// A program that reads it again later, or the environment, uses a Source.
func Load(path string, overrides []Override) (*Config, error) {
	return loadFrom(osFiles{}, path, overrides)
}
