// Package rawio makes system calls on sockets that never wait. The Go runtime
// prepares every ordinary system call for one that waits, and wakes a watching
// thread for it when the process was idle; at a thousand short bursts a second
// that is a tenth of a client's CPU time. A call on a non-blocking socket ends
// at once and needs none of it.
package rawio
