package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	anID    = "ABABABABABABABABABABABABABABABABABABABAB"
	otherID = "CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD"
)

func authority(ident, id string) string {
	return "DirAuthority a orport=1 v3ident=" + ident + " 127.0.0.1:1 " + id + "\n"
}

// combinations that cannot be, with what chive check says of each.
var combinations = []struct{ torrc, says string }{
	// listeners
	{"SocksPort 0\nSocksPort 1", "SocksPort 0 beside another SocksPort: drop one of them"},
	{"HTTPTunnelPort 0\nHTTPTunnelPort 1", "HTTPTunnelPort 0 beside another HTTPTunnelPort"},
	{"DNSPort 0\nDNSPort 1", "DNSPort 0 beside another DNSPort"},
	{"MetricsPort 0\nMetricsPort 1", "MetricsPort 0 beside another MetricsPort"},
	{"SocksPort 1\nMetricsPort 1\nMetricsPortPolicy accept *", "127.0.0.1:1 is given twice"},
	{"MetricsPort 0.0.0.0:1", "no MetricsPortPolicy accepts anybody: say who may read"},
	{"MetricsPort unix:/s", "a MetricsPort has an address and a port"},
	{"SocksPort 1\nSocksPort 127.0.0.1:1", "127.0.0.1:1 is given twice"},
	{"SocksPort 1\nHTTPTunnelPort 1", "127.0.0.1:1 is given twice"},
	{"SocksPort 1\nDNSPort 1", "127.0.0.1:1 is given twice"},
	{"SocksPort unix:/s\nHTTPTunnelPort unix:/s", "unix:/s is given twice"},
	{"SocksPort 0.0.0.0:1", "is reachable from other machines, and nothing of it is encrypted or needs a password; set AllowNonLocalSocks 1"},
	{"HTTPTunnelPort [::]:1", "set AllowNonLocalSocks 1"},
	{"DNSPort 0.0.0.0:53", "set AllowNonLocalSocks 1"},
	{"SocksPort 1 GroupWritable", "GroupWritable, WorldWritable and RelaxDirModeCheck are for unix sockets"},
	{"SocksPort 1 RelaxDirModeCheck", "are for unix sockets"},
	{"SocksPort 1 NoIPv4Traffic NoIPv6Traffic NoOnionTraffic", "together leave nothing to connect to"},
	{"SocksPort 1 OnionTrafficOnly NoOnionTraffic", "together leave nothing to connect to"},
	{"SocksPort 1 PreferIPv6 NoIPv6Traffic", "PreferIPv6 contradicts NoIPv6Traffic"},
	{"SocksPort 1 NoIsolateSOCKSAuth KeepAliveIsolateSOCKSAuth", "KeepAliveIsolateSOCKSAuth needs IsolateSOCKSAuth"},
	{"IsolateSOCKSAuth 0\nHTTPTunnelPort 1 KeepAliveIsolateSOCKSAuth", "KeepAliveIsolateSOCKSAuth needs IsolateSOCKSAuth"},
	{"HTTPTunnelPort 1 ExtendedErrors", "ExtendedErrors and PreferSOCKSNoAuth are for a SocksPort"},
	{"HTTPTunnelPort 1 PreferSOCKSNoAuth", "ExtendedErrors and PreferSOCKSNoAuth are for a SocksPort"},
	{"DNSPort unix:/s", "a DNSPort has an address and a port, and takes no flags but those that isolate and SessionGroup"},
	{"DNSPort 1 NoIPv6Traffic", "takes no flags but those that isolate"},
	{"DNSPort 1 NoDNSRequest", "takes no flags but those that isolate"},
	{"DNSPort 1 KeepAliveIsolateSOCKSAuth", "KeepAliveIsolateSOCKSAuth is for listeners whose clients authenticate"},
	{"MapAddress a.example b.example\nMapAddress b.example c.example\nMapAddress c.example a.example", "the rules for a.example go in a circle"},
	{"MapAddress a.example b.example\nMapAddress b.example a.example", "go in a circle"},
	// proxies
	{"Socks4Proxy 127.0.0.1\nSocks5Proxy 127.0.0.1", "only one proxy can be used, and Socks4Proxy is set, too"},
	{"Socks5Proxy 127.0.0.1\nHTTPSProxy 127.0.0.1", "only one proxy can be used, and Socks5Proxy is set, too"},
	{"Socks5Proxy 127.0.0.1\nSocks5ProxyUsername u", "Socks5ProxyUsername and Socks5ProxyPassword go together"},
	{"Socks5Proxy 127.0.0.1\nSocks5ProxyPassword p", "Socks5ProxyUsername and Socks5ProxyPassword go together"},
	{"Socks4Proxy 127.0.0.1\nSocks5ProxyUsername u\nSocks5ProxyPassword p", "needs Socks5Proxy"},
	{"Socks5Proxy 127.0.0.1\nHTTPSProxyAuthenticator u:p", "needs HTTPSProxy"},
	// how relays are reached
	{"OutboundBindAddress 127.0.0.1\nOutboundBindAddress 127.0.0.2", "a second IPv4 address"},
	{"OutboundBindAddress ::1\nOutboundBindAddress ::2", "a second IPv6 address"},
	{"ClientUseIPv6 0\nClientPreferIPv6ORPort 1", "IPv6 cannot be preferred with ClientUseIPv6 0"},
	{"Socks4Proxy 127.0.0.1\nClientPreferIPv6ORPort 1", "IPv6 cannot be preferred with a Socks4Proxy"},
	{"ClientUseIPv4 0\nClientUseIPv6 0", "with ClientUseIPv6 0 as well no relay can be connected to"},
	{"ClientUseIPv4 0\nSocks4Proxy 127.0.0.1", "a Socks4Proxy cannot connect to relays over IPv6"},
	{"ClientUseIPv4 0\n" + authority(anID, otherID), "nobody is left to ask for the network's directory"},
	// paths
	{"EntryNodes {de}\nExcludeNodes {de}", "every relay of it is excluded by ExcludeNodes or ExcludeExitNodes: no path is left"},
	{"ExitNodes " + anID + "\nExcludeExitNodes " + anID, "no path is left"},
	{"MiddleNodes 192.0.2.1\nExcludeNodes 192.0.2.0/24", "no path is left"},
	{"HSLayer2Nodes 192.0.2.1\nExcludeNodes 192.0.2.0/24", "no path is left"},
	{"HSLayer2Nodes {de}\nVanguardsLiteEnabled 0", "names relays for a layer of guards, and VanguardsLiteEnabled 0 has none"},
	{"HSLayer3Nodes {de}\nVanguardsLiteEnabled 0", "names relays for a layer of guards, and VanguardsLiteEnabled 0 has none"},
	{"HSLayer3Nodes {de}\nVanguardsFull 0", "names relays for the third layer of guards, and VanguardsFull 0 has none"},
	{"HSLayer2Nodes " + anID + "\nHSLayer3Nodes " + anID, "names the one relay of HSLayer2Nodes, which cannot stand in a path twice"},
	{"NumPrimaryGuards 1\nNumEntryGuards 2", "NumEntryGuards 2 is more than NumPrimaryGuards 1"},
	{"CircuitPoolMinSize 5\nCircuitPoolMaxSize 3", "CircuitPoolMaxSize 3 is less than CircuitPoolMinSize 5"},
	{"CircuitPoolMinSize 33", "CircuitPoolMaxSize 32 is less than CircuitPoolMinSize 33"},
	{"BandwidthRate 2 MBytes\nBandwidthBurst 1 MByte", "BandwidthBurst 1 MByte is less than BandwidthRate 2 MBytes"},
	// the network
	{"TestingTorNetwork 1", "a test network needs DirAuthority lines of its own"},
	{"ClientDNSRejectInternalAddresses 0", "on the public network exits would name what is on your own"},
	{authority(anID, anID) + authority(anID, otherID), "the v3ident " + anID + " is given twice: each authority has one vote"},
	{"FallbackDir 192.0.2.1 orport=1 id=" + anID + "\nFallbackDir 192.0.2.2 orport=1 id=" + anID, "the relay " + anID + " is given twice"},
	// onion services
	{"HiddenServicePort 80", "belongs to no service: it needs a HiddenServiceDir before it, in the same place"},
	{"HiddenServiceDir /s", "the service has no HiddenServicePort"},
	{"HiddenServiceDir /s\nHiddenServicePort 80\nHiddenServiceDir /s\nHiddenServicePort 80", "given twice: one folder is one service"},
	{
		"HiddenServiceDir /s\nHiddenServicePort 80\nHiddenServiceEnableIntroDoSRatePerSec 9\nHiddenServiceEnableIntroDoSBurstPerSec 8",
		"HiddenServiceEnableIntroDoSBurstPerSec 8 is less than HiddenServiceEnableIntroDoSRatePerSec 9",
	},
	{
		"HiddenServiceDir /s\nHiddenServicePort 80\nHiddenServicePoWQueueRate 9\nHiddenServicePoWQueueBurst 8",
		"HiddenServicePoWQueueBurst 8 is less than HiddenServicePoWQueueRate 9",
	},
	{"HiddenServiceDir /s\nHiddenServicePort 80\nHiddenServiceShared 1", "HiddenServiceDir: /s: HiddenServiceShared 1 needs a fleet: set NatsUrl, NatsClusterListen or FleetConfigKey"},
	// NATS
	{"NatsListen 0.0.0.0:4222", "0.0.0.0:4222 can be reached from other machines: set NatsTLSCert and NatsTLSKey"},
	{"NatsClusterListen 0.0.0.0:6222", "can be reached from other machines"},
	{"NatsListen 127.0.0.1:4222\nNatsTLSCert /c", "NatsTLSCert and NatsTLSKey go together"},
	{"NatsClusterListen 127.0.0.1:6222\nNatsTLSCert /c\nNatsTLSKey /k", "the servers of a cluster with TLS check each other: set NatsTLSCA"},
	{"SocksPort 1\nNatsListen 127.0.0.1:1", "NatsListen: 127.0.0.1:1 is given twice"},
	{"NatsListen localhost:1\nMetricsPort 1\nMetricsPortPolicy accept *", "NatsListen: 127.0.0.1:1 is given twice"},
	{"DNSPort 1\nNatsListen 127.0.0.1:4222\nNatsClusterListen 127.0.0.1:1", "NatsClusterListen: 127.0.0.1:1 is given twice"},
	{"NatsListen 127.0.0.1:4222\nNatsClusterListen 127.0.0.1:4222", "NatsClusterListen: 127.0.0.1:4222 is given twice"},
	{"NatsUrl nats://127.0.0.1:4222\nNatsListen 127.0.0.1:4223", "NatsUrl is instead of the embedded server: drop one of them"},
	{"NatsClusterListen 127.0.0.1:6222", "the servers of a cluster listen for clients, too: set NatsListen"},
	{"NatsUrl nats://127.0.0.1:4222\nNatsClusterListen 127.0.0.1:6222", "NatsUrl is instead of the embedded server"},
	{"FleetConfigKey UB5SO5SZO3ZSCZS6WWKZNE6C4J6ZWTENMV5FBPELB7N3CH3BEXPDMYAY\nFleetReplicas 3", "3 servers are to hold each bucket, and the embedded one is alone: set NatsClusterListen in as many nodes"},
}

// elsewhere are contradictions that no torrc can have, or none that this machine can show.
var elsewhere = map[string]string{
	"takes one value: drop the +":               "of the command line: TestCheckOfTheCommandLine",
	"a country needs GeoIPFile and GeoIPv6File": "a path cannot be set to nothing; it guards a configuration that a program made",
}

// checked runs chive check on a torrc.
func checked(t *testing.T, torrc string, more ...string) (code int, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "torrc")
	if err := os.WriteFile(file, []byte(torrc+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = cli(t, append([]string{"check", "-f", file}, more...)...)
	return code, strings.ReplaceAll(out, file, "torrc")
}

func TestCheckRefusesImpossibleCombinations(t *testing.T) {
	var said []string
	for _, c := range combinations {
		code, out := checked(t, c.torrc)
		if code != exitUsage || !strings.HasPrefix(out, "error: torrc:") || !strings.Contains(out, c.says) {
			t.Errorf("%q: exit %d, %s", c.torrc, code, out)
		}
		said = append(said, out)
	}
	// Every contradiction that the package knows is in the table.
	for format, at := range contradictions(t) {
		if elsewhere[format] != "" {
			continue
		}
		var pattern strings.Builder
		for i, part := range regexp.MustCompile(`%[a-z]`).Split(format, -1) {
			if i > 0 {
				pattern.WriteString(".*")
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
		if !regexp.MustCompile(pattern.String()).MatchString(strings.Join(said, "\n")) {
			t.Errorf("%s: no combination here is refused with %q", at, format)
		}
	}
}

// contradictions lists the messages of package config that two options contradict each
// other, and where each is.
func contradictions(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../config/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			kind, isKind := call.Args[1].(*ast.Ident)
			format, isText := call.Args[2].(*ast.BasicLit)
			if isKind && isText && kind.Name == "ErrConflict" {
				text, err := strconv.Unquote(format.Value)
				if err != nil {
					t.Fatal(err)
				}
				out[text] = set.Position(call.Pos()).String()
			}
			return true
		})
	}
	if len(out) < 30 {
		t.Fatalf("%d contradictions were found", len(out))
	}
	return out
}

// What is not known is refused, with what was probably meant; what C tor knows, with what
// chive says of it.
func TestCheckRefusesTheUnknown(t *testing.T) {
	for torrc, says := range map[string]string{
		"SocksPrt 1":                                       "SocksPrt: unknown option (did you mean SocksPort?)",
		"socksport1 1":                                     "unknown option (did you mean SocksPort?)",
		"HTTPTunelPort 1":                                  "unknown option (did you mean HTTPTunnelPort?)",
		"HTTPProxy 127.0.0.1":                              "HTTPProxy: not supported yet",
		"Sock5Proxy 127.0.0.1":                             "unknown option (did you mean Socks5Proxy?)",
		"MaxCircuitDirtyness 1 hour":                       "unknown option (did you mean MaxCircuitDirtiness?)",
		"AutomapHostOnResolve 1":                           "unknown option (did you mean AutomapHostsOnResolve?)",
		"IdentityMaxStream 1":                              "unknown option (did you mean IdentityMaxStreams?)",
		"ControlPrt 9051":                                  "unknown option (did you mean ControlPort?)",
		"Frobnicate 1":                                     "Frobnicate: unknown option\n",
		"TransPort 9040":                                   "TransPort: not supported yet",
		"ORPort 9001":                                      "ORPort: an option of relays; chive is a client",
		"UseEntryGuards 0":                                 "UseEntryGuards: refused: ",
		"SocksPort 1 IsolateDestAdr":                       "unknown flag IsolateDestAdr (did you mean IsolateDestAddr?)",
		"SocksPort 1 NoIsolateSOCKAuth":                    "unknown flag NoIsolateSOCKAuth (did you mean NoIsolateSOCKSAuth?)",
		"SocksPort 1 OnionTraficOnly":                      "unknown flag OnionTraficOnly (did you mean OnionTrafficOnly?)",
		"SocksPort 1 Frob":                                 "unknown flag Frob\n",
		"HTTPTunnelPort 1 PreferIP6":                       "unknown flag PreferIP6 (did you mean PreferIPv6?)",
		"DNSPort 1 IsolateClientAdr":                       "unknown flag IsolateClientAdr (did you mean IsolateClientAddr?)",
		"DNSPort 1 SesionGroup=1":                          "unknown flag SesionGroup=1 (did you mean SessionGroup=?)",
		"SocksPort 1 CacheIPv4DNS":                         "the flag CacheIPv4DNS is not supported yet",
		"SocksPort 1 CacheIPv6DNS":                         "the flag CacheIPv6DNS is not supported yet",
		"SocksPort 1 CacheDNS":                             "the flag CacheDNS is not supported yet",
		"SocksPort 1 UseIPv4Cache":                         "the flag UseIPv4Cache is not supported yet",
		"SocksPort 1 UseIPv6Cache":                         "the flag UseIPv6Cache is not supported yet",
		"SocksPort 1 UseDNSCache":                          "the flag UseDNSCache is not supported yet",
		"SocksPort 1 PreferIPv6Automap":                    "the flag PreferIPv6Automap is not supported yet",
		"HTTPTunnelPort 1 CacheDNS":                        "the flag CacheDNS is not supported yet",
		"ConnectionPadding yes":                            `"yes" is not auto, 0 or 1`,
		"SocksPort 9050 9051":                              "unknown flag 9051",
		"Log notice syslog":                                "logging to syslog is not supported yet",
		"Socks5ProxyPassword=merlin":                       "Socks5ProxyPassword=…: unknown option (did you mean Socks5ProxyPassword?)",
		"DirAuthority x bridge orport=1 1.2.3.4:1 " + anID: "bridge authorities are not supported yet",
	} {
		code, out := checked(t, torrc)
		if code != exitUsage || !strings.HasPrefix(out, "error: torrc:1: ") || !strings.Contains(out, says) {
			t.Errorf("%q: exit %d, %s", torrc, code, out)
		}
	}
	// The forms of C tor's flags that ask for what chive does anyway.
	for _, flag := range []string{"NoCacheIPv4DNS", "NoCacheIPv6DNS", "NoCacheDNS", "NoUseIPv4Cache", "NoUseIPv6Cache", "NoUseDNSCache", "NoPreferIPv6Automap"} {
		if code, out := checked(t, "SocksPort 1 "+flag); code != exitOK {
			t.Errorf("%s: exit %d, %s", flag, code, out)
		}
	}
}

func TestCheckOfTheCommandLine(t *testing.T) {
	for says, args := range map[string][]string{
		"command line: Fleet: takes one value: drop the +":                                   {"--+Fleet", "x"},
		"command line: SocksPrt: unknown option (did you mean SocksPort?)":                   {"--SocksPrt", "1"},
		"command line: SocksPort: unknown flag Isolate":                                      {"--SocksPort", "1 Isolate"},
		"command line: Socks5Proxy: only one proxy can be used, and Socks4Proxy is set, too": {"--Socks4Proxy", "127.0.0.1", "--Socks5Proxy", "127.0.0.1"},
	} {
		if code, out := checked(t, "", args...); code != exitUsage || !strings.Contains(out, says) {
			t.Errorf("%q: exit %d, %s", args, code, out)
		}
	}
}
