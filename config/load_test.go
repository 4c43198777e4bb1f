package config

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// oneFile is a disk that holds one torrc.
type oneFile string

func (o oneFile) Open(string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(o))), nil
}
func (o oneFile) Stat(string) (fs.FileInfo, error)      { return nil, fs.ErrNotExist }
func (o oneFile) ReadDir(string) ([]fs.DirEntry, error) { return nil, fs.ErrNotExist }
func (o oneFile) Glob(string) ([]string, error)         { return nil, nil }
func (o oneFile) Stdin() io.Reader                      { return strings.NewReader(string(o)) }

func load(t *testing.T, torrc string, overrides ...Override) *Config {
	t.Helper()
	cfg, err := loadFrom(oneFile(torrc), "torrc", overrides)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	t.Setenv("XDG_DATA_HOME", "")
	cfg, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.DirAuthorities) != 9 || len(cfg.FallbackDirs) < 200 || !cfg.PublicNetwork {
		t.Errorf("%d authorities, %d fallbacks, public %v", len(cfg.DirAuthorities), len(cfg.FallbackDirs), cfg.PublicNetwork)
	}
	cfg.DirAuthorities, cfg.FallbackDirs = nil, nil
	want := &Config{
		DataDirectory: "/home/u/.local/share/chive", CacheDirectory: "/home/u/.local/share/chive",
		SocksPorts: []SocksPort{{
			Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:9050"), IsolateClientAddr: true,
			IsolateSOCKSAuth: true, SessionGroup: -1, IPv4Traffic: true, IPv6Traffic: true, DNSRequest: true, OnionTraffic: true,
		}},
		AutomapHostsSuffixes: []string{".onion"}, VirtualAddrNetworkIPv4: netip.MustParsePrefix("127.192.0.0/10"), VirtualAddrNetworkIPv6: netip.MustParsePrefix("fe80::/10"),
		IsolateSOCKSAuth: true, EnableCircuitPrebuilding: true, CircuitPoolMinSize: 2, CircuitPoolMaxSize: 32,
		NewCircuitPeriod: 30 * time.Second, PredictedPortsRelevanceTime: time.Hour, EnableConnectionPooling: true, ConnectionPoolMaxIdle: 5,
		ConnectionPoolMaxLife: 7 * 24 * time.Hour, EnableBufferPooling: true, ConnectionPadding: "auto", VanguardsLiteEnabled: "auto", VanguardsFull: "auto", CircuitPadding: true, ConfluxEnabled: "auto", ConfluxClientUX: "throughput", UseDefaultFallbackDirs: true, DefaultFallbacks: true,
		PublicNetwork: true, EnforceDistinctSubnets: true, ClientRejectInternalAddresses: true, ClientDNSRejectInternalAddresses: true,
		LongLivedPorts:      []uint16{21, 22, 706, 1863, 5050, 5190, 5222, 5223, 6523, 6667, 6697, 8300},
		Reach:               Reach{ClientUseIPv4: true, ClientUseIPv6: true, ClientPreferIPv6ORPort: "auto"},
		Nodes:               Nodes{GeoIPFile: "/usr/share/tor/geoip", GeoIPv6File: "/usr/share/tor/geoip6", GeoIPExcludeUnknown: "auto"},
		PathBias:            PathBias{-1, -1, -1, -1, -1, -1, -1, -1, -1},
		MaxCircuitDirtiness: 10 * time.Minute, LearnCircuitBuildTimeout: true, CircuitsAvailableTimeout: 30 * time.Minute, SocksTimeout: 2 * time.Minute,
		ShutdownWaitLength: 30 * time.Second, OnionVerifyPeriod: 40 * time.Second, SafeLogging: true,
		RelayBreakerFailures: 5, RelayBreakerOpenTime: 30 * time.Second, BandwidthRate: 1 << 30, BandwidthBurst: 1 << 30, MaxClientCircuitsPending: 32, CircuitBurst: 50,
		SocksRequestBurst: 200, DirectoryFetchRate: 120, DirectoryFetchBurst: 120, MaxMemInQueues: 512 << 20,
		Logs:               []Log{{Severity: Notice, Max: Err, Target: TargetStderr}},
		LogTimeGranularity: time.Second, EventHistory: 24 * time.Hour, Fleet: "local", NodeName: "node",
		NatsCredentialFile: "/home/u/.local/share/chive/nats.creds",
		Nats: Nats{
			NatsNodeCredentialFile: "/home/u/.local/share/chive/nats-node.nk", FleetReplicas: 1,
			NatsClusterCredentialFile: "/home/u/.local/share/chive/nats-cluster.secret",
		},
	}
	if diff := cmp.Diff(want, cfg, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

const privateTorrc = `
# as internal/testnet and the lab write it for a client of C tor
TestingTorNetwork 1
EnforceDistinctSubnets 1
outboundbindaddress 127.0.0.1
DataDirectory /tmp/data # comment
SocksPort 19050 IsolateDestAddr
SocksPort unix:"/tmp/a b/socks" NoIsolateSOCKSAuth SessionGroup=7 worldwritable
+SocksPort 1
`

func TestPrivateNetwork(t *testing.T) {
	authority := "DirAuthority a0 orport=5001 no-v2 v3ident=" + strings.Repeat("AB", 20) + " 127.1.0.1:7001 " + strings.Repeat("CDEF ", 10) + "\n"
	cfg := load(t, strings.Replace(privateTorrc, "+SocksPort 1\n", authority, 1))
	if cfg.PublicNetwork || len(cfg.FallbackDirs) != 0 || len(cfg.DirAuthorities) != 1 {
		t.Fatalf("public %v, %d fallbacks, %d authorities", cfg.PublicNetwork, len(cfg.FallbackDirs), len(cfg.DirAuthorities))
	}
	a := cfg.DirAuthorities[0]
	if a.Nickname != "a0" || a.ORPort.String() != "127.1.0.1:5001" || a.DirPort.String() != "127.1.0.1:7001" ||
		a.V3Ident.String() != strings.Repeat("AB", 20) || a.Fingerprint.String() != strings.Repeat("CDEF", 10) || a.Weight != 1 {
		t.Errorf("authority %+v", a)
	}
	if cfg.ClientRejectInternalAddresses || cfg.ClientDNSRejectInternalAddresses || !cfg.EnforceDistinctSubnets || cfg.OutboundBindAddress4.String() != "127.0.0.1" {
		t.Errorf("defaults of a test network: %+v", cfg)
	}
	if p := cfg.SocksPorts[0]; !p.IsolateDestAddr || p.SessionGroup >= 0 || p.String() != "127.0.0.1:19050" {
		t.Errorf("first listener %+v", p)
	}
	if p := cfg.SocksPorts[1]; p.String() != "unix:/tmp/a b/socks" || p.IsolateSOCKSAuth || p.IsolateClientAddr || p.SessionGroup != 7 || !p.WorldWritable {
		t.Errorf("second listener %+v", p)
	}
}

func TestOverrides(t *testing.T) {
	const torrc = "SocksPort 1\nSocksPort 2\nMaxCircuitDirtiness 1 hour\nFleet a\n"
	ports := func(cfg *Config) (out []string) {
		for _, p := range cfg.SocksPorts {
			out = append(out, p.Address.String())
		}
		return out
	}
	replaced := load(t, torrc, Override{"socksport", "3"}, Override{"SocksPort", "4"}, Override{"Fleet", "b"})
	if diff := cmp.Diff([]string{"127.0.0.1:3", "127.0.0.1:4"}, ports(replaced)); diff != "" {
		t.Errorf("the command line replaces all of the file: %s", diff)
	}
	if replaced.Fleet != "b" || replaced.MaxCircuitDirtiness != time.Hour {
		t.Errorf("fleet %s, dirtiness %v", replaced.Fleet, replaced.MaxCircuitDirtiness)
	}
	added := load(t, torrc, Override{"+SocksPort", "3"})
	if diff := cmp.Diff([]string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, ports(added)); diff != "" {
		t.Errorf("+ appends: %s", diff)
	}
	if off := load(t, torrc, Override{"SocksPort", "0"}); len(off.SocksPorts) != 0 || len(off.Warnings) != 1 {
		t.Errorf("SocksPort 0: %v %v", off.SocksPorts, off.Warnings)
	}
}

func TestMistakes(t *testing.T) {
	id := strings.Repeat("AB", 20)
	tests := []struct {
		torrc, want string
		kind        error
	}{
		{"SocksPrt 1", "torrc:1: SocksPrt: unknown option (did you mean SocksPort?)", ErrUnknown},
		{"SocskPort 1", "torrc:1: SocskPort: unknown option (did you mean SocksPort?)", ErrUnknown},
		{"Frobnicate 1", "torrc:1: Frobnicate: unknown option", ErrUnknown},
		{"Bridge x", "torrc:1: Bridge: not supported yet", ErrUnsupported},
		{"UseEntryGuards 0", "torrc:1: UseEntryGuards: refused: without guards every circuit enters at another relay, so that soon one that watches is among them; " +
			"identities are kept apart by their circuits, and with IdentityDistinctExits by their exits (accepted: 1)", ErrUnsupported},
		{"IdentityMaxAge 9 seconds", "torrc:1: IdentityMaxAge: 9 seconds is less than 10 seconds, and not 0", ErrValue},
		{"IdentityMaxStreams -1", `torrc:1: IdentityMaxStreams: "-1" is not a whole number from 0 to 1000000`, ErrValue},
		{"ORPort 9001", "torrc:1: ORPort: an option of relays; chive is a client (accepted: 0)", ErrUnsupported},
		{"TunnelDirConns 1", "torrc:1: TunnelDirConns: obsolete: C tor ignores it; remove the line", ErrUnsupported},
		{"/SocksPort", "torrc:1: /SocksPort: the prefix / is for the command line: lines of a file add up as they are", ErrUnsupported},
		{"ConnectionPadding 2", `torrc:1: ConnectionPadding: "2" is not auto, 0 or 1`, ErrValue},
		{"SafeLogging true", `torrc:1: SafeLogging: "true" is not a switch: write 1 for yes or 0 for no`, ErrValue},
		{"SafeLogging", `torrc:1: SafeLogging: "" is not a switch: write 1 for yes or 0 for no`, ErrValue},
		{"\n\nSocksPort 99999", `torrc:3: SocksPort: "99999" is not a port: 1 to 65535`, ErrValue},
		{"SocksPort", "torrc:1: SocksPort: needs a port, address:port, auto, unix:/path or 0", ErrValue},
		{"SocksPort example.com:1", `torrc:1: SocksPort: "example.com" is not an IP address, as in 127.0.0.1 or [::1]`, ErrValue},
		{"SocksPort ::1:1", `torrc:1: SocksPort: "::1" is not an IP address, as in 127.0.0.1 or [::1]`, ErrValue},
		{"SocksPort 1 IsolateDestAdr", "torrc:1: SocksPort: unknown flag IsolateDestAdr (did you mean IsolateDestAddr?)", ErrUnknown},
		{"SocksPort 1 CacheDNS", "torrc:1: SocksPort: the flag CacheDNS is not supported yet", ErrUnsupported},
		{"SocksPort 1 NoIsolateSOCKSAuth KeepAliveIsolateSOCKSAuth", "torrc:1: SocksPort: 127.0.0.1:1: KeepAliveIsolateSOCKSAuth needs IsolateSOCKSAuth: circuits that streams of others share are not kept for one", ErrConflict},
		{"IsolateSOCKSAuth 0\nSocksPort 1 KeepAliveIsolateSOCKSAuth", "torrc:2: SocksPort: 127.0.0.1:1: KeepAliveIsolateSOCKSAuth needs IsolateSOCKSAuth: circuits that streams of others share are not kept for one", ErrConflict},
		{"DNSPort 1 KeepAliveIsolateSOCKSAuth", "torrc:1: DNSPort: KeepAliveIsolateSOCKSAuth is for listeners whose clients authenticate; those of a DNSPort cannot", ErrConflict},
		{"SocksPort 1 WorldWritable", "torrc:1: SocksPort: GroupWritable, WorldWritable and RelaxDirModeCheck are for unix sockets", ErrConflict},
		{"SocksPort 1 NoIPv4Traffic NoIPv6Traffic NoOnionTraffic", "torrc:1: SocksPort: NoIPv4Traffic, NoIPv6Traffic and NoOnionTraffic together leave nothing to connect to", ErrConflict},
		{"SocksPort 1\nSocksPort 127.0.0.1:1", "torrc:2: SocksPort: 127.0.0.1:1 is given twice", ErrConflict},
		{"SocksPort 0\nSocksPort 1", "torrc:1: SocksPort: SocksPort 0 beside another SocksPort: drop one of them", ErrConflict},
		{"SocksPort 0.0.0.0:1", "torrc:1: SocksPort: 0.0.0.0:1 is reachable from other machines, and nothing of it is encrypted or needs a password; set AllowNonLocalSocks 1 if that is meant", ErrConflict},
		{"SocksPort unix:/" + strings.Repeat("a", 107), "torrc:1: SocksPort: the socket path " + strings.Repeat("a", 60) + "… is longer than 107 bytes", ErrValue},
		{"SocksPort 1 SessionGroup=x", `torrc:1: SocksPort: "SessionGroup=x" is not a session group: a number from 0`, ErrValue},
		{"TestingTorNetwork 1", "torrc:1: TestingTorNetwork: a test network needs DirAuthority lines of its own", ErrConflict},
		{"DirAuthority 127.0.0.1:1 " + id, "torrc:1: DirAuthority: v3ident= is missing: without it no consensus can be checked", ErrValue},
		{"DirAuthority v3ident=" + id + " 127.0.0.1:1 " + id, "torrc:1: DirAuthority: orport= is missing: chive speaks to authorities through their ORPort only", ErrValue},
		{"DirAuthority orport=1 v3ident=xx 127.0.0.1:1 " + id, `torrc:1: DirAuthority: v3ident: "xx" is not a fingerprint of 40 hex digits`, ErrValue},
		{"DirAuthority x bridge orport=1 127.0.0.1:1 " + id, "torrc:1: DirAuthority: bridge authorities are not supported yet", ErrValue},
		{"DirAuthority orport=1 v3ident=" + id, "torrc:1: DirAuthority: needs an address with DirPort and a fingerprint after the flags", ErrValue},
		{"DirAuthority orport=1 v3ident=" + id + " 127.0.0.1:1 ABCD", `torrc:1: DirAuthority: "ABCD" is not a fingerprint of 40 hex digits`, ErrValue},
		{"DirAuthority orport=1 v3ident=" + id + " 127.0.0.1:1 " + strings.Repeat("0", 40), "torrc:1: DirAuthority: the fingerprint is all zero", ErrValue},
		{"FallbackDir 192.0.2.1 orport=1", "torrc:1: FallbackDir: id= is missing: a relay must prove who it is", ErrValue},
		{"FallbackDir 192.0.2.1 id=" + id, "torrc:1: FallbackDir: orport= is missing: chive speaks to relays through their ORPort only", ErrValue},
		{"FallbackDir 192.0.2.1 orport=1 id=" + id + " weight=-1", `torrc:1: FallbackDir: "-1" is not a weight: a number from 0`, ErrValue},
		{"MaxCircuitDirtiness 1 second", "torrc:1: MaxCircuitDirtiness: 1 second is out of range: 10 seconds to 30 days", ErrValue},
		{"MaxCircuitDirtiness 1 fortnight", `torrc:1: MaxCircuitDirtiness: unknown unit "fortnight": use msec, seconds, minutes, hours, days, weeks or months`, ErrValue},
		{"MaxCircuitDirtiness -1", `torrc:1: MaxCircuitDirtiness: "-1" is not a time: write a number and a unit, as in 10 minutes`, ErrValue},
		{"SocksTimeout " + strings.Repeat("9", 30) + " months", "torrc:1: SocksTimeout: " + strings.Repeat("9", 30) + " months is too long", ErrValue},
		{"Log loud stderr", "torrc:1: Log: unknown severity loud: use debug, info, notice, warn or err", ErrValue},
		{"Log notice syslog", "torrc:1: Log: logging to syslog is not supported yet: use stderr, stdout or file PATH", ErrUnsupported},
		{"Log [net]notice stderr", "torrc:1: Log: log domains in brackets are not supported yet", ErrUnsupported},
		{"Log err-debug stderr", "torrc:1: Log: the range err-debug is empty: write the lower severity first", ErrValue},
		{"Log notice file", "torrc:1: Log: file: needs a path", ErrValue},
		{"Log notice stderr x", `torrc:1: Log: text after the destination: "x"`, ErrValue},
		{"NatsListen 0.0.0.0:4222", "torrc:1: NatsListen: 0.0.0.0:4222 can be reached from other machines: set NatsTLSCert and NatsTLSKey, or use a loopback address", ErrConflict},
		{"Fleet a.b", `torrc:1: Fleet: "a.b" is not a name of 1 to 63 of a-z, 0-9 and inner dashes`, ErrValue},
		{"OutboundBindAddress 127.0.0.1\nOutboundBindAddress 127.0.0.2", "torrc:2: OutboundBindAddress: a second IPv4 address", ErrConflict},
		{"LongLivedPorts 22,x", `torrc:1: LongLivedPorts: "x" is not a port: 1 to 65535`, ErrValue},
		{"A b\nSocksPort x\nC \"", "torrc:1: A: unknown option\ntorrc:2: SocksPort: \"x\" is not a listener: a port, address:port, auto or unix:/path\ntorrc:3: C: the closing quote is missing", ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.torrc[:min(len(tt.torrc), 40)], func(t *testing.T) {
			cfg, err := loadFrom(oneFile(tt.torrc), "torrc", nil)
			if cfg != nil || err == nil || err.Error() != tt.want {
				t.Fatalf("error\n%v\nwant\n%s", err, tt.want)
			}
			if !errors.Is(err, tt.kind) {
				t.Errorf("%v is not a %v", err, tt.kind)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ torrc, want string }{
		{"Fleet a\nFleet b", "torrc:2: Fleet: given 2 times; only this one counts"},
		{"AllowNonLocalSocks 1\nSocksPort 0.0.0.0:1", "torrc:2: SocksPort: 0.0.0.0:1 is reachable from other machines: whoever reaches it can use this node and see its traffic"},
		{"AllowNonLocalSocks 1", "torrc:1: AllowNonLocalSocks: has no effect: every listener is local"},
		{"NatsCredentialFile /x", "torrc:1: NatsCredentialFile: has no effect without NatsListen"},
	}
	for _, tt := range tests {
		cfg := load(t, tt.torrc)
		if len(cfg.Warnings) != 1 || cfg.Warnings[0].Error() != tt.want {
			t.Errorf("%q: %v, want %s", tt.torrc, cfg.Warnings, tt.want)
		}
	}
}

func TestAcceptsWhatChiveDoesAnyway(t *testing.T) {
	load(t, "ClientOnly 1\nAvoidDiskWrites 0\nUseEntryGuards 1\nControlPort 0\nORPort 0\n")
}

func TestCapsAndManyMistakes(t *testing.T) {
	_, err := loadFrom(oneFile(strings.Repeat("LongLivedPorts 1\nOutboundBindAddress x\n", maxPerOption+1)), "torrc", nil)
	var many Errors
	if !errors.As(err, &many) || len(many) != maxErrors+1 || !errors.Is(err, ErrLimit) {
		t.Fatalf("%d errors", len(many))
	}
	if last := many[maxErrors].Error(); !strings.HasPrefix(last, "… and ") {
		t.Errorf("last error %q", last)
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("d/2.conf", "Fleet two\n")
	write("d/1.conf", "Fleet one\nSocksPort 1\n")
	write("d/.hidden", "Nonsense\n")
	write("d/sub/3.conf", "Nonsense\n")
	write("torrc", "SocksPort 2\n%include "+dir+"/d\nSocksPort 3\n")
	cfg, err := Load(filepath.Join(dir, "torrc"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var ports []uint16
	for _, p := range cfg.SocksPorts {
		ports = append(ports, p.Address.Port())
	}
	if diff := cmp.Diff([]uint16{2, 1, 3}, ports); diff != "" || cfg.Fleet != "two" {
		t.Errorf("as if written in place, in lexical order: fleet %s %s", cfg.Fleet, diff)
	}

	write("glob", "%include "+dir+"/d/*.con?\n")
	if cfg, err = Load(filepath.Join(dir, "glob"), nil); err != nil || cfg.Fleet != "two" {
		t.Errorf("wildcards: %v", err)
	}
	write("none", "%include "+dir+"/d/*.none\n")
	if _, err = Load(filepath.Join(dir, "none"), nil); err != nil {
		t.Errorf("a pattern may match nothing: %v", err)
	}
	write("missing", "%include "+dir+"/gone\n")
	if _, err = Load(filepath.Join(dir, "missing"), nil); !errors.Is(err, ErrInclude) {
		t.Errorf("a missing file: %v", err)
	}
	write("loop", "%include "+dir+"/loop\n")
	if _, err = Load(filepath.Join(dir, "loop"), nil); !errors.Is(err, ErrLimit) {
		t.Errorf("a loop: %v", err)
	}
	write("bad", "%include "+dir+"/worse\n")
	write("worse", "\nNonsense 1\n")
	if _, err = Load(filepath.Join(dir, "bad"), nil); err == nil || !strings.Contains(err.Error(), dir+"/worse:2: Nonsense: unknown option") {
		t.Errorf("a mistake in an included file: %v", err)
	}
	if _, err = Load(dir, nil); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, err = Load(filepath.Join(dir, "gone"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestInterval(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
	}{
		{"30", 30 * time.Second},
		{"10 minutes", 10 * time.Minute},
		{"1hour", time.Hour},
		{"1.5 hours", 90 * time.Minute},
		{"100 msec", 100 * time.Millisecond},
		{"1 WEEK", 7 * day},
		{"2 months", 2 * 2629728 * time.Second},
		{"0", 0},
	}
	for _, tt := range tests {
		got, err := parseInterval(tt.in, time.Second)
		if err != nil || got != tt.want {
			t.Errorf("%q: %v %v, want %v", tt.in, got, err, tt.want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0", time.Second: "1 second", 90 * time.Second: "90 seconds", time.Hour: "1 hour", 30 * day: "30 days", time.Millisecond: "1 msec",
	} {
		if got := Interval(d); got != want {
			t.Errorf("Interval(%v) = %q, want %q", d, got, want)
		}
	}
}

// A truncated copy of these lists would still compile and would quietly make
// every new node lean on nine machines.
func TestPublicLists(t *testing.T) {
	cfg := load(t, "")
	if n := len(cfg.DirAuthorities); n != 9 {
		t.Errorf("%d authorities", n)
	}
	for _, a := range cfg.DirAuthorities {
		if a.Nickname == "" || a.ORPort.Addr().IsPrivate() || a.ORPort.Addr().IsLoopback() {
			t.Errorf("authority %+v", a)
		}
	}
	if n := len(cfg.FallbackDirs); n < 200 {
		t.Errorf("%d fallback directories", n)
	}
	six := 0
	for _, f := range cfg.FallbackDirs {
		if !f.IPv4.IsValid() || f.IPv4.Addr().IsPrivate() {
			t.Errorf("fallback %+v", f)
		}
		if f.IPv6.IsValid() {
			six++
		}
	}
	if six < 50 {
		t.Errorf("%d fallback directories with IPv6", six)
	}
	if off := load(t, "UseDefaultFallbackDirs 0"); len(off.FallbackDirs) != 0 || len(off.DirAuthorities) != 9 {
		t.Errorf("without: %d fallbacks, %d authorities", len(off.FallbackDirs), len(off.DirAuthorities))
	}
	own := load(t, "FallbackDir 192.0.2.1:80 orport=9001 id="+strings.Repeat("AB", 20)+" ipv6=[2001:db8::1]:9001 weight=2.5")
	if len(own.FallbackDirs) != 1 || len(own.DirAuthorities) != 9 {
		t.Fatalf("own fallback: %d fallbacks, %d authorities", len(own.FallbackDirs), len(own.DirAuthorities))
	}
	if f := own.FallbackDirs[0]; f.IPv4.String() != "192.0.2.1:9001" || f.IPv6.String() != "[2001:db8::1]:9001" || f.Weight != 2.5 {
		t.Errorf("own fallback %+v", f)
	}
}

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range Options() {
		name := strings.ToLower(o.Name)
		if seen[name] || findForeign(o.Name) != nil {
			t.Errorf("%s is in the tables twice", o.Name)
		}
		seen[name] = true
		if o.Doc == "" || o.Type == "" || o.apply == nil || o.show == nil || o.Effect == "" {
			t.Errorf("%s lacks its meaning, type, parser or effect", o.Name)
		}
		switch o.Class {
		case Hot, Rebuild:
		case Restart:
			if o.keep == nil || !strings.HasPrefix(o.Effect, "Needs a restart: ") {
				t.Errorf("%s does not say why it needs a restart", o.Name)
			}
		default:
			t.Errorf("%s has the class %q", o.Name, o.Class)
		}
		if (o.Type == "time" || o.Type == "number" || o.Type == "size") != (o.Unit != "") {
			t.Errorf("%s is a %s with the unit %q", o.Name, o.Type, o.Unit)
		}
	}
	for i := range foreign {
		switch f := &foreign[i]; f.class {
		case "later", "unsafe", "relay", "authority", "obsolete":
		default:
			t.Errorf("%s has the class %q", f.name, f.class)
		}
	}
}

// Every option of the installed C tor is honoured or refused by name, and
// chive's own names are none of C tor's.
func TestKnowsEveryOptionOfTor(t *testing.T) {
	tor, err := exec.LookPath("tor")
	if err != nil {
		t.Skip("tor is not installed")
	}
	out, err := exec.Command(tor, "--list-torrc-options").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]bool{}
	for name := range strings.FieldsSeq(string(out)) {
		theirs[name] = true
		b := &builder{}
		if o := b.known(Line{Key: name}); o == nil && len(b.errs) > 0 && !errors.Is(b.errs, ErrUnsupported) {
			t.Errorf("%s: %v", name, b.errs)
		}
	}
	for _, o := range Options() {
		if o.Own == theirs[o.Name] {
			t.Errorf("%s: Own is %v, C tor knows it: %v", o.Name, o.Own, theirs[o.Name])
		}
	}
}

// "~" is HOME, as in a shell; without one it is what the password file says.
func TestExpandHome(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	for path, want := range map[string]string{"~": "/home/u", "~/x": "/home/u/x", "~/x/../y": "/home/u/y", "~u/x": "~u/x", "x/~": "x/~", "/x": "/x", "": ""} {
		if got, err := ExpandHome(path); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", path, got, err, want)
		}
	}
	t.Setenv("HOME", "")
	u, err := user.Current()
	if err != nil || u.HomeDir == "" {
		t.Skip("this user has no home folder:", err)
	}
	if got, err := ExpandHome("~/x"); got != filepath.Join(u.HomeDir, "x") || err != nil {
		t.Errorf("without HOME: %q, %v", got, err)
	}
}
