// Package leak ends a package's tests with a look for goroutines that still run.
package leak

import (
	"fmt"
	"os"

	"go.uber.org/goleak"
)

// attempts is how often goroutines are looked for. goleak itself gives them about a second
// to end, which is too little for a server's on a machine that does other work as well.
const attempts = 20

// Main is for TestMain: it runs the tests, and they fail when goroutines stay.
func Main(m goleak.TestingM, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := find(options); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines that did not end: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// late is a goroutine of nats.go that never hears of the end of its connection when that comes
// just before the first publication of which the answer is not waited for.
const late = "github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"

func find(options []goleak.Option) (err error) {
	options = append(options, goleak.IgnoreTopFunction(late))
	for range attempts {
		if err = goleak.Find(options...); err == nil {
			return nil
		}
	}
	return err
}
