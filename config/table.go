package config

import "time"

const (
	day   = 24 * time.Hour
	month = 30 * day
)

// table is every option that chive honours.
var table = []Option{
	path(Option{
		Name: "DataDirectory", Default: defaultDataDirectory,
		Doc:     "What must survive a restart, the lock that keeps a second node out, and the socket through which `chive events` and `chive status` talk to the node. Made with mode 0700.",
		Differs: "C tor's default is ~/.tor. chive never reads C tor's files; one folder serves one program.",
	}, "folder", func(c *Config) *string { return &c.DataDirectory }),
	path(Option{
		Name: "CacheDirectory", Default: "",
		Doc: "Where directory documents are cached. Default: the DataDirectory.",
	}, "folder", func(c *Config) *string { return &c.CacheDirectory }),
	custom(Option{
		Name: "SocksPort", Default: "127.0.0.1:9050", List: true,
		Range: "[address:]port, auto, unix:/path or 0, then flags",
		Doc: "Where SOCKS5 clients connect. Streams of different SocksPorts never share a circuit unless their SessionGroup is equal. 0 opens none. " +
			"Flags, each with a No- form: IsolateClientAddr and IsolateSOCKSAuth (both on by default), IsolateClientProtocol, IsolateDestAddr, IsolateDestPort, SessionGroup=N, IPv4Traffic and IPv6Traffic (both on by default), PreferIPv6, ExtendedErrors; for unix sockets GroupWritable, WorldWritable, RelaxDirModeCheck.",
		Differs: "An address beyond loopback needs AllowNonLocalSocks 1. A host name other than localhost is refused. An unknown flag is an error. SOCKS4 clients are refused.",
	}, "listener", (*builder).socksPort),
	flag(Option{
		Name: "AllowNonLocalSocks", Default: "0", Own: true,
		Doc: "Permit a SocksPort on an address that other machines can reach. SOCKS is neither encrypted nor, as used here, authenticated: whoever reaches the port can use it and see its traffic. chive warns at each start.",
	}, func(c *Config) *bool { return &c.AllowNonLocalSocks }),
	custom(Option{
		Name: "DirAuthority", Default: "the public network's nine", List: true,
		Range:   "[nickname] orport=PORT v3ident=HEX [ipv6=[ADDR]:PORT] [weight=NUM] IPV4:DIRPORT FINGERPRINT",
		Doc:     "A directory authority to believe. Any such line replaces all of the compiled-in ones and the compiled-in fallback directories: for private networks only.",
		Differs: "orport= and v3ident= are required: chive speaks to authorities through their ORPort only. Bridge authorities and upload=, download= and vote= are refused.",
	}, "authority", (*builder).dirAuthority),
	custom(Option{
		Name: "FallbackDir", Default: "the public network's list", List: true,
		Range: "ADDR[:DIRPORT] orport=PORT id=HEX [ipv6=[ADDR]:PORT] [weight=NUM]",
		Doc:   "A relay to ask for the first directory documents. Any such line replaces the compiled-in list.",
	}, "relay", (*builder).fallbackDir),
	custom(Option{
		Name: "UseDefaultFallbackDirs", Default: "1",
		Doc: "Ask the compiled-in fallback directories when neither DirAuthority nor FallbackDir is given.",
	}, "0|1", (*builder).useDefaultFallbackDirs),
	flag(Option{
		Name: "TestingTorNetwork", Default: "0",
		Doc:     "This is a private test network: changes the defaults marked so in this list. Needs DirAuthority lines.",
		Differs: "Only changes defaults of options that chive has.",
	}, func(c *Config) *bool { return &c.TestingTorNetwork }),
	flag(Option{
		Name: "EnforceDistinctSubnets", Default: "1", TestingDefault: "0",
		Doc: "Never put two relays of one IPv4 /16 or IPv6 /32 on the same path.",
	}, func(c *Config) *bool { return &c.EnforceDistinctSubnets }),
	flag(Option{
		Name: "ClientRejectInternalAddresses", Default: "1", TestingDefault: "0",
		Doc: "Refuse requests for addresses that only exist on a local network (127.0.0.1, 192.168.0.1, …): no exit can reach them and asking leaks them.",
	}, func(c *Config) *bool { return &c.ClientRejectInternalAddresses }),
	custom(Option{
		Name: "LongLivedPorts", Default: "21,22,706,1863,5050,5190,5222,5223,6523,6667,6697,8300",
		Range: "ports from 1 to 65535, separated by commas",
		Doc:   "Target ports whose connections tend to last: their circuits use relays with the Stable flag.",
	}, "ports", (*builder).longLivedPorts),
	custom(Option{
		Name: "OutboundBindAddress", Default: "", List: true,
		Range: "at most one IPv4 and one IPv6 address",
		Doc:   "Source address of every connection to a relay. Default: the system chooses.",
	}, "address", (*builder).outboundBind),
	interval(Option{
		Name: "MaxCircuitDirtiness", Default: "10 minutes",
		Doc:     "New streams may use a circuit this long after its first stream.",
		Differs: "A value out of range is an error; C tor changes it.",
	}, time.Second, 10*time.Second, month, func(c *Config) *time.Duration { return &c.MaxCircuitDirtiness }),
	interval(Option{
		Name: "CircuitBuildTimeout", Default: "60 seconds",
		Doc:     "Give up on a circuit that isn't open after this long.",
		Differs: "The value is used as it is: chive does not learn a timeout yet.",
	}, time.Second, time.Second, time.Hour, func(c *Config) *time.Duration { return &c.CircuitBuildTimeout }),
	interval(Option{
		Name: "SocksTimeout", Default: "2 minutes",
		Doc: "Answer a SOCKS request with an error after trying this long.",
	}, time.Second, time.Second, day, func(c *Config) *time.Duration { return &c.SocksTimeout }),
	interval(Option{
		Name: "ShutdownWaitLength", Default: "30 seconds",
		Doc:     "After the first SIGINT or SIGTERM no new stream is taken and open ones may finish for this long; the node stops as soon as none is left. A second signal stops it at once.",
		Differs: "Applies to a client too; a C tor client exits at once.",
	}, time.Second, 0, day, func(c *Config) *time.Duration { return &c.ShutdownWaitLength }),
	flag(Option{
		Name: "SafeLogging", Default: "1",
		Doc:     "Replace targets and client addresses in log lines by [scrubbed].",
		Differs: "`SafeLogging relay` is refused.",
	}, func(c *Config) *bool { return &c.SafeLogging }),
	custom(Option{
		Name: "Log", Default: "notice stderr", List: true,
		Range:   "SEVERITY[-SEVERITY] stderr|stdout|file PATH; severities: debug info notice warn err",
		Doc:     "Write log lines of a severity (and above, or up to the second one) to a destination.",
		Differs: "The default is stderr (C tor: stdout). Domains ([net]notice …) and syslog are refused.",
	}, "log", (*builder).log),
	interval(Option{
		Name: "LogTimeGranularity", Default: "1 second",
		Doc: "Round the time stamps of log lines down to this. A number without a unit is milliseconds.",
	}, time.Millisecond, time.Millisecond, day, func(c *Config) *time.Duration { return &c.LogTimeGranularity }),
	flag(Option{
		Name: "TruncateLogFile", Default: "0",
		Doc: "Empty log files when they are opened instead of appending.",
	}, func(c *Config) *bool { return &c.TruncateLogFile }),
	path(Option{
		Name: "PidFile", Default: "",
		Doc: "Write the process id here while running.",
	}, "file", func(c *Config) *string { return &c.PidFile }),
	token(Option{
		Name: "Fleet", Default: "local", Own: true,
		Doc: "The fleet's name in the subjects of events: chive.v1.FLEET.NODE.evt.…",
	}, func(c *Config) *string { return &c.Fleet }),
	token(Option{
		Name: "NodeName", Default: "node", Own: true,
		Doc: "This node's name in the subjects of events. It is not the machine's host name unless you write that here.",
	}, func(c *Config) *string { return &c.NodeName }),
	custom(Option{
		Name: "NatsListen", Default: "0", Own: true,
		Range: "[address:]port on loopback, or 0 for none",
		Doc:   "Open a TCP port for ordinary NATS clients on this machine. They need the credential file.",
	}, "listener", (*builder).natsListen),
	path(Option{
		Name: "NatsCredentialFile", Default: "", Own: true,
		Doc: "Where the node writes the credential for NatsListen, with mode 0600. Default: nats.creds in the DataDirectory.",
	}, "file", func(c *Config) *string { return &c.NatsCredentialFile }),
}
