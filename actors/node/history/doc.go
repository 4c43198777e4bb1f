// Package history keeps the events of a node on disk, bounded in bytes and age,
// so that what happened can be told after it happened, across restarts and from
// a node that has stopped.
//
// A history is a folder of segments, numbered files. A segment is of one boot
// and begins with its state at that moment (a fold.Node), so that any later
// moment is that state and the events up to it, whatever was deleted before:
//
//	file    magic 8 | record*
//	record  length of body, 4 | CRC-32C of kind and body, 4 | kind 1 | body
//	kinds   head: the first; JSON of Head, its state deflated
//	        event: one Envelope in protobuf, lifecycle tier
//	        hole: JSON of how many events are missing here
//
// Numbers are big endian. What follows a record that is cut short or does not
// match its sum is not read: a process that was killed loses at most what it had
// not handed to the operating system. Nothing is synced: it is a diary, not the
// journal, and must cost nearly nothing. A machine that loses power may lose the
// last seconds.
//
// Nothing above the lifecycle tier is written: no relay, no target, no client.
// Files have mode 0600, the folder 0700.
package history
