package config

import "time"

const (
	day   = 24 * time.Hour
	month = 30 * day
)

// Why a remote publisher may not set an option.
const (
	deniedFiles     = "paths on this machine are its operator's"
	deniedTrust     = "whom to believe is this machine's operator's choice"
	deniedPrivacy   = "a remote party must not weaken what protects this node's users"
	deniedIsolation = "a remote party must not choose what shares a circuit"
	deniedPaths     = "a remote party must not choose what relays a path may have"
	deniedListener  = "who may reach this node, and what its streams may share, is its operator's choice"
	deniedName      = "the node would answer to another name"
)

// table is every option that chive honours.
var table = sections(placeOptions, socksOptions, frontOptions, metricsOptions, onionOptions, hostingOptions, verifyOptions, mapOptions, upstreamOptions, directoryOptions, reachOptions, pathOptions, nodeOptions, circuitOptions, identityOptions, buildOptions, pathBiasOptions, guardOptions, connectionOptions, limitOptions, logOptions, fleetOptions, natsOptions)

func sections(all ...[]Option) (out []Option) {
	for _, s := range all {
		out = append(out, s...)
	}
	return out
}

var placeOptions = []Option{
	path(Option{
		Name: "DataDirectory", Default: defaultDataDirectory, Class: Restart, RemoteDenied: deniedFiles,
		Effect:  "Needs a restart: the lock, the control socket and the guards are in it.",
		Doc:     "What must survive a restart, the lock that keeps a second node out, and the socket through which `chive events` and `chive status` talk to the node. Made with mode 0700. One that all may write to, or that is another user's (but root's), is refused; one that its group may write to is warned of. chive changes no folder's mode.",
		Differs: "C tor's default is ~/.tor. chive never reads C tor's files; one folder serves one program.",
	}, "folder", func(c *Config) *string { return &c.DataDirectory }),
	path(Option{
		Name: "CacheDirectory", Default: "", Class: Restart, RemoteDenied: deniedFiles,
		Effect: "Needs a restart: the documents in use came from it.",
		Doc:    "Where directory documents are cached. Default: the DataDirectory. chive warns of one that others may write to: what is read from it is checked, but they can have it fetched anew.",
	}, "folder", func(c *Config) *string { return &c.CacheDirectory }),
	path(Option{
		Name: "PidFile", Default: "", Class: Restart, RemoteDenied: deniedFiles,
		Effect: "Needs a restart: it is written once, when the process starts, and removed when it ends.",
		Doc:    "Write the process id here while running.",
	}, "file", func(c *Config) *string { return &c.PidFile }),
	interval(Option{
		Name: "ShutdownWaitLength", Default: "30 seconds", Class: Hot, Effect: "From the next stop on.",
		Doc:     "After the first SIGINT or SIGTERM applications' new streams are refused, onion services meet nobody new (a shared one once other nodes do without this one), and open streams, and those that clients who were met before open meanwhile, may finish for this long; the node stops as soon as none is left. A second signal stops it at once.",
		Differs: "Applies to a client too; a C tor client exits at once.",
	}, time.Second, 0, day, func(c *Config) *time.Duration { return &c.ShutdownWaitLength }),
	interval(Option{
		Name: "EventHistory", Default: "1 day", Own: true, Class: Hot, RemoteDenied: deniedPrivacy,
		Effect: "At once: what is older is deleted. 0 deletes what was kept.",
		Doc:    "How long events are kept in the DataDirectory, in the folder history, for `chive why` and `--at`. At most 32 MiB are kept, whatever their age. No relay, target or client is in it, but when streams came and went is. 0 keeps nothing.",
	}, time.Second, 0, month, func(c *Config) *time.Duration { return &c.EventHistory }),
	flag(Option{
		Name: "EnableBufferPooling", Default: "1", Own: true, Class: Hot, Effect: "From the next buffer on.",
		Doc: "Use the buffers that carry cells and data again. Off, each is given to the garbage collector: slower, but memory tools see each buffer's life.",
	}, func(c *Config) *bool { return &c.EnableBufferPooling }),
}

const newStreams = "From the next stream on; open streams stay where they are. What shared a circuit before shares no new one with what it is now kept apart from."

var socksOptions = []Option{
	custom(Option{
		Name: "SocksPort", Default: "127.0.0.1:9050", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect: "At once: new listeners open before old ones close, and a listener whose address stays is never closed, though it become an HTTPTunnelPort, a DNSPort or a MetricsPort: clients that have connected finish what they began. Streams of a closed listener go on. If one cannot open, nothing changes.",
		Range:  "[address:]port, auto, unix:/path or 0, then flags",
		Doc: "Where SOCKS4, SOCKS4a and SOCKS5 clients connect, and HTTP clients that ask for a tunnel with CONNECT. Streams of different SocksPorts never share a circuit unless their SessionGroup is equal. 0 opens none. " +
			"Flags, each with a No- form: IsolateClientAddr and IsolateSOCKSAuth (both on by default), IsolateClientProtocol, IsolateDestAddr, IsolateDestPort, KeepAliveIsolateSOCKSAuth (a circuit whose streams gave a user name or password counts its age from when the last of them came or left, not from the first), SessionGroup=N, IPv4Traffic and IPv6Traffic (both on by default), PreferIPv6, DNSRequest (on; off, names other than .onion are refused), OnionTraffic (on), PreferSOCKSNoAuth, ExtendedErrors; for unix sockets GroupWritable, WorldWritable, RelaxDirModeCheck. OnionTrafficOnly is NoIPv4Traffic, NoIPv6Traffic and NoDNSRequest in one. " +
			"The options IsolateSOCKSAuth, IsolateClientProtocol and IsolateDestinations set what a listener without the flag does.",
		Differs: "An address beyond loopback needs AllowNonLocalSocks 1. A host name other than localhost is refused. An unknown flag is an error. HTTP CONNECT is spoken here, too.",
	}, "listener", listener(SOCKS), showListeners(SOCKS)),
	flag(Option{
		Name: "AllowNonLocalSocks", Default: "0", Own: true, Class: Hot, RemoteDenied: deniedListener,
		Effect: "With the SocksPorts of the same change.",
		Doc:    "Permit a SocksPort or HTTPTunnelPort on an address that other machines can reach. Their protocols are neither encrypted nor, as used here, authenticated: whoever reaches the port can use it and see its traffic. chive warns at each start.",
	}, func(c *Config) *bool { return &c.AllowNonLocalSocks }),
	flag(Option{
		Name: "IsolateDestinations", Default: "0", Own: true, Class: Hot, Effect: newStreams, RemoteDenied: deniedIsolation,
		Doc: "Streams to different addresses or ports share no circuit: as if every SocksPort had IsolateDestAddr and IsolateDestPort, but where it says otherwise. An address that is given by name counts as that name.",
	}, func(c *Config) *bool { return &c.IsolateDestinations }),
	flag(Option{
		Name: "IsolateSOCKSAuth", Default: "1", Own: true, Class: Hot, Effect: newStreams, RemoteDenied: deniedIsolation,
		Doc: "Streams with different SOCKS user names or passwords, or for HTTP another Proxy-Authorization, Tor-Stream-Isolation or X-Tor-Stream-Isolation, share no circuit, but where a SocksPort says NoIsolateSOCKSAuth.",
	}, func(c *Config) *bool { return &c.IsolateSOCKSAuth }),
	flag(Option{
		Name: "IsolateClientPort", Default: "0", Own: true, Class: Hot, Effect: newStreams, RemoteDenied: deniedIsolation,
		Doc: "Streams from different source ports of a client share no circuit. As each SOCKS request is a connection of its own, nearly every stream gets a circuit of its own; on unix sockets, every one.",
	}, func(c *Config) *bool { return &c.IsolateClientPort }),
	flag(Option{
		Name: "IsolateClientProtocol", Default: "0", Own: true, Class: Hot, Effect: newStreams, RemoteDenied: deniedIsolation,
		Doc: "Streams asked for in different protocols (SOCKS4, SOCKS5, HTTP, and in SOCKS CONNECT or RESOLVE) share no circuit, but where a SocksPort says NoIsolateClientProtocol.",
	}, func(c *Config) *bool { return &c.IsolateClientProtocol }),
	flag(Option{
		Name: "ClientRejectInternalAddresses", Default: "1", TestingDefault: "0", Class: Hot, Effect: "From the next stream on.", RemoteDenied: deniedPrivacy,
		Doc: "Refuse requests for addresses that only exist on a local network (127.0.0.1, 192.168.0.1, …): no exit can reach them and asking leaks them.",
	}, func(c *Config) *bool { return &c.ClientRejectInternalAddresses }),
	flag(Option{
		Name: "ClientDNSRejectInternalAddresses", Default: "1", TestingDefault: "0", Class: Hot, Effect: "From the next stream on.", RemoteDenied: deniedPrivacy,
		Doc: "Drop what an exit answers if it only exists on a local network: addresses of names, names of addresses, and streams that an exit says it connected to such an address. A hostile name or exit could else lead a program to what is beside it. Never off on the public network.",
	}, func(c *Config) *bool { return &c.ClientDNSRejectInternalAddresses }),
	interval(Option{
		Name: "SocksTimeout", Default: "2 minutes", Class: Hot, Effect: "At once, for requests that wait too.",
		Doc: "Answer a SOCKS request with an error after trying this long. One whose application closes its connection meanwhile is cancelled within a second or two. An application that sent data behind its request and then half-closed (FIN) is given 15 seconds to be connected, and keeps what it sent and the answer; one that half-closed without data has left. C tor ends both at the FIN.",
	}, time.Second, time.Second, day, func(c *Config) *time.Duration { return &c.SocksTimeout }),
}

var directoryOptions = []Option{
	kept(custom(Option{
		Name: "DirAuthority", Default: "the public network's nine", List: true, Class: Restart, RemoteDenied: deniedTrust,
		Effect:  "Needs a restart: all that the node knows of the network was checked against these.",
		Range:   "[nickname] orport=PORT v3ident=HEX [ipv6=[ADDR]:PORT] [weight=NUM] IPV4:DIRPORT FINGERPRINT",
		Doc:     "A directory authority to believe. Any such line replaces all of the compiled-in ones and the compiled-in fallback directories: for private networks only.",
		Differs: "orport= and v3ident= are required: chive speaks to authorities through their ORPort only. Bridge authorities and upload=, download= and vote= are refused.",
	}, "authority", (*builder).dirAuthority, showAuthorities), func(dst, running *Config) {
		dst.DirAuthorities, dst.PublicNetwork = running.DirAuthorities, running.PublicNetwork
	}),
	kept(custom(Option{
		Name: "FallbackDir", Default: "the public network's list", List: true, Class: Restart, RemoteDenied: deniedTrust,
		Effect: "Needs a restart: they are asked when a node starts without a directory.",
		Range:  "ADDR[:DIRPORT] orport=PORT id=HEX [ipv6=[ADDR]:PORT] [weight=NUM]",
		Doc:    "A relay to ask for the first directory documents. Any such line replaces the compiled-in list.",
	}, "relay", (*builder).fallbackDir, showFallbacks), func(dst, running *Config) {
		dst.FallbackDirs, dst.DefaultFallbacks = running.FallbackDirs, running.DefaultFallbacks
	}),
	flag(Option{
		Name: "UseDefaultFallbackDirs", Default: "1", Class: Restart, RemoteDenied: deniedTrust,
		Effect: "Needs a restart: they are asked when a node starts without a directory.",
		Doc:    "Ask the compiled-in fallback directories when neither DirAuthority nor FallbackDir is given.",
	}, func(c *Config) *bool { return &c.UseDefaultFallbackDirs }),
	flag(Option{
		Name: "TestingTorNetwork", Default: "0", Class: Restart, RemoteDenied: deniedTrust,
		Effect:  "Needs a restart: it is another network.",
		Doc:     "This is a private test network: changes the defaults marked so in this list. Needs DirAuthority lines.",
		Differs: "Changes defaults of options that chive has; and a hosted service looks at the effort to suggest every 5 s, and publishes it as often.",
	}, func(c *Config) *bool { return &c.TestingTorNetwork }),
}

var pathOptions = []Option{
	flag(Option{
		Name: "EnforceDistinctSubnets", Default: "1", TestingDefault: "0", Class: Rebuild, RemoteDenied: deniedPrivacy,
		Effect: "Circuits built by the old rule take no new streams and end with their last; new ones are built by the new rule.",
		Doc:    "Never put two relays of one IPv4 /16 or IPv6 /32 on the same path.",
	}, func(c *Config) *bool { return &c.EnforceDistinctSubnets }),
	custom(Option{
		Name: "LongLivedPorts", Default: "21,22,706,1863,5050,5190,5222,5223,6523,6667,6697,8300", Class: Rebuild, RemoteDenied: deniedPaths,
		Effect: "Circuits built before take no new streams and end with their last.",
		Range:  "ports from 1 to 65535, separated by commas",
		Doc:    "Target ports whose connections tend to last: their circuits use relays with the Stable flag.",
	}, "ports", (*builder).longLivedPorts, showPorts),
	custom(Option{
		Name: "OutboundBindAddress", Default: "", List: true, Class: Rebuild, RemoteDenied: deniedPrivacy,
		Effect: "New connections leave from the new address; the old ones take no new circuits and end with their last.",
		Range:  "at most one IPv4 and one IPv6 address",
		Doc:    "Source address of every connection to a relay. Default: the system chooses.",
	}, "address", (*builder).outboundBind, showOutboundBind),
}

var circuitOptions = []Option{
	interval(Option{
		Name: "MaxCircuitDirtiness", Default: "10 minutes", Class: Hot,
		Effect:  "At once: circuits older than the new value take no new streams and end with their last.",
		Doc:     "New streams may use a circuit this long after its first stream.",
		Differs: "A value out of range is an error; C tor changes it.",
	}, time.Second, 10*time.Second, month, func(c *Config) *time.Duration { return &c.MaxCircuitDirtiness }),
	interval(Option{
		Name: "NewCircuitPeriod", Default: "30 seconds", Class: Hot, Effect: "At once: the period under way becomes that long.",
		Doc:     "How often the number of circuits that are kept ready follows the demand: it is what was used in the last period or the one under way, but no less than CircuitPoolMinSize and no more than CircuitPoolMaxSize. Two for each port used lately are kept in any case; see PredictedPortsRelevanceTime.",
		Differs: "C tor considers building circuits this often; its number follows other rules.",
	}, time.Second, time.Second, day, func(c *Config) *time.Duration { return &c.NewCircuitPeriod }),
	interval(Option{
		Name: "PredictedPortsRelevanceTime", Default: "1 hour", Own: true, Class: Hot, Effect: "At once: what is missing is built.",
		Doc:     "Keep two unused circuits ready for each port that a stream was asked for in this time, and for 443 and 80 after the start; one circuit may serve many ports, and CircuitPoolMaxSize bounds them all. 0 predicts no port.",
		Differs: "C tor dropped this option in 0.3.1 and predicts ports for about CircuitsAvailableTimeout; at its start it predicts port 80 only.",
	}, time.Second, 0, time.Hour, func(c *Config) *time.Duration { return &c.PredictedPortsRelevanceTime }),
	number(Option{
		Name: "CircuitPoolMinSize", Default: "2", Own: true, Class: Hot, Effect: "At once: what is missing is built.",
		Doc: "Keep at least this many unused circuits ready, so that streams need not wait for one.",
	}, "circuits", 0, 256, func(c *Config) *int { return &c.CircuitPoolMinSize }),
	number(Option{
		Name: "CircuitPoolMaxSize", Default: "32", Own: true, Class: Hot, Effect: "At once: unused circuits beyond it are closed, the oldest first.",
		Doc: "Keep at most this many unused circuits ready, and more than 10 only while so many are used in a NewCircuitPeriod or CircuitPoolMinSize asks for it. No less than CircuitPoolMinSize. As many more may be kept for onion services, while such are visited or hosted.",
	}, "circuits", 0, 256, func(c *Config) *int { return &c.CircuitPoolMaxSize }),
	flag(Option{
		Name: "EnableCircuitPrebuilding", Default: "1", Own: true, Class: Hot, Effect: "At once; unused circuits that are there are still used.",
		Doc: "Build circuits before they are asked for. Off, each is built when a stream or an onion service needs it, and that waits; only the first one, which shows that the network works, is still built at the start.",
	}, func(c *Config) *bool { return &c.EnableCircuitPrebuilding }),
}

var connectionOptions = []Option{
	flag(Option{
		Name: "EnableConnectionPooling", Default: "1", Own: true, Class: Hot, RemoteDenied: deniedPrivacy, Effect: "From the next circuit on. Switched off, connections that exist take no new circuits.",
		Doc: "Circuits through one relay share a connection to it, as every Tor client's do. Off, each circuit has a connection of its own, which ends with it: for measuring only, as it makes this node stand out.",
	}, func(c *Config) *bool { return &c.EnableConnectionPooling }),
	number(Option{
		Name: "ConnectionPoolMaxIdle", Default: "5", Own: true, Class: Hot, Effect: "At once: connections beyond it are closed, those idle longest first.",
		Doc: "Keep at most this many connections without circuits, and each for 3 to 4.5 minutes, drawn anew (with ReducedConnectionPadding half of that).",
	}, "connections", 0, 1000, func(c *Config) *int { return &c.ConnectionPoolMaxIdle }),
	interval(Option{
		Name: "ConnectionPoolMaxLife", Default: "7 days", Own: true, Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: connections older than the new value take no new circuits and end with their last.",
		Doc: "A connection older than this takes no new circuits. 0 is no limit. The default is C tor's constant: a client that dials its guard more often is easier to tell from others.",
	}, time.Second, 0, 365*day, func(c *Config) *time.Duration { return &c.ConnectionPoolMaxLife }),
	auto(Option{
		Name: "ConnectionPadding", Default: "auto", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: relays are told, over open connections.",
		Doc:     "Send a cell that means nothing over a connection that was quiet for some seconds, and have the relay do so: routers then keep no record of when it was used. About 0.2 kB/s. auto does so with relays that take part, 1 towards every relay; 0 tells them not to. How long is drawn anew each time, between bounds that the network sets.",
		Differs: "C tor does not tell relays of a change over connections that are open.",
	}, func(c *Config) *string { return &c.ConnectionPadding }),
	flag(Option{
		Name: "ReducedConnectionPadding", Default: "0", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: relays are told, over open connections.",
		Doc:     "Pad less often, have relays not pad at all, and keep connections without circuits for half as long: to save power and data.",
		Differs: "C tor halves CircuitsAvailableTimeout too, if that is not set.",
	}, func(c *Config) *bool { return &c.ReducedConnectionPadding }),
	auto(Option{
		Name: "ConfluxEnabled", Default: "auto", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: with 0, sets take no new streams and those without any end.",
		Doc: "Carry streams over two circuits to one exit, through two guards, so that they are faster (conflux, proposal 329). Such sets are kept ready beside single circuits, which carry what no set can. auto does so if the network's consensus says so, 1 in any case, 0 never: a client without is easier to tell from others.",
	}, func(c *Config) *string { return &c.ConfluxEnabled }),
	custom(Option{
		Name: "ConfluxClientUX", Default: "throughput", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: sets that no stream has used are built anew.",
		Range: "throughput, latency, throughput_lowmem or latency_lowmem",
		Doc:   "What exits are asked to choose a circuit of a set by: throughput uses all that have room, the others the fastest one only.",
	}, "throughput|latency|throughput_lowmem|latency_lowmem", func(b *builder, l Line) {
		switch l.Value {
		case "throughput", "latency", "throughput_lowmem", "latency_lowmem":
			b.cfg.ConfluxClientUX = l.Value
		default:
			b.fail(l, ErrValue, "%q is not throughput, latency, throughput_lowmem or latency_lowmem", clip(l.Value))
		}
	}, func(c *Config) []string { return set(c.ConfluxClientUX) }),
}

var logOptions = []Option{
	flag(Option{
		Name: "SafeLogging", Default: "1", Class: Hot, Effect: "From the next line on.", RemoteDenied: deniedPrivacy,
		Doc:     "Replace targets, client addresses and addresses of onion services in log lines by [scrubbed], also where they stand in a file's name.",
		Differs: "`SafeLogging relay` is refused.",
	}, func(c *Config) *bool { return &c.SafeLogging }),
	custom(Option{
		Name: "Log", Default: "notice stderr", List: true, Class: Hot, RemoteDenied: deniedFiles,
		Effect:  "From the next line on. If a file cannot be opened, nothing changes. Every reload opens log files again, so that they can be rotated.",
		Range:   "SEVERITY[-SEVERITY] stderr|stdout|file PATH; severities: debug info notice warn err",
		Doc:     "Write log lines of a severity (and above, or up to the second one) to a destination.",
		Differs: "The default is stderr (C tor: stdout). Domains ([net]notice …) and syslog are refused.",
	}, "log", (*builder).log, showLogs),
	custom(Option{
		Name: "LogLevel", Default: "", Own: true, Class: Hot, Effect: "From the next line on.",
		Range: "debug, info, notice, warn or err",
		Doc:   "The lowest severity that is logged, whatever the Log lines begin with. Unset, each Log line has its own.",
	}, "severity", (*builder).logLevel, func(c *Config) []string { return set(c.LogLevel) }),
	interval(Option{
		Name: "LogTimeGranularity", Default: "1 second", Class: Hot, Effect: "From the next line on.", RemoteDenied: deniedPrivacy,
		Doc: "Round the time stamps of log lines down to this. A number without a unit is milliseconds.",
	}, time.Millisecond, time.Millisecond, day, func(c *Config) *time.Duration { return &c.LogTimeGranularity }),
	flag(Option{
		Name: "TruncateLogFile", Default: "0", Class: Hot, Effect: "For log files that are opened from then on.", RemoteDenied: deniedFiles,
		Doc: "Empty log files when they are opened for the first time instead of appending.",
	}, func(c *Config) *bool { return &c.TruncateLogFile }),
}

const subjects = "Needs a restart: it is part of every subject that others subscribe to."

var fleetOptions = []Option{
	token(Option{
		Name: "Fleet", Default: "local", Own: true, Class: Restart, Effect: subjects, RemoteDenied: deniedName,
		Doc: "The fleet's name in the subjects of events: chive.v1.FLEET.NODE.evt.…",
	}, func(c *Config) *string { return &c.Fleet }),
	token(Option{
		Name: "NodeName", Default: "node", Own: true, Class: Restart, Effect: subjects, RemoteDenied: deniedName,
		Doc: "This node's name in the subjects of events. It is not the machine's host name unless you write that here.",
	}, func(c *Config) *string { return &c.NodeName }),
	place(Option{
		Name: "NatsListen", Default: "0", Own: true, Class: Restart, RemoteDenied: deniedListener,
		Effect: "Needs a restart: the embedded server opens its listener when it starts.",
		Doc:    "Open a TCP port for ordinary NATS clients. They need a credential file. Beyond loopback it needs NatsTLSCert and NatsTLSKey.",
	}, func(c *Config) *string { return &c.NatsListen }),
	path(Option{
		Name: "NatsCredentialFile", Default: "", Own: true, Class: Restart, RemoteDenied: deniedFiles,
		Effect: "Needs a restart: the embedded server reads it when it starts.",
		Doc:    "Where the node writes the credentials for NatsListen, with mode 0600: here that of observers, beside it, with .operate and .configure added to the name, those of operators and of who publishes configuration. A file that is there is kept; one with a public key only (U…) serves as well. Default: nats.creds in the DataDirectory.",
	}, "file", func(c *Config) *string { return &c.NatsCredentialFile }),
}
