// Package sharing is the actor that agrees with other nodes of the fleet on the onion
// services that they host together: for each it runs the machine of tor/onion/share, with
// what the fleet stores between them.
//
//	hosting ── Shared, Unshared ──► sharing ── ShareWrite, ShareRead, … ──► the fleet
//	        ◄──────── Role ────────         ◄── what was stored, and is heard ──
//
// A service that is told of for the first time is taken up, with a new random name of this
// run; an Unshared ends it, and takes its entry away. What was stored by somebody who has
// not the service's key is as good as nothing, and logged now and then.
//
// The network to the fleet is never waited for: answers come as messages. Without them the
// right to publish ends, as its machine says.
package sharing
