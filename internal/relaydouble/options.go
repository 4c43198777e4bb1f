package relaydouble

import (
	"crypto/tls"
	"io"
	"time"

	"chive/tor/link/linktest"
)

// Options describe a Relay. The zero value is three well-behaved hops whose streams
// echo.
type Options struct {
	Hops    int     // number of hops; 0 means 3
	Handler Handler // serves BEGIN; nil means Echo
	Dir     Handler // serves BEGIN_DIR; nil refuses with NOTDIRECTORY
	Script  []Fault // all of them are active; none means good behaviour
	Keys    []Keys  // of the first hops; the others make their own

	// Clock is what NETINFO and the certificates' validity are made from; nil means
	// time.Now. A skewed clock is a fault, too.
	Clock func() time.Time
	// Versions are the link protocols offered; nil means 4 and 5.
	Versions []uint16
	// Certs are the ways in which the CERTS cell is wrong; zero is right.
	Certs linktest.Mutations
	// Greeting may change the link reply before it is sent: VERSIONS, CERTS,
	// AUTH_CHALLENGE and NETINFO, in that order, each a whole cell.
	Greeting func(cells [][]byte) [][]byte
	// TLS may change the server's TLS configuration.
	TLS func(*tls.Config)
	// Rand is the source of onion keys, handshakes and padding, and is read from many
	// goroutines; nil means crypto/rand.
	Rand io.Reader
	// CircWindow is the circuit window in cells; 0 means 1000. With congestion control it
	// is how many cells may be on their way to the client at once.
	CircWindow int
	// SendmeIncrement is how many cells a SENDME is for where congestion control is
	// granted, which is to whom asks for it in ntor-v3; 0 grants it to nobody.
	SendmeIncrement int
	// CGO offers Counter Galois Onion at every hop, to clients with congestion control.
	CGO bool
}

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// Flow-control constants of tor-spec 7.3 and 7.4, in cells.
const (
	circWindow      = 1000
	circIncrement   = 100
	streamWindow    = 500
	streamIncrement = 50
	maxRelayEarly   = 8
)

// Cells that fit into one TLS record: writes are cut there.
const cellsPerRecord = 31
