// Package logging turns the Log lines of a torrc into a log/slog logger.
//
// A line reads
//
//	2026-11-24T00:29:47Z [notice] bootstrapped percent=100 took=1.9s
//
// Severities are C tor's five; Notice lies between slog's Info and Warn. What
// must not be read by whoever gets the log (a target, a client's address) is
// wrapped in Hide by the caller and shown as [scrubbed] unless SafeLogging is 0. So is what
// may be an onion service's address, wherever it stands in a line.
//
// Where lines go can change while the logger is used (Prepare): handlers that were
// derived before follow. A line goes to the old destinations or to the new ones.
//
// Left to others: what to log, and when to open files again.
package logging
