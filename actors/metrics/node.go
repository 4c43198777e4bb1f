package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"chive/actors/hosting"
)

// Sources is where the numbers come from; they are asked for each answer, at the same time
// by several.
type Sources struct {
	Node     func() Node
	Services func() ([]hosting.Status, error)
}

// Node is what is told of a node: counts, and words of closed lists.
type Node struct {
	Version         string
	Started         time.Time
	Bootstrap       int // percent
	Reachable       bool
	Draining        bool
	ValidUntil      time.Time
	Connections     int
	Circuits        int // open
	Building        int
	Streams         int // open
	Waiting         int // streams
	BuildTimeout    time.Duration
	ConnectionEnds  map[string]uint64 // by outcome
	CircuitEnds     map[string]uint64
	StreamEnds      map[string]uint64
	Down, Up        uint64 // bytes from relays, and from applications
	Queued          int64  // bytes
	Pressed         bool   // memory is short
	Events, Dropped uint64
	Revision        uint64 // of the configuration
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	buildInfo      = desc("chive_build_info", "The program that runs; always 1.", "version", "go_version")
	startTime      = desc("chive_start_time_seconds", "When the node started, as Unix time.")
	bootstrapRatio = desc("chive_bootstrap_ratio", "How far the node has come in its start; 1 is ready.")
	reachable      = desc("chive_network_reachable", "0 while no relay or guard answers, or no circuit can be built.")
	draining       = desc("chive_draining", "1 while the node takes no new streams, as it was asked.")
	validUntil     = desc("chive_consensus_valid_until_timestamp_seconds", "Until when the network's directory is valid, as Unix time; 0 if there is none.")
	connections    = desc("chive_connections", "Connections to relays that are open.")
	connectionsEnd = desc("chive_connections_ended_total", "Connections to relays that ended or could not be made.", "outcome")
	circuits       = desc("chive_circuits", "Circuits, those that are being built included.", "state")
	circuitsEnd    = desc("chive_circuits_ended_total", "Circuits that ended or could not be built.", "outcome")
	buildTimeout   = desc("chive_circuit_build_timeout_seconds", "How long a circuit may take to be built.")
	streams        = desc("chive_streams", "Streams, those that wait for a circuit included.", "state")
	streamsEnd     = desc("chive_streams_ended_total", "Streams that ended.", "outcome")
	bandwidthBytes = desc("chive_bandwidth_bytes_total", "Bytes as BandwidthRate counts them: down is what relays sent, up what applications did.", "direction")
	queueBytes     = desc("chive_queue_bytes", "Data that waits in queues, which MaxMemInQueues bounds, of all nodes of the process.")
	queuePressed   = desc("chive_queue_pressed", "1 while MaxMemInQueues was passed and nothing new is taken on.")
	eventsTotal    = desc("chive_events_total", "Events that the node told.")
	eventsDropped  = desc("chive_events_dropped_total", "Events that did not reach NATS.")
	configRevision = desc("chive_config_revision", "Revision of the configuration in force; 0 is what the node started with.")
	nodeDescs      = []*prometheus.Desc{buildInfo, startTime, bootstrapRatio, reachable, draining, validUntil, connections, connectionsEnd, circuits, circuitsEnd, buildTimeout, streams, streamsEnd, bandwidthBytes, queueBytes, queuePressed, eventsTotal, eventsDropped, configRevision}
	gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
)

// nodeCollector tells of the node.
type nodeCollector struct{ node func() Node }

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range nodeDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	n := c.node()
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	ends := func(d *prometheus.Desc, all map[string]uint64) {
		for outcome, n := range all {
			put(d, counter, float64(n), outcome)
		}
	}
	put(buildInfo, gauge, 1, n.Version, runtime.Version())
	put(startTime, gauge, unix(n.Started))
	put(bootstrapRatio, gauge, float64(n.Bootstrap)/100)
	put(reachable, gauge, digit(n.Reachable))
	put(draining, gauge, digit(n.Draining))
	put(validUntil, gauge, unix(n.ValidUntil))
	put(connections, gauge, float64(n.Connections))
	ends(connectionsEnd, n.ConnectionEnds)
	put(circuits, gauge, float64(n.Circuits), "open")
	put(circuits, gauge, float64(n.Building), "building")
	ends(circuitsEnd, n.CircuitEnds)
	put(buildTimeout, gauge, n.BuildTimeout.Seconds())
	put(streams, gauge, float64(n.Streams), "open")
	put(streams, gauge, float64(n.Waiting), "waiting")
	ends(streamsEnd, n.StreamEnds)
	put(bandwidthBytes, counter, float64(n.Down), "down")
	put(bandwidthBytes, counter, float64(n.Up), "up")
	put(queueBytes, gauge, float64(n.Queued))
	put(queuePressed, gauge, digit(n.Pressed))
	put(eventsTotal, counter, float64(n.Events))
	put(eventsDropped, counter, float64(n.Dropped))
	put(configRevision, gauge, float64(n.Revision))
}

func digit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// unix is a time in seconds; 0 if there is none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
