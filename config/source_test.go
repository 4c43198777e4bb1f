package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The layers replace each other in the documented order, option by option.
func TestPrecedence(t *testing.T) {
	layers := []struct {
		origin Origin
		give   func(*Source, *[]Live, string)
	}{
		{FromFile, func(s *Source, _ *[]Live, v string) { s.files = oneFile("SocksTimeout " + v + "\n") }},
		{FromEnvironment, func(s *Source, _ *[]Live, v string) { s.Environment = []string{"HOME=/x", "CHIVE_SOCKS_TIMEOUT=" + v} }},
		{FromCommandLine, func(s *Source, _ *[]Live, v string) { s.Flags = []Override{{"sockstimeout", v}} }},
		{FromFleet, func(_ *Source, l *[]Live, v string) {
			*l = append(*l, Live{Name: "SocksTimeout", Values: []string{v}, Origin: FromFleet})
		}},
		{FromOperator, func(_ *Source, l *[]Live, v string) {
			*l = append(*l, Live{Name: "SocksTimeout", Values: []string{v}, Origin: FromOperator})
		}},
	}
	for given := range 1 << len(layers) {
		s := &Source{File: "torrc", files: oneFile("")}
		var live []Live
		want, from := 2*time.Minute, FromDefault
		for i, layer := range layers {
			if given&(1<<i) != 0 {
				layer.give(s, &live, fmt.Sprintf("%d seconds", 10+i))
				want, from = time.Duration(10+i)*time.Second, layer.origin
			}
		}
		l, err := s.Load(live...)
		if err != nil {
			t.Fatal(err)
		}
		if l.SocksTimeout != want || l.Origins["SocksTimeout"] != from {
			t.Errorf("layers %05b: %v from %v, want %v from %v", given, l.SocksTimeout, l.Origins["SocksTimeout"], want, from)
		}
	}
}

func TestEnvironment(t *testing.T) {
	load := func(env ...string) (*Loaded, error) { return (&Source{Environment: env}).Load() }
	l, err := load("CHIVE_SOCKSPORT=1\n2", "CHIVE_max_circuit_dirtiness=5 minutes", "CHIVE_PID_FILE=", "PATH=/bin",
		"CHIVE_SERVICE_HOST=10.0.0.1", "CHIVE_SERVICE_PORT_SOCKS=9050", "CHIVE_PORT=tcp://10.0.0.1:9050", "CHIVE_PORT_9050_TCP_ADDR=10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if len(l.SocksPorts) != 2 || l.MaxCircuitDirtiness != 5*time.Minute || l.PidFile != "" {
		t.Errorf("%+v", l.Config)
	}
	for env, want := range map[string]string{
		"CHIVE_SOCKS_PRT=1":    "environment: SOCKSPRT: unknown option (did you mean SocksPort?)",
		"CHIVE_CONTROL_PORT=1": "environment: CONTROLPORT: not supported yet",
		"CHIVE_FLEET=A":        `environment: Fleet: "A" is not a name`,
	} {
		if _, err := load(env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", env, err, want)
		}
	}
}

// The hash changes with every content, name and set of files, and with nothing
// else; what is wrong is hashed too.
func TestHash(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("torrc", "%include "+dir+"/d\nFleet a\n")
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Source{File: filepath.Join(dir, "torrc")}
	seen := map[string]string{}
	step := func(what string, again bool) {
		t.Helper()
		l, _ := s.Load()
		if before, known := seen[l.Hash]; known != again {
			t.Errorf("%s: seen before is %v (%s)", what, known, before)
		}
		seen[l.Hash] = what
	}
	step("at first", false)
	step("nothing", true)
	write("d/one", "NodeName x\n")
	step("a file more", false)
	old := time.Unix(1, 0)
	if err := os.Chtimes(filepath.Join(dir, "d/one"), old, old); err != nil {
		t.Fatal(err)
	}
	step("an older time", true)
	write("d/one", "NodeName y\n")
	step("another content", false)
	write("torrc", "%include "+dir+"/d\nFleet A\n")
	step("a mistake", false)
	write("torrc", "%include "+dir+"/e\nFleet a\n")
	step("a missing folder", false)
	if err := os.Remove(s.File); err != nil {
		t.Fatal(err)
	}
	step("no file", false)
	write("torrc", "%include "+dir+"/d\nFleet a\n")
	write("d/one", "NodeName x\n")
	step("as before", true)
	l, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{dir, filepath.Join(dir, "d")}, l.Folders); diff != "" {
		t.Error(diff)
	}
	if l.Empty {
		t.Error("empty")
	}
	write("torrc", "# nothing\n")
	if l, err := s.Load(); err != nil || !l.Empty {
		t.Errorf("a file without a line: empty is %v, err %v", l.Empty, err)
	}
}

// Standard input is read once: a reload finds it as it was.
func TestStandardInputIsKept(t *testing.T) {
	s := &Source{File: "-", files: oneFile("Fleet a\n")}
	for range 3 {
		if l, err := s.Load(); err != nil || l.Fleet != "a" {
			t.Fatal(err)
		}
		s.files = oneFile("")
	}
}

// values draws something legal for an option.
func values(t *rapid.T, o *Option) []string {
	some := func(choices ...string) []string { return []string{rapid.SampledFrom(choices).Draw(t, o.Name)} }
	switch o.Type {
	case "0|1":
		if o.Name == "ClientUseIPv4" { // 0 contradicts others; see TestReach
			return some("1")
		}
		return some("0", "1")
	case "time":
		if o.Name == "GuardLifetime" {
			return some("0 seconds", "30 days", "3 months")
		}
		return some("11 seconds", "1.5 minutes", "20 minutes")
	case "number":
		if o.Name == "CircuitPoolMaxSize" {
			return some("6", "10")
		}
		if o.Name == "NumPrimaryGuards" {
			return some("5", "10")
		}
		if strings.HasPrefix(o.Name, "PathBias") {
			return some("-1", "10", "1000000")
		}
		return some("2", "4", "5")
	case "fraction":
		return some("-1", "0", "0.25", "1")
	case "size":
		if o.Name == "BandwidthBurst" {
			return some("2 GBytes", "3221225473")
		}
		return some("20 MBytes", "1023.5 MB", "16777217 bytes")
	case "name":
		return some("a", "b-1")
	case "folder", "file":
		return some("/tmp/x", `/tmp/a "b" #c`)
	case "proxy":
		return some("127.0.0.1:1080", "[::1]:8443")
	case "text":
		return some("a:b", `x "y" #z`)
	case "mapping":
		return some("a.example 192.0.2.1", "*.a.example *.b.example")
	case "suffixes":
		return some(".onion,.example", ".")
	case "network":
		if o.Name == "VirtualAddrNetworkIPv6" {
			return some("[fc00::]/8", "[fe80::]/104")
		}
		return some("10.0.0.0/8", "172.16.0.0/16")
	case "service":
		return some("/tmp/hs; HiddenServicePort 80", `/tmp/a b;hiddenserviceport 80 unix:"/x;y \"z";HiddenServicePort 80 [::1]:81; HiddenServiceMaxStreams 7; HiddenServicePoWDefensesEnabled 1`)
	case "severity":
		return some("debug", "err")
	case "relays":
		if strings.HasPrefix(o.Name, "Exclude") {
			return some("{FR}", "203.0.113.0/24,"+strings.Repeat("cd", 20))
		}
		return some("$"+strings.Repeat("aB", 20)+"~nick {DE},192.0.2.7/24", "[2001:db8::]/32", "198.51.100.7")
	case "auto|0|1":
		if o.Name == "ClientPreferIPv6ORPort" { // so does 1
			return some("auto", "0")
		}
		if strings.HasPrefix(o.Name, "Vanguards") { // 0 contradicts HSLayer2Nodes
			return some("auto", "1")
		}
		return some("auto", "0", "1")
	case "throughput|latency|throughput_lowmem|latency_lowmem":
		return some("throughput", "latency", "throughput_lowmem", "latency_lowmem")
	case "ports":
		return some("1,2", "22")
	case "log":
		return rapid.SliceOfN(rapid.SampledFrom([]string{"notice stderr", "debug-info stdout", "warn file /tmp/l o#g"}), 1, 2).Draw(t, o.Name)
	case "address":
		return rapid.Permutation([]string{"127.0.0.1", "::1"}).Draw(t, o.Name)[:rapid.IntRange(1, 2).Draw(t, "n")]
	case "authority":
		return some("orport=1 v3ident="+strings.Repeat("ab", 20)+" 127.0.0.1:1 "+strings.Repeat("cd", 20),
			"a1 orport=1 v3ident="+strings.Repeat("ab", 20)+" ipv6=[::1]:2 weight=0.5 127.0.0.1:1 "+strings.Repeat("cd", 20))
	case "relay":
		return some("[::1] orport=1 id="+strings.Repeat("ab", 20), "1.2.3.4 orport=1 weight=3 ipv6=[::1]:3 id="+strings.Repeat("ab", 20))
	case "url":
		return some("nats://127.0.0.1:4222", "tls://nats.example:4222")
	case "route":
		return some("127.0.0.1:6222", "nats.example:6222")
	case "nkey":
		return some("UB5SO5SZO3ZSCZS6WWKZNE6C4J6ZWTENMV5FBPELB7N3CH3BEXPDMYAY")
	case "policy":
		return some("accept 127.0.0.1", "reject 10.0.0.0/8", "accept *6", "reject *", "accept private")
	case "listener":
		switch o.Name {
		case "SocksPort":
		case "HTTPTunnelPort":
			return some("0", "127.0.0.1:8118 NoIPv6Traffic", "auto")
		case "DNSPort":
			return some("0", "127.0.0.1:5353 IsolateDestAddr", "[::1]:auto SessionGroup=7")
		case "MetricsPort":
			return some("0", "127.0.0.1:9035", "[::1]:auto")
		default:
			return some("0", "127.0.0.1:4222")
		}
		return rapid.SampledFrom([][]string{
			{"0"},
			{"9150", "auto NoIsolateSOCKSAuth IsolateDestPort", "[::1]:7 KeepAliveIsolateSOCKSAuth IsolateSOCKSAuth"},
			{"[::1]:auto SessionGroup=3 PreferIPv6 IsolateSOCKSAuth"},
			{`unix:"/tmp/a \"b" WorldWritable NoIPv4Traffic`, "127.0.0.1:1 NoIsolateDestAddr NoIsolateClientAddr"},
		}).Draw(t, o.Name)
	}
	t.Fatalf("no values of type %s", o.Type)
	return nil
}

// ways into a fleet exclude each other.
var ways = map[string]bool{
	"NatsUrl": true, "NatsListen": true, "NatsClusterListen": true,
	"Socks5Proxy": true, "HTTPSProxy": true, // as do proxies
}

// together are options that another must be there for.
var together = func() map[string]bool {
	out := map[string]bool{}
	for _, name := range []string{
		"Socks5ProxyUsername", "Socks5ProxyPassword", "HTTPSProxyAuthenticator",
		"ClientDNSRejectInternalAddresses", "NatsClusterListen", "FleetReplicas",
	} {
		out[name] = true
	}
	for i := range serviceSettings {
		out[serviceSettings[i].Name] = true
	}
	return out
}()

// What an option shows, written as a torrc, gives the same configuration again;
// so a difference that Diff does not see is none.
func TestShownValuesGiveTheConfigAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var torrc strings.Builder
		for _, o := range Options() {
			if o.Name != "TestingTorNetwork" && !ways[o.Name] && !together[o.Name] && rapid.Bool().Draw(t, "with "+o.Name) {
				torrc.WriteString(Torrc(o.Name, values(t, Find(o.Name))))
			}
		}
		first, err := loadFrom(oneFile(torrc.String()), "torrc", nil)
		if err != nil {
			t.Fatalf("%v of\n%s", err, torrc.String())
		}
		var again strings.Builder
		for _, s := range Settings(first, nil) {
			again.WriteString(Torrc(s.Option.Name, s.Values))
		}
		second, err := loadFrom(oneFile(again.String()), "torrc", nil)
		if err != nil {
			t.Fatalf("%v of\n%s", err, again.String())
		}
		first.Warnings, second.Warnings = nil, nil
		if fmt.Sprintf("%+v", first) != fmt.Sprintf("%+v", second) {
			t.Fatalf("torrc\n%s\ngives %+v\nand\n%s\ngives %+v", torrc.String(), first, again.String(), second)
		}
		if d := Diff(first, second); len(d) > 0 {
			t.Fatalf("differs: %+v", d)
		}
	})
}

// A change of each option is seen as one, and of what class; what needs a
// restart stays, everything else is taken over.
func TestDiffAndApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := Options()
		o := Find(rapid.SampledFrom(all).Draw(t, "option").Name)
		if o.Name == "TestingTorNetwork" || together[o.Name] {
			return
		}
		load := func(lines string) *Config {
			c, err := loadFrom(oneFile(lines), "torrc", nil)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		before, after := load(""), load(Torrc(o.Name, values(t, o)))
		changes := Diff(before, after)
		for _, ch := range changes {
			if ch.Option != o && !strings.HasPrefix(o.Name, "DirAuth") && o.Name != "DataDirectory" && o.Name != "UseDefaultFallbackDirs" {
				t.Fatalf("%s changes %s", o.Name, ch.Option.Name)
			}
		}
		applied, pending := Apply(before, after)
		left := Diff(applied, after)
		if o.Class == Restart && len(left) != len(changes) || o.Class != Restart && (len(left) > 0 || len(pending) > 0) {
			t.Fatalf("%s (%s): %d changes, %d pending, %d left", o.Name, o.Class, len(changes), len(pending), len(left))
		}
		if len(changes) > 0 && MostOf(changes) != o.Class {
			t.Fatalf("%s is %s, its changes ask for %s", o.Name, o.Class, MostOf(changes))
		}
	})
}

func TestIsolationOptions(t *testing.T) {
	cfg := load(t, "IsolateDestinations 1\nIsolateSOCKSAuth 0\nIsolateClientPort 1\nSocksPort 1\nSocksPort 2 NoIsolateDestPort IsolateSOCKSAuths IsolateClientProtocol\n")
	a, b := cfg.SocksPorts[0], cfg.SocksPorts[1]
	if !a.IsolateDestAddr || !a.IsolateDestPort || a.IsolateSOCKSAuth || a.IsolateClientProtocol || !a.IsolateClientPort {
		t.Errorf("a listener without flags: %+v", a)
	}
	if !b.IsolateDestAddr || b.IsolateDestPort || !b.IsolateSOCKSAuth || !b.IsolateClientProtocol {
		t.Errorf("a listener with flags: %+v", b)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:1", "127.0.0.1:2 IsolateSOCKSAuth IsolateClientProtocol NoIsolateDestPort"}, Find("socksport").Values(cfg)); diff != "" {
		t.Error(diff)
	}
}

func TestLogLevel(t *testing.T) {
	cfg := load(t, "LogLevel WARN\nLog debug stdout\nLog debug-info stderr\n")
	if diff := cmp.Diff([]Log{{Severity: Warn, Max: Err, Target: TargetStdout}}, cfg.Destinations()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"debug stdout", "debug-info stderr"}, Find("Log").Values(cfg)); diff != "" {
		t.Error(diff)
	}
}

// Nothing that names guards, trust, listeners, files or isolation can be set
// remotely.
func TestRemote(t *testing.T) {
	denied := strings.Fields("DataDirectory CacheDirectory PidFile SocksPort AllowNonLocalSocks IsolateDestinations IsolateSOCKSAuth " +
		"IsolateClientPort IsolateClientProtocol IdentityMaxAge IdentityMaxStreams IdentityDistinctExits ClientRejectInternalAddresses ClientDNSRejectInternalAddresses DirAuthority FallbackDir UseDefaultFallbackDirs " +
		"TestingTorNetwork EnforceDistinctSubnets OutboundBindAddress SafeLogging Log LogTimeGranularity TruncateLogFile Fleet NodeName " +
		"NatsListen NatsCredentialFile NatsUrl NatsNodeCredentialFile NatsTLSCert NatsTLSKey NatsTLSCA NatsClusterListen " +
		"NatsClusterCredentialFile NatsRoutes FleetConfigKey FleetReplicas LongLivedPorts EnableConnectionPooling ConnectionPoolMaxLife")
	for _, name := range denied {
		var e *RemoteError
		if err := AllowRemote("+" + strings.ToLower(name)); !errors.As(err, &e) || e.Option != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"MaxCircuitDirtiness", "LogLevel", "CircuitPoolMaxSize", "NoSuchOption"} {
		if err := AllowRemote(name); err != nil {
			t.Error(err)
		}
	}
	for _, o := range Options() {
		if o.Class == Restart && o.RemoteDenied == "" {
			t.Errorf("%s needs a restart and may be set remotely", o.Name)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range [][2]string{{"Log", "notice stderr"}, {"sockstimeout", "1"}} {
		if err := CheckName(good[0], good[1], false); err != nil {
			t.Error(err)
		}
	}
	if err := CheckName("Log", "", true); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2]string{
		{"Log", "a\nDirAuthority x"},
		{"Log", "\x00"},
		{"Log", strings.Repeat("x", MaxValueBytes+1)},
		{"Log", " "},
		{"SocksPrt", "1"},
		{"ControlPort", "1"},
		{"ClientOnly", "1"},
		{"+SocksPort", "1"},
		{"Log\nX", "1"},
	} {
		if CheckName(bad[0], bad[1], false) == nil {
			t.Errorf("%.20q %.20q is let through", bad[0], bad[1])
		}
	}
}
