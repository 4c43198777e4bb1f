// Package execmem holds machine code that was made at run time. Its memory is
// writable or executable, never both: code is written while the pages can only
// be read and written, then they are made readable and executable.
//
// Where the platform has no such memory, or the system forbids it (SELinux's
// execmem, systemd's MemoryDenyWriteExecute=), New says so, and its caller does
// without.
package execmem
