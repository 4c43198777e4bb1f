// Package fleet is what nodes of a fleet and those who run it tell each other
// through four key-value buckets of NATS:
//
//	chive-<fleet>-config   key all                  signed: what the fleet's configuration is
//	chive-<fleet>-acks     key <publication>.<node> what a node made of a publication
//	chive-<fleet>-nodes    key <node>               who is there; entries end by themselves
//	chive-<fleet>-onions   keys <service>.lease     who publishes an onion service that nodes share, and
//	                       <service>.node.<node>    each one's introduction points: sealed (tor/onion/share)
//
// and an object store, chive-<fleet>-directory, with the network's directory, which
// every node verifies again.
//
// A node never waits for any of this, and runs when none of it is there. It is told of
// changes by the messages that write to the config bucket, but believes only what it
// then reads from the bucket: a message that the server did not store is none. No
// consumers are used, so that what a credential may do is a short list of subjects.
package fleet
