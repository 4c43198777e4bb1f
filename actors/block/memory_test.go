package block

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// keeper keeps blocks since a moment, and gives them back when shed.
type keeper struct {
	mu     sync.Mutex
	name   string
	since  int64
	blocks []*Block
	shed   chan<- string
}

func keep(name string, since int64, n int, shed chan<- string) *keeper {
	k := &keeper{name: name, since: since, shed: shed}
	for range n {
		k.blocks = append(k.blocks, GetLarge(DataIn))
	}
	Join(k)
	return k
}

func (k *keeper) Held() (bytes, since int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return int64(len(k.blocks)) * LargeSize, k.since
}

func (k *keeper) Shed() { k.shed <- k.name }

func (k *keeper) free() {
	Leave(k)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.blocks {
		b.Free()
	}
	k.blocks = nil
}

func next[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// settled waits until nothing is being shed.
func settled() {
	for account.shedding.Load() {
		runtime.Gosched()
	}
}

// inBubble runs a test in virtual time, in which holders are shed again. Each test that comes
// over a limit is in one: a timer that is left would shed another's holders.
func inBubble(t *testing.T, test func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		test(t)
		time.Sleep(2 * shedAgain)
		synctest.Wait()
		if account.again {
			t.Error("it is still looked again")
		}
	})
}

func TestTheOldestIsShedFirst(t *testing.T) { inBubble(t, testTheOldestIsShedFirst) }

func testTheOldestIsShedFirst(t *testing.T) {
	LimitMemory(100 * LargeSize)
	defer LimitMemory(0)
	shed, changes := make(chan string, 100), make(chan MemoryChange, 100)
	defer WatchMemory(func(c MemoryChange) { changes <- c })()
	empty := keep("empty", 0, 0, shed)
	oldest, older, young := keep("oldest", 1, 20, shed), keep("older", 2, 20, shed), keep("young", 3, 60, shed)
	if Pressed() || len(changes) > 0 {
		t.Fatal("pressed at the high water")
	}
	one := GetLarge(DataIn)
	c := next(t, changes)
	if !c.Over || c.Bytes != 101*LargeSize || c.Shed != 2 {
		t.Errorf("%+v, want two shed: 101 blocks are to become 75", c)
	}
	if got := []string{next(t, shed), next(t, shed)}; !slices.Equal(got, []string{"oldest", "older"}) {
		t.Errorf("shed %v", got)
	}
	// What is on its way back already is not shed for again.
	another := GetLarge(DataIn)
	one.Free()
	another.Free()
	oldest.free()
	if !Pressed() {
		t.Error("no longer pressed above the low water")
	}
	older.free()
	if c := next(t, changes); c.Over || c.Bytes >= 75*LargeSize || Pressed() {
		t.Errorf("%+v, pressed %v", c, Pressed())
	}
	if len(shed) > 0 {
		t.Errorf("%s was shed too", <-shed)
	}
	young.free()
	empty.free()
	if Memory() != 0 || account.expected != 0 || len(account.holders)+len(account.leaving) != 0 {
		t.Errorf("left: %d bytes, %d expected", Memory(), account.expected)
	}
}

// What holders keep is known roughly: if those that were shed gave back less than was
// needed, others are, and the pressure does not last for ever.
func TestPressureThatLastsShedsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		LimitMemory(100 * LargeSize)
		defer LimitMemory(0)
		shed := make(chan string, 10)
		liar := keep("liar", 1, 50, shed)
		second, young := keep("second", 2, 20, shed), keep("young", 3, 30, shed)
		one := GetLarge(DataIn)
		if got := <-shed; got != "liar" {
			t.Fatalf("%s was shed first", got)
		}
		elsewhere := liar.blocks[10:] // still on their way
		liar.blocks = liar.blocks[:10]
		liar.free()
		if !Pressed() || len(shed) > 0 {
			t.Fatalf("pressed %v, %d shed", Pressed(), len(shed))
		}
		if got := <-shed; got != "second" { // after shedAgain
			t.Errorf("%s was shed next", got)
		}
		second.free()
		if Pressed() {
			t.Error("still pressed")
		}
		time.Sleep(2 * shedAgain) // in the bubble's time: no further look is due
		if len(shed) > 0 {
			t.Errorf("%s was shed without need", <-shed)
		}
		for _, b := range append(elsewhere, one) {
			b.Free()
		}
		young.free()
	})
}

// A limit that is lowered sheds at once, without waiting for the next block.
func TestALowerLimitShedsAtOnce(t *testing.T) { inBubble(t, testALowerLimitShedsAtOnce) }

func testALowerLimitShedsAtOnce(t *testing.T) {
	shed := make(chan string, 10)
	k := keep("only", 1, 10, shed)
	defer LimitMemory(0)
	LimitMemory(5 * LargeSize)
	if next(t, shed) != "only" {
		t.Error("somebody else was shed")
	}
	k.free()
	if Pressed() {
		t.Error("pressed with nothing out")
	}
}

func TestChaosOfHolders(t *testing.T) { inBubble(t, testChaosOfHolders) }

func testChaosOfHolders(t *testing.T) {
	LimitMemory(64 * LargeSize)
	defer LimitMemory(0)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				shed := make(chan string, 2)
				k := keep("k", int64(i*200+j), 1+j%16, shed)
				if j%3 == 0 {
					b := Get(DataOut)
					b.Free()
				}
				k.free()
			}
		})
	}
	wg.Wait()
	settled()
	if Memory() != 0 || Pressed() {
		t.Errorf("%d bytes, pressed %v", Memory(), Pressed())
	}
}

// All that was out comes back while it is looked what to let go of: the pressure is over then.
func TestPressureEndsWhileItIsLookedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		LimitMemory(10 * LargeSize)
		defer LimitMemory(0)
		var told []bool
		defer WatchMemory(func(c MemoryChange) { told = append(told, c.Over) })()
		k := &vanishing{}
		Join(k)
		defer Leave(k)
		k.mu.Lock()
		for range 11 {
			k.blocks = append(k.blocks, GetLarge(DataIn))
		}
		k.mu.Unlock()
		synctest.Wait()
		if Memory() != 0 || Pressed() || !slices.Equal(told, []bool{true, false}) {
			t.Errorf("%d bytes, pressed %v, told %v", Memory(), Pressed(), told)
		}
	})
}

// vanishing gives its blocks back when it is looked at.
type vanishing struct {
	mu     sync.Mutex
	blocks []*Block
}

func (k *vanishing) Held() (bytes, since int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.blocks {
		b.Free()
	}
	k.blocks = nil
	return 0, 1
}

func (*vanishing) Shed() {}
