package execmem

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// Pages is some memory for machine code. It is for one goroutine at a time.
type Pages struct {
	pages   []byte
	cleanup runtime.Cleanup
}

// New maps memory for at least size bytes of code, and makes sure that code can
// be put there. The memory lives until Close, or as long as the Pages are
// reachable.
func New(size int) (*Pages, error) {
	page := syscall.Getpagesize()
	size = (size + page - 1) / page * page
	pages, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for machine code: %w", size, err)
	}
	p := &Pages{pages: pages}
	if err := p.protect(syscall.PROT_READ | syscall.PROT_EXEC); err != nil {
		_ = syscall.Munmap(pages)
		return nil, err
	}
	p.cleanup = runtime.AddCleanup(p, func(pages []byte) { _ = syscall.Munmap(pages) }, pages)
	return p, nil
}

// Load puts code in place of what there was and returns its address, which is
// good until the next Load. Nothing may be running in the pages. If it fails
// there is no code in them.
func (p *Pages) Load(code []byte) (entry uintptr, err error) {
	if len(code) == 0 || len(code) > len(p.pages) {
		return 0, fmt.Errorf("load %d bytes of machine code where there is room for %d", len(code), len(p.pages))
	}
	if err := p.protect(syscall.PROT_READ | syscall.PROT_WRITE); err != nil {
		return 0, err
	}
	copy(p.pages, code)
	if err := p.protect(syscall.PROT_READ | syscall.PROT_EXEC); err != nil {
		return 0, err
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(p.pages))), nil
}

// Close gives the memory back. The code in it is not to be run any more.
func (p *Pages) Close() error {
	if p.pages == nil {
		return nil
	}
	p.cleanup.Stop()
	pages := p.pages
	p.pages = nil
	return syscall.Munmap(pages)
}

func (p *Pages) protect(how int) error {
	if err := syscall.Mprotect(p.pages, how); err != nil {
		return fmt.Errorf("protect the memory of machine code: %w", err)
	}
	return nil
}
