// Package e2e holds the integration tests: a whole node against a private
// network of relays that we did not write. Each test's event log goes through
// the invariant checker.
//
// Tests that have a network of their own, or only add a client to the shared one and wait
// for long, run beside each other when all others are done: they wait more than they work.
package e2e
