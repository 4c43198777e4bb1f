// Package safego starts goroutines that cannot end the process: a panic is
// recovered and handed, with its stack, to whoever started the goroutine.
//
// It is the one place of the project with a go statement; packages that may
// not import the actor kernel use it directly.
package safego
