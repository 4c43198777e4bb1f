// Package configuration is the actor that owns what the node's configuration is.
// All mouths (file watch, SIGHUP, control socket, fleet) hand it proposals; it
// takes them one after the other and changes the node as a whole or not at all:
//
//	          read, check             prepare all             commit all
//	proposed ─────────────► planned ─────────────► prepared ─────────────► committed ──► settled
//	    │  not right           │ nothing to do         │ one fails             │ one fails
//	    ▼                      ▼                       ▼                       ▼
//	rejected ◄── (answered) ◄──┘      abort in reverse ┘       undo in reverse ┘
//
// What a part has to do for a change is its Subscriber's. Prepare does what can
// fail, without an effect that can be seen; Commit makes it so; Settle lets go of
// the old when every part has committed. A panic in any of them is a failure like
// another.
//
// The configuration in force is computed from its layers (config.Source) each
// time, never merged into what was there. Settings made while the node runs are
// two layers on top: the fleet's, which is in force again after a restart, and the
// operator's, which lasts for the run.
//
// Reading files and changing the node happen in a goroutine of each proposal; the
// actor's turn is never held up. Revisions go to a Store.
//
// Left to others: what each option means (config), what each part does (the
// subscribers, package node), who may propose what through which mouth (bridge;
// what the fleet may set is checked here again).
package configuration
