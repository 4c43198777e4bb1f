// Package limits holds what keeps one node from using more than its share: token
// buckets for bytes, circuits, SOCKS requests and directory fetches. All follow
// the configuration at once, and a nil one limits nothing. Memory has an account
// of its own, in package block.
//
// Limits decide when something happens, or that it does not; never which guard,
// path or isolation group is used (rule 0).
package limits
