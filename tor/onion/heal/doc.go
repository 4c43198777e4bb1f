// Package heal judges from visits to a hosted onion service, and from what its host knows,
// whether the service is up, and decides what is done when it is not. It is pure: what
// happened is put in with the time, [Service.Take] gives what is to be done and told, and
// [Service.Next] when [Service.Tick] is due at the latest.
//
// A probe visits the service as its clients do: one directory, one introduction point, one
// rendezvous. Each time those are taken that were not for longest, so that a few probes
// cover all of them.
//
//	starting ──► up ── a probe failed ──► doubt: another path
//	             ▲ ▲                        │ met          │ failed too
//	             │ └── met ── the first ◄───┘              ▼
//	             │            path again                broken ◄──┐
//	             │                │ failed                 │      │ failed
//	             │                ▼                        ▼      │
//	             │            impaired ─────────────► step, wait, probe
//	             │                                         │
//	             └─────────────── met ─────────────────────┘
//
// At any time: when no circuit of ours can be built, or there is no live consensus, the
// verdict is *unverified* and no step is made: nothing done to the service would help.
//
// The steps are those of a ladder ([ladders]), the mildest first; which ladder depends on
// the cause. Each has a budget for an hour, and waits grow. What is *impaired* is one
// introduction point, or directories, while others work: then nothing is done to the others.
//
// Directories are judged one by one (directories.go): when one gives no descriptor all are asked,
// and the service is broken for that only if none gives it. They are given it again, and those
// that take it and do not give it are let be.
//
// A client who was met of late shows that introductions and rendezvous work: then only the
// descriptor is fetched and read, a look, and more often. Looks come between probes up to the
// meeting, too (pace.go): the directories are by turns what is asked, and one that is gone is
// noticed when its turn comes.
package heal
