// Package metrics tells what a node counts in the text format of Prometheus: GET /metrics
// on a MetricsPort.
//
// Nothing is counted for it: each answer is made of what the node and the hosting of onion
// services know at that moment, so a node that nobody asks pays nothing. What has a name
// that begins with chive_ is of the aggregate tier: counts, whose labels are words of
// closed lists. tor_hs_ are C tor's metrics of hosted services under C tor's names, with
// the service's address as a label; no other name of anything is told. go_ and process_
// are the client library's own.
//
// It has no listener: package ingress accepts, and hands each connection over.
package metrics
