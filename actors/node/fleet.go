package node

import "chive/bridge"

// bridgeOptions are how the node takes part in NATS.
func (n *Node) bridgeOptions() bridge.Options {
	c := n.o.Config
	return bridge.Options{
		Fleet: c.Fleet, DataDir: c.DataDirectory, Version: n.o.Version, Recorder: n.recorder, Log: n.o.Log,
		Listen: c.NatsListen, CredentialFile: c.NatsCredentialFile,
		InFleet: c.InFleet(), Replicas: c.FleetReplicas, URLs: c.NatsURLs, LeafURLs: c.NatsLeafURLs,
		NodeCredentialFile: c.NatsNodeCredentialFile, ClusterListen: c.NatsClusterListen,
		ClusterCredentialFile: c.NatsClusterCredentialFile, Routes: c.NatsRoutes,
		TLS: bridge.TLSFiles{Cert: c.NatsTLSCert, Key: c.NatsTLSKey, CA: c.NatsTLSCA},
	}
}
