package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"chive/actors/circuits"
	"chive/actors/fleet"
	"chive/bridge"
	bridgefleet "chive/bridge/fleet"
	"chive/messages"

	"github.com/asynkron/protoactor-go/actor"
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

// membership is the node's part in its fleet.
type membership struct {
	*bridgefleet.Member
	gauge *fleet.Gauge
	last  atomic.Pointer[fleet.Publication] // what the config bucket holds
}

// joinFleet makes the node's part in its fleet; nil if it is in none.
func (n *Node) joinFleet() (*membership, error) {
	c := n.o.Config
	if !c.InFleet() {
		return nil, nil
	}
	m := &membership{gauge: fleet.NewGauge()}
	var err error
	m.Member, err = n.bridge.Member(bridgefleet.Options{
		Replicas: c.FleetReplicas, Keys: c.FleetConfigKeys, Now: n.o.Now,
		See: func(p messages.FleetPublication) {
			msg := &fleet.Publication{FleetPublication: p}
			m.last.Store(msg)
			n.system.Root.Send(n.root, msg)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	n.cancels = append(n.cancels, n.recorder.Observe(m.gauge.See))
	return m, nil
}

// fleetProps makes the actor.
func (n *Node) fleetProps() *actor.Props {
	return fleet.Props(fleet.Options{
		Node: n.recorder.Node(), Folder: n.o.Config.DataDirectory, Port: n.member, Config: n.control, Gauge: n.member.gauge,
		Try:    func() { n.system.Root.Send(n.root, &circuits.Try{}) },
		Member: n.asMember, Recorder: n.recorder, Log: n.o.Log, Now: n.o.Now, Every: bridgefleet.BeatEvery,
	})
}

// asMember is what the node tells its fleet of itself.
func (n *Node) asMember() messages.FleetMember {
	s := n.Status()
	return messages.FleetMember{
		Node: s.Node, Version: s.Version, Started: s.Started.UTC(), Time: n.o.Now().UTC(), Bootstrap: s.Bootstrap,
		Circuits: s.Circuits, Streams: s.Streams, Dropped: s.EventsDropped, Draining: s.Draining, Config: s.Revision, Shared: n.sharedNow(), Trouble: s.trouble(),
	}
}

// DrainRequest is the request of the verb drain.
type DrainRequest struct {
	Resume bool `json:"resume,omitempty"` // take streams again
}

// DrainAnswer is the answer to the verb drain.
type DrainAnswer struct {
	Draining bool `json:"draining"`
	Streams  int  `json:"streams_open"`
}

// errEnds: what it closed stays closed, and other nodes must not count on it.
var errEnds = errors.New("the node is about to end, and takes part no more; start it anew")

// answerDrain has the node take no new streams and no part in shared onion services, or
// take them again. Streams that are open go on.
func (n *Node) answerDrain(request []byte) ([]byte, error) {
	var r DrainRequest
	if len(request) > 0 {
		if err := json.Unmarshal(request, &r); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	if r.Resume && n.ends.Load() {
		return nil, errEnds
	}
	before := n.deaf.Load()
	if r.Resume {
		n.resumeListening()
		n.rejoinShared()
	} else {
		n.StopListening()
		n.LeaveShared()
	}
	n.tellDrained(before)
	n.system.Root.Send(n.root, &fleet.Tell{})
	s := n.Status()
	return json.Marshal(DrainAnswer{Draining: s.Draining, Streams: s.Streams + s.Waiting})
}

// resumeListening opens the listeners of the configuration in force.
func (n *Node) resumeListening() {
	if n.leaving.Load() {
		return
	}
	n.deaf.Store(false)
	n.system.Root.Send(n.root, &listenAgain{})
}

// sharedDirectory is the fleet's; nil if the node is in none.
func (n *Node) sharedDirectory() messages.SharedDirectory {
	if n.member == nil {
		return nil
	}
	return n.member
}
