package kernel

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (p *pool) idleCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

func TestPoolCapsAndReapsIdleGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(4, time.Second)
		var wg sync.WaitGroup
		release := make(chan struct{})
		wg.Add(10)
		for range 10 {
			p.schedule(func() { defer wg.Done(); <-release })
		}
		close(release)
		wg.Wait()
		synctest.Wait()
		if n := p.idleCount(); n != 4 {
			t.Fatalf("%d idle, want the cap of 4", n)
		}
		time.Sleep(1500 * time.Millisecond) // one grace interval, nothing reaped
		if n := p.idleCount(); n != 4 {
			t.Fatalf("%d idle after the grace interval", n)
		}
		done := make(chan struct{})
		p.schedule(func() { close(done) }) // one of the four is needed
		<-done
		time.Sleep(time.Second)
		synctest.Wait()
		if n := p.idleCount(); n != 1 {
			t.Fatalf("%d idle, want only the one that was needed", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := p.idleCount(); n != 0 || p.reaper != nil {
			t.Fatalf("%d idle at rest, reaper %v", n, p.reaper)
		}
	})
}

func TestClosedPoolStillRunsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(4, time.Second)
		done := make(chan struct{}, 2)
		p.schedule(func() { done <- struct{}{} })
		<-done
		synctest.Wait()
		p.close()
		p.close()
		p.schedule(func() { done <- struct{}{} })
		<-done
		synctest.Wait()
		if n := p.idleCount(); n != 0 {
			t.Fatalf("%d idle after close", n)
		}
	})
}

// GoWarm hands a panic to its caller, and the goroutine goes on to other work.
func TestGoWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := NewSystem(nil)
		defer Shutdown(system)
		p := runtimeOf(system).pool
		failed := make(chan *Panic, 1)
		GoWarm(system, "work", func() { panic("x") }, func(p *Panic) { failed <- p })
		if f := <-failed; f.Name != "work" || f.Value != "x" {
			t.Errorf("panic %+v", f)
		}
		synctest.Wait()
		if n := p.idleCount(); n != 1 {
			t.Fatalf("%d idle, want the one that it ran on", n)
		}
		done := make(chan struct{})
		GoWarm(system, "work", func() { close(done) }, nil)
		<-done
		synctest.Wait()
		if n := p.idleCount(); n != 1 {
			t.Errorf("%d idle, want the same one", n)
		}
	})
}

// B12: the library's mailbox keeps the memory of its largest burst.
func TestMailboxGivesBackMemoryAfterABurst(t *testing.T) {
	m := newMailbox().(*mailbox)
	m.invoker = discard{}
	m.scheduled = true // we are the reader
	for i := range 10 * keepQueue {
		m.PostUserMessage(i)
	}
	m.process()
	if n := cap(m.users) + cap(m.batch.items); n > 2*keepQueue {
		t.Fatalf("idle mailbox keeps room for %d messages", n)
	}
	if m.UserMessageCount() != 0 || m.scheduled {
		t.Fatalf("waiting %d scheduled %v", m.UserMessageCount(), m.scheduled)
	}
}

type discard struct{}

func (discard) InvokeSystemMessage(any)  {}
func (discard) InvokeUserMessage(any)    {}
func (discard) EscalateFailure(_, _ any) {}
