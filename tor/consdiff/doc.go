// Package consdiff applies consensus diffs (dir-spec §4.5 and appendix E): the changes from a consensus that a
// client has to the newest one, as an ed script that goes from the end of the file to its beginning.
//
//	network-status-diff-version 1
//	hash FROM TO          SHA3-256: of the base's signed part, of the whole result
//	1200,$d               the signatures of the base go
//	900,902c              lines 900 to 902 become the lines up to "."
//	...
//	.
//
// Parse checks the form of a diff, Apply that it belongs to the base, that every line number is in it, and that
// the result is the one which is promised. That says nothing of its being true: a result is parsed and verified
// like any other consensus. All sizes have absolute caps, and work and memory are linear in base and diff.
package consdiff
