// Package priority decides whose cells go next on a connection.
//
// What waits to be sent is kept by circuit, in its order. Next gives what the circuit has
// waiting whose average of cells sent is the smallest: each cell counts one when it is
// sent, and half as much after each half-life (an exponentially weighted moving average).
// So who asks little is hardly held up by who sends much, and those who send much get
// equal parts. What is of no circuit goes before all of it.
//
//	        Put          first of its circuit         Next
//	caller ─────► circuit ───────────────────► turns ─────► the quietest circuit's oldest
//
// It is what C tor does (Tang and Goldberg, "An Improved Algorithm for Tor Circuit
// Scheduling", CCS 2010), with its consensus parameter CircuitPriorityHalflifeMsec. C tor
// chooses anew for each cell; here the caller says what is one item, and how many cells it
// holds.
//
// The package has no clock: times are durations from any one moment.
package priority
