// Package testnet runs a private Tor network of real C tor processes on loopback,
// for tests, benchmarks and demonstrations.
//
// Words: an authority votes and signs the consensus, and relays too; a relay does
// not exit; an exit accepts every destination; an onion is a C tor that hosts an
// onion service; the target is the far end that exits and onions lead to (package
// target); a client is a C tor started with StartClient to compare with.
//
//	Start ─▶ keys ─▶ relays up ─▶ descriptors everywhere ─▶ vote ─▶ consensus ─▶ onions up ─▶ ready
//	                                                                                  │
//	                                         Kill/Restart, Stop/Cont, StartClient ◀───┤
//	                                                                     Close, Down ◀┘
//
// A network in a test: ForTest. One that stays: Up, Status, Down, Attach.
//
// # What makes it quick and whole
//
// The first consensus lasts an hour, so it has to be complete. Authorities start
// with a voting interval that is far away; when each has every relay's
// descriptor, they are told over their control sockets to vote at one common
// moment just ahead (schedule), and Start compares the outcome with the plan, flag
// by flag. A relay that asked for the consensus too early backs off for seconds; a
// SIGHUP makes it ask at once.
//
// Flags need a past. Stable compares a relay's history with the others': each
// authority is given a month of it for all (stability), else chance decides and
// conflux, which wants stable exits, finds one. Measured bandwidths come from a
// bandwidth file, both shared random values from a state file.
//
// RSA keys are made here, side by side, not by tor one after the other.
//
// # What keeps it in
//
// An exit has to accept *:* or its policy summary, which clients choose by, says
// "reject". So what binds it is OutboundBindAddress: with a loopback source no
// packet finds a way out of the machine. Every node is in a /16 of its own; blocks
// of second octets are claimed through abstract unix sockets, so networks of
// several processes run side by side and a dead one holds nothing (claimAddresses).
//
// # What ends it
//
// Each child asks the kernel to be killed with the thread that started it, which
// a launcher keeps alive; a second line is tor's own watch over the process
// __OwningControllerProcess names. Whatever carries a directory of the network in
// its command line belongs to it, and nothing else is ever signalled (owned).
//
// # What to know when measuring
//
// Under TestingTorNetwork the time period of onion services is 24 voting
// intervals: an hour gives the public network's 1,440 minutes. The public
// parameters hold a circuit to some 13 MiB/s here, for Vegas takes scheduling
// delay for queues; ParamsFast lifts that. The denial-of-service defences, off
// unless ParamsDoS, count the whole machine as one client. Two cores of C relays
// do not saturate a client: compare processor time (CPU), not throughput. The
// parameter cc_alg=0 turns off congestion control, CGO and conflux together. C tor
// 0.4.9 speaks CGO with its last hop only.
//
// Formats written here: authority certificates (dir-spec 3.1), bandwidth files
// (bandwidth-file-spec); C tor's own router-stability and sr-state.
package testnet
