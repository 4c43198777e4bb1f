// Package congestion decides how many cells may be on their way on a circuit: Tor-Vegas
// of proposal 324. It has no clock: what time it is comes in, of any clock that never
// goes back.
//
// A window of cells may be unacknowledged. Each SENDME acknowledges a fixed number of them
// and gives one round-trip time. From the smallest round trip and the average one follows
// how much of the window is not on the wire but in queues,
//
//	queue = window − window·smallest/average
//
// and the window follows the queue: in slow start it grows by every SENDME until the queue
// is Gamma; then, once a window, by an Increment up while the queue is below Alpha and the
// window was used, down above Beta, and straight to Delta above that. When the connection
// is blocked the queue is this end's own, and counts as one above Beta. The window is never
// smaller than what one SENDME acknowledges.
//
// The state machine and its defaults are those of C tor 0.4.9, whose relays the other
// half of every circuit is measured by.
package congestion
