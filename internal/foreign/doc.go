// Package foreign has a NATS client that is none of chive's, the nats command line, do
// what the documentation says, command by command. It is for tests.
package foreign
