package circuits

import (
	torcircuit "chive/tor/circuit"
	"chive/tor/conflux"
	"chive/tor/congestion"
	"chive/tor/netdoc"
)

// network is what the consensus says to circuits, or its defaults.
type network struct {
	window  int // circwindow
	flow    torcircuit.FlowParams
	onion   congestion.Params // with onion services
	conflux conflux.Params
	// optimistic: data may follow BEGIN before the exit has answered. The consensus says so
	// for all clients, which else could be told apart (proposal 174, UseOptimisticData).
	optimistic bool
}

func networkOf(p netdoc.Params) network {
	return network{
		window:     int(p.Get("circwindow", 1000, 100, 1000)),
		flow:       torcircuit.FlowParamsOf(p.Get, congestion.PathExit),
		conflux:    conflux.ParamsOf(p),
		onion:      congestion.ParamsOf(p.Get, congestion.PathOnion, congestion.Increment(p.Get)),
		optimistic: p.Get("UseOptimisticData", 1, 0, 1) == 1,
	}
}
