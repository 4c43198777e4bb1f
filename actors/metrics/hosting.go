package metrics

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"chive/actors/hosting"
)

// C tor's metrics of onion services (feature/hs/hs_metrics_entry.c), and how many there
// are by state.
var (
	servicesByState = desc("chive_onion_services", "Onion services that the node hosts.", "state")

	verified = desc("tor_hs_verified_timestamp_seconds", "When somebody was last met who came by what is published: a client, or the node's own visit; 0 is never.", "onion")

	introductions  = desc("tor_hs_intro_num_total", "Introductions that clients sent and the service took.", "onion")
	rejected       = desc("tor_hs_intro_rejected_intro_req_count", "Introductions that were not answered. The reasons pow and crowded are chive's own.", "onion", "reason")
	pointsUp       = desc("tor_hs_intro_established_count", "Introduction points that take introductions.", "onion")
	introBuildTime = desc("tor_hs_intro_circ_build_time", "How long circuits to introduction points took until those agreed, in milliseconds.", "onion")
	rendezvous     = desc("tor_hs_rdv_num_total", "Circuits that were begun to clients' rendezvous points.", "onion")
	rendFailed     = desc("tor_hs_rdv_error_count", "Circuits to clients' rendezvous points that came to nothing.", "onion", "reason")
	clientsMet     = desc("tor_hs_rdv_established_count", "Circuits on which a client was met and that are open.", "onion")
	rendBuildTime  = desc("tor_hs_rend_circ_build_time", "How long circuits to rendezvous points took until the client was answered, in milliseconds.", "onion")
	waiting        = desc("tor_hs_rdv_pow_pqueue_count", "Introductions that wait to be answered.", "onion")
	effort         = desc("tor_hs_pow_suggested_effort", "Effort of the proof of work that clients are asked for; 0 is none.", "onion")
	toApplication  = desc("tor_hs_app_write_bytes_total", "Bytes that clients sent and the application was given.", "onion", "port")
	byApplication  = desc("tor_hs_app_read_bytes_total", "Bytes that the application sent.", "onion", "port")

	hostingDescs = []*prometheus.Desc{
		servicesByState, introductions, rejected, pointsUp, introBuildTime, rendezvous, rendFailed, clientsMet, rendBuildTime,
		waiting, effort, toApplication, byApplication, verified, sharedRole,
	}
)

// hostingCollector tells of the services that the node hosts.
type hostingCollector struct {
	services func() ([]hosting.Status, error)
}

// Describe implements prometheus.Collector.
func (c *hostingCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range hostingDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *hostingCollector) Collect(out chan<- prometheus.Metric) {
	services, err := c.services()
	if err != nil {
		out <- prometheus.NewInvalidMetric(introductions, err)
		return
	}
	states, seen := map[string]int{}, map[string]bool{}
	for i := range services {
		s := &services[i]
		states[s.State]++
		onion := strings.TrimSuffix(s.Address, ".onion")
		if onion == "" || seen[onion] { // not opened yet; two folders may hold one key
			continue
		}
		seen[onion] = true
		tellService(out, onion, s)
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(servicesByState, gauge, float64(n), state)
	}
}

func tellService(out chan<- prometheus.Metric, onion string, s *hosting.Status) {
	put := func(d *prometheus.Desc, t prometheus.ValueType, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, float64(v), append([]string{onion}, labels...)...)
	}
	up := uint64(0)
	for _, p := range s.Points {
		if p.State == "up" {
			up++
		}
	}
	put(pointsUp, gauge, up)
	put(clientsMet, gauge, uint64(s.Clients))
	put(waiting, gauge, uint64(s.Waiting))
	put(effort, gauge, uint64(s.Effort))
	if h := s.Health; h != nil {
		at := uint64(0)
		if !h.Verified.IsZero() {
			at = uint64(h.Verified.Unix())
		}
		put(verified, gauge, at)
	}
	tellShared(out, onion, s.Shared)
	c := s.Counts()
	if c == nil {
		return
	}
	put(introductions, counter, c.Introductions)
	put(rendezvous, counter, c.Rendezvous)
	for reason, n := range c.Rejected {
		put(rejected, counter, n, reason)
	}
	for reason, n := range c.Failed {
		put(rendFailed, counter, n, reason)
	}
	for port, t := range c.Ports {
		put(toApplication, counter, t.To, strconv.Itoa(int(port)))
		put(byApplication, counter, t.From, strconv.Itoa(int(port)))
	}
	out <- buildTimes(introBuildTime, &c.ToIntroduction, onion)
	out <- buildTimes(rendBuildTime, &c.ToRendezvous, onion)
}

// buildTimes gives a histogram in milliseconds.
func buildTimes(d *prometheus.Desc, h *hosting.Histogram, onion string) prometheus.Metric {
	count, buckets := uint64(0), map[float64]uint64{}
	for i, n := range h.Counts {
		count += n
		if i < len(hosting.BuildBuckets) {
			buckets[float64(hosting.BuildBuckets[i].Milliseconds())] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, float64(h.Sum.Milliseconds()), buckets, onion)
}
