package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fleetKey = "UB5SO5SZO3ZSCZS6WWKZNE6C4J6ZWTENMV5FBPELB7N3CH3BEXPDMYAY"

func TestNatsOptions(t *testing.T) {
	cfg := load(t, "NatsListen 0.0.0.0:4222\nNatsTLSCert /c\nNatsTLSKey /k\nNatsTLSCA /a\nNatsClusterListen [::1]:6222\n"+
		"NatsRoutes Nats.Example:6222\nNatsRoutes [::1]:6223\nNatsRoutes nats.example:6222\nFleetConfigKey "+fleetKey+"\nFleetReplicas 3\n")
	want := Nats{
		NatsNodeCredentialFile: cfg.DataDirectory + "/nats-node.nk", NatsClusterCredentialFile: cfg.DataDirectory + "/nats-cluster.secret",
		NatsTLSCert: "/c", NatsTLSKey: "/k", NatsTLSCA: "/a", NatsClusterListen: "[::1]:6222",
		NatsRoutes: []string{"nats.example:6222", "[::1]:6223"}, FleetConfigKeys: []string{fleetKey}, FleetReplicas: 3,
	}
	if diff := cmp.Diff(want, cfg.Nats); diff != "" {
		t.Error(diff)
	}
	if cfg.NatsListen != "0.0.0.0:4222" || !cfg.InFleet() || load(t, "NatsListen 4222\n").InFleet() {
		t.Error("a listener alone is no fleet, the rest is")
	}
}

func TestNatsRefusals(t *testing.T) {
	for _, c := range []struct{ torrc, want string }{
		{"NatsUrl nats://192.0.2.1:4222", "must be encrypted: write tls://192.0.2.1:4222"},
		{"NatsUrl nats://localhost.example:4222", "must be encrypted"},
		{"NatsUrl http://127.0.0.1:4222", "unknown scheme"},
		{"NatsUrl tls://a:b@nats.example:4222", "NatsNodeCredentialFile"},
		{"NatsUrl tls://nats.example", "not a host and port"},
		{"NatsUrl tls://nats.example:4222/x", "more than host and port"},
		{"NatsUrl nats://0.0.0.0:7422", "must be encrypted"},
		{"NatsRoutes :6222", "not a host and port"},
		{"NatsRoutes a\"b:6222", "not a host and port"},
		{"NatsRoutes 127.0.0.1:99999", "not a port"},
		{"NatsClusterListen 192.0.2.1:6222", "NatsTLSCert and NatsTLSKey"},
		{"NatsListen 4222\nNatsTLSCert /c", "go together"},
		{"NatsClusterListen 6222\nNatsTLSCert /c\nNatsTLSKey /k", "set NatsTLSCA"},
		{"NatsUrl nats://127.0.0.1:4222\nNatsListen 4223", "instead of the embedded server"},
		{"FleetConfigKey " + strings.Replace(fleetKey, fleetKey[20:21], map[bool]string{true: "B", false: "A"}[fleetKey[20] == 'A'], 1), "is wrong"},
		{"FleetConfigKey SUAOTHERS", "secret half"},
		{"FleetConfigKey " + fleetKey[:55], "56 characters"},
		{"FleetConfigKey A" + fleetKey[1:], "begins with U"},
		{"FleetReplicas 6", "1 to 5"},
		{"FleetConfigKey " + fleetKey + "\nFleetReplicas 3", "the embedded one is alone: set NatsClusterListen"},
	} {
		_, err := loadFrom(oneFile(c.torrc+"\n"), "torrc", nil)
		var all Errors
		if !errors.As(err, &all) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.torrc, err, c.want)
		}
	}
}

func TestNatsOptionsWithoutEffect(t *testing.T) {
	for _, torrc := range []string{
		"NatsTLSCert /c", "NatsTLSKey /k", "NatsTLSCA /a", "NatsNodeCredentialFile /n", "NatsClusterCredentialFile /s", "NatsRoutes a:1", "FleetReplicas 3",
	} {
		cfg := load(t, torrc+"\n")
		if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0].Error(), "has no effect without") {
			t.Errorf("%s: %v", torrc, cfg.Warnings)
		}
	}
}

// Servers of which none may be lost are warned of; what cannot be at all is refused.
func TestHowManyServers(t *testing.T) {
	const cluster = "NatsListen 127.0.0.1:4222\nNatsClusterListen 127.0.0.1:6222\n"
	const hub = "NatsUrl nats://127.0.0.1:4222\nNatsUrl nats://127.0.0.1:4223\n"
	for torrc, want := range map[string]string{
		cluster + "FleetReplicas 3\nNatsRoutes a:1\n": "",
		cluster + "FleetReplicas 5\n":                 "",
		cluster + "FleetReplicas 2\n":                 "FleetReplicas: a majority of 2 servers is both: when one of them ends or is lost, nothing is stored",
		cluster + "FleetReplicas 4\n":                 "FleetReplicas: a majority of 4 servers is 3: no more of them may be lost than of 3. Write FleetReplicas 3",
		cluster + "FleetReplicas 1\n":                 "FleetReplicas: with FleetReplicas 1 each of the fleet's buckets is on one server",
		cluster + "NatsRoutes a:1\n":                  "NatsClusterListen: with FleetReplicas 1 each of the fleet's buckets is on one server",
		cluster + "NatsRoutes a:1\nNatsRoutes b:1\n":  "NatsClusterListen: with FleetReplicas 1 each bucket is on one server alone: when that one is lost, nothing is stored. Write FleetReplicas 3",
		hub:                          "",
		hub + "FleetReplicas 2\n":    "a majority of 2 servers is both",
		hub + "FleetReplicas 3\n":    "",
		"FleetConfigKey " + fleetKey: "",
	} {
		cfg := load(t, torrc+"\n")
		var got []string
		for _, w := range cfg.Warnings {
			got = append(got, w.Error())
		}
		if text := strings.Join(got, "\n"); len(got) > 1 || (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %q", torrc, got)
		}
	}
}
