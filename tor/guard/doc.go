// Package guard keeps the guards of one client as guard-spec says: which relays
// were sampled, which of them may be used now, which circuits over them.
//
//	relays of the consensus ── weight ──► sampled ── filter ──► filtered ── not failed ──► usable
//	                                         │                     │
//	                          a circuit opened, 48-60 days      primary: confirmed,
//	                                         ▼                  then as sampled
//	                                     confirmed
//
// A guard has its place by when it was sampled, for good: those that are primary are used in
// that order, whichever was confirmed first.
//
// A guard is worth a try (Maybe), worked when last tried (Yes) or not (No). One
// that failed is Maybe again when its retry time has come (guard-spec §4.5).
// While a primary guard is not No, circuits go through the first of those and
// are usable when they open. Else one circuit at a time goes through each guard
// that comes after, and waits, open, until it is sure that no better one can be
// had (§4.6-4.9):
//
//	             primary ──► OnCompletion ───────────────► Complete
//	launched ─┤                                               ▲
//	             other ───► IfNoBetter ── opened ──► Waiting ─┘ no better guard
//	                                                   └─ idle timeout ──► closed
//
// Every change is an Event that is applied by the same function at run time and
// in replay (List.Apply, Set.Replay). The state changes by what this client saw
// itself: a view of the network, and whether an outgoing connection to the guard
// could be made. No method takes anything that happened further out on a
// circuit, so no remote party can choose a guard (rule 0).
//
// Where it is stricter than the text: an exhausted sample is not tried again all
// at once; see Set.Candidates.
package guard
