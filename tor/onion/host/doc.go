// Package host is the service's side of an onion service, without its circuits:
// it decides where the service waits for clients, what its descriptors say and
// who holds them, and which clients are met.
//
// Vocabulary. An introduction point ([PointID]) is a relay at the end of a circuit
// of ours, with keys made for it alone. A slot is one of the two periods that a
// service publishes for (package onion); its directories are those responsible. A
// meeting ([MeetingID]) is one client's request to be met at a rendezvous point.
//
//	            ┌────────────── failed, up to 4 times ─────────────┐
//	            ▼                                                  │
//	Pick ──► waiting ── Launch ──► launched ── Established ──► established
//	            │                                                  │ 18-24 h, 16384-32768
//	            └─ given up: another relay                         ▼ introductions, unlisted
//	                             closed ◄── no directory ───── retired
//	                                        lists it
//
//	established points ──► descriptor of each slot ──► Upload to each directory
//	        again: the set or the ring changed, 60-120 minutes, clients, proof of work
//
//	Introduce2 ──► opened, not a replay ──► queue (most effort first) ──► Meet
//
// A [Service] is for one goroutine at a time. Its methods take what happened and
// the time; [Service.Take] gives what is to be done and what is to be told, and
// [Service.Next] when to call [Service.Tick] at the latest. It does no I/O and has
// no clock; its randomness is passed in.
//
// Both slots list the same introduction points: a client's request says by its
// subcredential which descriptor it read. C tor keeps a set for each.
//
// Replays. A request is remembered for as long as its introduction point's keys
// live. [Service.State] is saved when a service is stopped and used up when it is
// started, so whoever crashed has new keys, which no old request opens.
//
// Specification: rend-spec-v3; the numbers are C tor's unless said otherwise.
package host
