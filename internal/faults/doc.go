// Package faults tests the connection, circuit and stream actors against a
// relay that misbehaves on purpose (internal/relaydouble): each fault ends in
// its named outcome, and the event log still holds its invariants.
package faults
