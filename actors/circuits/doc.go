// Package circuits is the actor that owns all circuits and decides which
// stream goes on which. Paths are chosen by tor/path, guards by tor/guard; here
// is when to build, what to keep ready, and what to do when one fails.
//
// A circuit is bound by all streams that it ever carried (tor/isolation). A stream
// goes on (1) an open circuit that was used, whose isolation it fits and whose exit
// carries its port, else (2) an open clean circuit, else (3) it waits for one that is
// being built for those it may share with, or launched now. A renewal begins a new
// epoch for whom it is of (renew.go): what was asked for before shares no circuit with
// what is asked for after. A stream that comes back before it carried data
// waits again. Nothing waits longer than SocksTimeout.
//
// A circuit takes no new streams once it is older than MaxCircuitDirtiness
// since its first, or since a stream with KeepAliveIsolateSOCKSAuth came or left, or
// tired (an exit left a BEGIN unanswered); it is closed when its last stream ends.
//
// A circuit through a guard that is not primary waits, open, until the guards say
// that no better one will be had (guard-spec §4.9).
//
// Only a failed outgoing connection to a guard is told to the guards, by the connections;
// no failure further out ever is (rule 0, guard-spec §4).
//
// Clean circuits are kept ready (pool.go): two for each port that was used lately
// (tor/predict), and as many as the last NewCircuitPeriod used or the one under way has
// used, between CircuitPoolMinSize and CircuitPoolMaxSize. Configure changes all
// settings at once; what it makes too old or built by other rules takes no new
// streams, and those it has stay.
//
// Conflux sets (sets.go) are kept ready, too, as many as the consensus says. A set is one
// circuit to streams, and comes before a single one that was used as much; its paths are chosen here, leg by
// leg, and its legs wait for their guards like any circuit. One that has
// lost a leg takes no new streams.
//
// Circuits to reach onion services by (onion.go) are of the owner who asks for them, and
// carry what that puts on them. A stream to a service goes on a circuit that met it
// (meeting.go), or waits for a meeting, which the owner arranges. Which streams may share
// such a circuit is decided here, as for all others. Every path is checked against the
// shape of its purpose before it is built.
//
// Messages it understands: Netdir, Request, Configure, Renew, ForgetTimes, GuardsRetried,
// Try, Close, Open, Shut, Leave, Carry, Orphaned, Met, NotMet, OnionsGone; from its children: the
// messages of package circuit and kernel.ChildFailed.
package circuits
