// Package story tells from events why something happened: a stream, a circuit,
// a connection or a guard, with what led to it and what it led to.
//
// Four kinds of link join events:
//
//	cause        an event names the one it follows from (cause_id)
//	carrier      a stream is attached to a circuit, a circuit is launched on a
//	             connection, a supervisor speaks of its child
//	story        events share a correlation id: all about one stream, or one relay
//	same end     what is carried ended as its carrier did, at that time; or a
//	             stream without a circuit ended as only connections do, and one
//	             alone did meanwhile
//
// A stream that never got a circuit has no link to the failures that kept it
// waiting. They are told as what they are: what happened meanwhile.
//
// It is pure: the same events give the same story.
package story
