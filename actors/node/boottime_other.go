//go:build !linux

package node

import "time"

// bootTime is unknown here.
func bootTime() time.Duration { return 0 }
