package testnet

import (
	"context"
	"strings"
)

// TB is the part of testing.TB that ForTest needs. (Importing package testing
// here would link it into the chive program.)
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Failed() bool
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

const dumpedLines = 30

// ForTest starts a network that ends with the test. A test that failed gets the
// end of every node's log. Without C tor the test fails: nothing is skipped.
func ForTest(t TB, o Options) *Network {
	t.Helper()
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Logf("private network ready in %v", n.StartTime())
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			n.DumpLogs(&b, dumpedLines)
			t.Logf("%s", b.String())
		}
		if err := n.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return n
}
