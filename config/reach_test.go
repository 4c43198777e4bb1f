package config

import (
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	const (
		ident = "abababababababababababababababababababab"
		four  = "DirAuthority orport=1 v3ident=" + ident + " 127.0.0.1:1 " + ident + "\n"
		both  = "DirAuthority orport=1 v3ident=" + ident + " ipv6=[::1]:1 127.0.0.1:1 " + ident + "\n"
	)
	for text, want := range map[string]Reach{
		"":                            {true, true, "auto"},
		"ClientUseIPv4 0":             {false, true, "auto"},
		"ClientUseIPv6 0":             {true, false, "auto"},
		"ClientPreferIPv6ORPort AUTO": {true, true, "auto"},
		"ClientPreferIPv6ORPort 1":    {true, true, "1"},
		both + "ClientUseIPv4 0":      {false, true, "auto"},
		"ClientUseIPv4 0\nClientPreferIPv6ORPort 0":                      {false, true, "0"},
		four + "ClientUseIPv4 0\nFallbackDir [::1] orport=1 id=" + ident: {false, true, "auto"},
	} {
		if got := load(t, text).Reach; got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for text, want := range map[string]string{
		"ClientUseIPv4 0\nClientUseIPv6 0":                "torrc:1: ClientUseIPv4: with ClientUseIPv6 0 as well no relay can be connected to",
		"ClientUseIPv6 0\nClientPreferIPv6ORPort 1":       "torrc:2: ClientPreferIPv6ORPort: IPv6 cannot be preferred with ClientUseIPv6 0",
		"ClientUseIPv4 0\nSocks4Proxy 127.0.0.1":          "torrc:1: ClientUseIPv4: a Socks4Proxy cannot connect to relays over IPv6",
		"ClientPreferIPv6ORPort 1\nSocks4Proxy 127.0.0.1": "torrc:1: ClientPreferIPv6ORPort: IPv6 cannot be preferred with a Socks4Proxy: SOCKS4 has no IPv6",
		four + "ClientUseIPv4 0":                          "torrc:2: ClientUseIPv4: no DirAuthority and no FallbackDir has an IPv6 address (ipv6=): nobody is left to ask for the network's directory",
		"ClientUseIPv4 auto":                              `torrc:1: ClientUseIPv4: "auto" is not a switch: write 1 for yes or 0 for no`,
		"ClientPreferIPv6ORPort yes":                      `torrc:1: ClientPreferIPv6ORPort: "yes" is not auto, 0 or 1`,
	} {
		_, err := loadFrom(oneFile(text), "torrc", nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
