// Package isolation decides which streams may share a circuit.
//
// A stream has a value in each Field: who asked, how, and for what. It isolates by some
// of them, which its listener's flags say, and always by its session group and its epoch.
// Two streams may share a circuit if they agree in every field that either isolates by.
//
// What a circuit may carry is the join of all streams that it ever carried, whether they
// have ended or not: whoever sees one of them leave the exit sees the others leave it, too.
// In each field a circuit is
//
//	unset ── first stream ──► that value ── a stream with another ──► mixed
//
// and it isolates by all that one of its streams did. A stream fits if no field that it
// or the circuit isolates by is mixed or has another value. So a circuit never fits more
// streams after a join, and the order of joins does not matter.
//
// The fields and the states are those of C tor (connection_edge_update_circuit_isolation,
// proposal 171); C tor asks a new stream's flags alone, so that one without flags joins
// the circuit of one that wants to be apart. Here neither is put beside the other.
//
// Values are keyed digests, of a key that lives as long as the node's process: equal ones
// tell that two streams agree, and nothing tells what in.
package isolation
