// Package cbt learns how long the building of a circuit may take (path-spec
// §2.4, "Learning when to give up").
//
// Words: a build time is what a circuit took from its CREATE to its third hop. A
// circuit that is later than the timeout is not used, but it is built on, as a
// measurement, until the close cutoff; then it is abandoned. A history is the
// last 1000 build times and abandoned circuits.
//
//	Built ──► Measured ──┐                       enough: Pareto fit ─► Timeout, Close
//	Abandoned ► Abandoned┼─► History.Apply ─────┤
//	TimedOut ─► Reset ───┘   (also in replay)    not enough: the initial timeout
//
// A history changes by its events alone, which the caller keeps; what an
// Estimator knows beyond it (which of the last circuits timed out, whether
// anything arrives from the network) begins anew with each start.
//
// Build times are rounded to the middle of a bin of 10 ms before they count, so
// that a history read from disk gives exactly the timeout that was in force.
package cbt
