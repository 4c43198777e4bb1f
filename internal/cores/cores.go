// Package cores lets the process run Go code on one core while it has little to
// do, and on all of them when there is work for more. A client is mostly woken by
// short bursts from a few sockets; with more than one core at hand the Go
// scheduler wakes a second thread for each of them, to look for work that is not
// there. That search is a tenth to a fifth of the CPU time of a download.
//
// Long computations say so with Wide: on one core they would hold up the sockets.
package cores

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"
)

// The load, in cores, at which the process goes wide and narrow, and how often
// it is looked at.
const (
	wideAt   = 0.7
	narrowAt = 0.5
	every    = time.Second
)

// governor is the process's; runtime.GOMAXPROCS is as global.
var governor struct {
	mu     sync.Mutex
	on     bool // Govern runs
	loaded bool // the load asks for all cores
	wide   int  // computations that do
	narrow bool // what the runtime was told
}

// Govern adapts the process to its load until the context ends; then it uses all
// cores again. It leaves alone a process whose user set GOMAXPROCS, and one that
// has a single core. Only one Govern may run.
func Govern(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 {
		return
	}
	set(func() { governor.on, governor.loaded = true, true })
	defer set(func() { governor.on = false })
	tick := time.NewTicker(every)
	defer tick.Stop()
	cpu, at := used(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		nowCPU, now := used(), time.Now()
		load := float64(nowCPU-cpu) / float64(now.Sub(at))
		cpu, at = nowCPU, now
		set(func() { governor.loaded = loaded(governor.loaded, load) })
	}
}

// loaded says whether the load (in cores) asks for all cores, given that it did.
func loaded(was bool, load float64) bool {
	if was {
		return load >= narrowAt
	}
	return load >= wideAt
}

// Wide asks for all cores until done is called, once: for computations of more
// than a few milliseconds.
func Wide() (done func()) {
	set(func() { governor.wide++ })
	var once sync.Once
	return func() { once.Do(func() { set(func() { governor.wide-- }) }) }
}

// set changes the governor and tells the runtime what follows.
func set(change func()) {
	governor.mu.Lock()
	defer governor.mu.Unlock()
	change()
	narrow := governor.on && !governor.loaded && governor.wide == 0
	if narrow == governor.narrow {
		return
	}
	governor.narrow = narrow
	if narrow {
		runtime.GOMAXPROCS(1)
	} else {
		runtime.SetDefaultGOMAXPROCS()
	}
}
