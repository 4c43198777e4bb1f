package safego

import (
	"errors"
	"strings"
	"testing"

	"chive/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestGoHandsPanicToStarter(t *testing.T) {
	got := make(chan Panic, 1)
	Go("worker", func() { panic("secret") }, func(p Panic) { got <- p })
	p := <-got
	if p.Name != "worker" || p.Value != "secret" {
		t.Fatalf("panic = %+v", p)
	}
	if !strings.HasPrefix(p.Site, "safego_test.go:") {
		t.Errorf("site = %q, want the line of the panic", p.Site)
	}
	if !strings.Contains(string(p.Stack), "TestGoHandsPanicToStarter") {
		t.Errorf("stack does not show the panicking function:\n%s", p.Stack)
	}
}

func TestReasonNeverCarriesTheValue(t *testing.T) {
	p := Call("worker", func() { panic("secret") })
	if p == nil {
		t.Fatal("no panic reported")
	}
	if strings.Contains(p.Reason(), "secret") {
		t.Errorf("reason leaks the value: %s", p.Reason())
	}
	if !strings.Contains(p.Reason(), "panic(string)") {
		t.Errorf("reason = %q, want the value's type", p.Reason())
	}
	if !strings.Contains(p.Error(), "secret") {
		t.Errorf("error = %q, want the value", p.Error())
	}
}

func TestCallRuntimeError(t *testing.T) {
	var table []int
	p := Call("index", func() { _ = table[len(table)] })
	var want interface{ RuntimeError() }
	if p == nil || !errors.As(p, &want) {
		t.Fatalf("panic = %v, want a runtime error", p)
	}
	if !strings.HasPrefix(p.Site, "safego_test.go:") {
		t.Errorf("site = %q", p.Site)
	}
}

func TestCallWithoutPanic(t *testing.T) {
	if p := Call("fine", func() {}); p != nil {
		t.Fatalf("panic = %v", p)
	}
}

func TestPanickingHandlerDoesNotEndTheProcess(t *testing.T) {
	done := make(chan struct{})
	Go("worker", func() { panic(1) }, func(Panic) {
		defer close(done)
		panic(2)
	})
	<-done
}
