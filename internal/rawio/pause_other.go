//go:build !linux

package rawio

import "time"

// Pauser sleeps for short times.
type Pauser struct{}

// Sleep returns after d or soon after.
func (*Pauser) Sleep(d time.Duration) { time.Sleep(d) }

// Close ends it.
func (*Pauser) Close() {}
