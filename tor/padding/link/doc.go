// Package link decides when a connection to a relay is padded, so that records of
// flows that routers keep of it (netflow) are neither split by pauses nor tell
// when somebody was active: padding-spec section 2, proposal 251.
//
// Both ends send a PADDING cell when nothing has passed between them, either way,
// for a time drawn anew after each activity: the larger of two uniform draws
// between two bounds of the consensus. That both do makes the mean pause about the
// middle of the bounds.
//
//	     of the user       relay pads      we pad       bounds
//	auto                   link ≥ 5        link ≥ 5     nf_ito_low … nf_ito_high
//	on                     link ≥ 5        always       nf_ito_low … nf_ito_high
//	reduced (auto or on)   told not to     likewise     nf_ito_low_reduced … _high_reduced
//	off                    told not to     never
//
// A connection is padded once a circuit of several hops begins on it; one that only
// fetches directory documents is not. The relay hears of the user's wish in a
// PADDING_NEGOTIATE cell, and of nothing if it is the default.
//
// The package has no clock: times are durations since the link opened.
package link
