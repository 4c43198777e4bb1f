package node

import (
	"errors"
	"fmt"

	"chive/bridge"
	"chive/config"
)

// bridgeOptions are how the node takes part in NATS.
func (n *Node) bridgeOptions() bridge.Options {
	c := n.o.Config
	return bridge.Options{
		Fleet: c.Fleet, DataDir: c.DataDirectory, Version: n.o.Version, Recorder: n.recorder, Log: n.o.Log,
		Listen: c.NatsListen, CredentialFile: c.NatsCredentialFile,
		InFleet: c.InFleet(), Replicas: c.FleetReplicas, URLs: c.NatsURLs,
		NodeCredentialFile: c.NatsNodeCredentialFile, ClusterListen: c.NatsClusterListen,
		ClusterCredentialFile: c.NatsClusterCredentialFile, Routes: c.NatsRoutes,
		TLS: bridge.TLSFiles{Cert: c.NatsTLSCert, Key: c.NatsTLSKey, CA: c.NatsTLSCA},
	}
}

// errNotYet refuses what is being built: a fleet over NATS.
var errNotYet = errors.New("is not supported yet: remove it")

// notYet names an option that would do only half of what it says.
func notYet(c *config.Config) error {
	for name, given := range map[string]bool{
		"FleetConfigKey": len(c.FleetConfigKeys) > 0, "NatsUrl": len(c.NatsURLs) > 0,
		"NatsClusterListen": c.NatsClusterListen != "",
	} {
		if given {
			return fmt.Errorf("%s %w", name, errNotYet)
		}
	}
	return nil
}
