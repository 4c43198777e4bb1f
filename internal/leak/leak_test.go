package leak

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// A goroutine that ends late is none that stays; one that never does is named.
func TestFind(t *testing.T) {
	mine := goleak.IgnoreCurrent()
	end := make(chan struct{})
	go func() { <-end }()
	if err := goleak.Find(mine); err == nil || !strings.Contains(err.Error(), "leak.TestFind") {
		t.Errorf("%v", err)
	}
	close(end)
	if err := find([]goleak.Option{mine}); err != nil {
		t.Error(err)
	}
}
