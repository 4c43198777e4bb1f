// Package foreign has a NATS client that is none of chive's, the nats command line, do
// what the documentation says, command by command, and a shell the first section of
// docs/fleet.md. It is for tests.
package foreign
