package hashx

import (
	"errors"
	"runtime"
)

// Memory takes machine code and makes it executable where no one can write to
// it. The hash is computed without I/O or system calls; this is where the
// program of a platform that has such memory comes in.
type Memory interface {
	// Load puts code in place of what it was given before, and returns its
	// address, which is good until the next Load.
	Load(code []byte) (entry uintptr, err error)
}

// ErrNoCompiler says that there is no compiler for the platform.
var ErrNoCompiler = errors.New("hashx: no compiler for this platform")

// CodeSize bounds the machine code of a program: what a Memory has room for.
const CodeSize = maxCodeSize

// Compile translates f's present program to machine code in a memory that no
// other Function uses, and computes with it until f is reset. On an error f
// goes on to interpret; it is [ErrNoCompiler] or the memory's.
func (f *Function) Compile(m Memory) error {
	f.entry = 0
	f.code = f.program.translate(f.code[:0])
	if len(f.code) == 0 {
		return ErrNoCompiler
	}
	entry, err := m.Load(f.code)
	if err != nil {
		return err
	}
	f.memory, f.entry = m, entry
	return nil
}

// Compiled reports whether f computes with machine code.
func (f *Function) Compiled() bool { return f.entry != 0 }

// uninterrupted is how many hashes are computed by machine code at a time: the
// runtime cannot stop a goroutine within, so it is some tens of microseconds.
const uninterrupted = 256

// fillCompiled is Fill by machine code.
func (f *Function) fillCompiled(out []uint64, first uint64) {
	for len(out) > 0 {
		n := min(len(out), uninterrupted)
		call(f.entry, &f.registers, first, &out[0], n)
		out, first = out[n:], first+uint64(n)
	}
	runtime.KeepAlive(f.memory) // which may unmap its code when it is unreachable
}
