//go:build !linux

package execmem

import (
	"errors"
	"fmt"
	"runtime"
)

// Pages is some memory for machine code; there is none here.
type Pages struct{}

// New says that there is no memory for machine code.
func New(int) (*Pages, error) {
	return nil, fmt.Errorf("memory for machine code on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Load fails.
func (*Pages) Load([]byte) (uintptr, error) { return 0, errors.ErrUnsupported }

// Close has nothing to give back.
func (*Pages) Close() error { return nil }
