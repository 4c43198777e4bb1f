package config

import (
	"strings"
	"testing"
)

// Whatever a torrc says: mistakes, or a configuration that its own values give
// again, so that plan, history and revert lose nothing.
func FuzzShownValues(f *testing.F) {
	for _, seed := range []string{
		"SocksPort 9150 IsolateDestAddr SessionGroup=3\nSocksPort unix:\"/tmp/a b\" WorldWritable\nIsolateDestinations 1\n",
		"Log debug-info file \"/tmp/x y\"\nLogLevel warn\nLogTimeGranularity 0.5 msec\nShutdownWaitLength 0\n",
		"OutboundBindAddress [::1]\nOutboundBindAddress 127.0.0.1\nLongLivedPorts\nLongLivedPorts 1, 2\n",
		"DirAuthority a orport=1 v3ident=ABABABABABABABABABABABABABABABABABABABAB weight=1e3 127.0.0.1:1 CDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEF\n",
		"FallbackDir [::1]:80 orport=9 id=CDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEFCDEF ipv6=[::2]:1\n",
		"MaxCircuitDirtiness 1.5 hours\nCircuitPoolMinSize 3\nCircuitPoolMaxSize 3\nNatsListen 0\nPidFile ~/x#y\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, torrc string) {
		if strings.Contains(strings.ToLower(torrc), "%include") {
			return
		}
		first, err := loadFrom(oneFile(torrc), "torrc", nil)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, s := range Settings(first, nil) {
			again.WriteString(Torrc(s.Option.Name, s.Values))
		}
		second, err := loadFrom(oneFile(again.String()), "torrc", nil)
		if err != nil {
			t.Fatalf("%v of\n%s", err, again.String())
		}
		if d := Diff(first, second); len(d) > 0 {
			t.Fatalf("%q: %+v", again.String(), d)
		}
		if _, err := Fixed(first).Load(); err != nil {
			t.Fatalf("fixed: %v", err)
		}
	})
}

// Variables of the environment are options, mistakes that are told, or not ours.
func FuzzEnvironment(f *testing.F) {
	f.Add("CHIVE_SOCKS_PORT=9150\n9151", "CHIVE_X=1")
	f.Add("CHIVE_=", "CHIVE__=1")
	f.Add("CHIVE_LOG=notice stderr", "chive_log=x")
	f.Fuzz(func(t *testing.T, a, b string) {
		l, err := (&Source{Environment: []string{a, b}}).Load()
		if (err == nil) != (l.Config != nil) {
			t.Fatalf("%v, %v", l.Config, err)
		}
	})
}
