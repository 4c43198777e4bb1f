// Package e2e holds the integration tests: a whole node against a private
// network of relays that we did not write. Each test's event log goes through
// the invariant checker.
package e2e
