package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"chive/actors/hosting"
)

// sharedRole tells what becomes of a service that several nodes host.
var sharedRole = desc("chive_onion_shared", "What this node does for an onion service that others host too; 1 for one of publisher, standby, nobody (no node is known to publish) and away.", "onion", "role")

func tellShared(out chan<- prometheus.Metric, onion string, s *hosting.SharedStatus) {
	if s == nil {
		return
	}
	role := "standby"
	switch {
	case s.Publishes:
		role = "publisher"
	case s.Away:
		role = "away"
	case s.Publisher == "":
		role = "nobody"
	}
	out <- prometheus.MustNewConstMetric(sharedRole, gauge, 1, onion, role)
}
