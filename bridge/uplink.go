package bridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"chive/bridge/fleet"
	"chive/internal/safego"
)

const (
	// uplinkRoom is how many events may wait for the fleet.
	uplinkRoom = 8192
	// uplinkBuffer is how much may wait while the server is away, in bytes: what
	// is old is of no use.
	uplinkBuffer = 1 << 20
	pingEvery    = 10 * time.Second
	uplinkWrite  = 2 * time.Second // how long the server may not read
	flushTime    = 2 * time.Second // how long that of others may take at the end
)

// uplink is the node's connection to where others are: the shared account of the
// embedded server, or a server of others. Nobody waits for it.
type uplink struct {
	nc      *nats.Conn
	service micro.Service
	queue   chan item
	quit    chan struct{}
	done    chan struct{}
	flush   time.Duration // how long the server may take at the end
	dropped atomic.Uint64
}

type item struct {
	subject string
	wire    []byte
}

// dialFleet connects to where others are; nil when nobody is.
func (b *Bridge) dialFleet(k keys) (*uplink, error) {
	u := &uplink{queue: make(chan item, uplinkRoom), quit: make(chan struct{}), done: make(chan struct{}), flush: flushTime}
	var err error
	switch {
	case len(b.o.URLs) > 0:
		u.nc, err = b.dialServers()
	case b.o.open():
		options := append(credential(k.fleet, k.fleetKey), nats.InProcessServer(b.server), nats.Name("chive node in the fleet"),
			nats.Timeout(startTime), nats.MaxReconnects(-1), nats.ReconnectBufSize(uplinkBuffer))
		u.flush = endTime
		if u.nc, err = nats.Connect("", options...); err != nil {
			err = fmt.Errorf("embedded NATS: %w", err)
		}
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if u.service, err = b.addService(u.nc); err != nil {
		u.nc.Close()
		return nil, err
	}
	safego.Go("events to the fleet", u.run, b.panicked)
	return u, nil
}

// dialServers connects to NATS servers of others, now or when they are there.
func (b *Bridge) dialServers() (*nats.Conn, error) {
	node, key, err := readSeed(b.o.NodeCredentialFile)
	if err != nil {
		return nil, fmt.Errorf("NatsNodeCredentialFile: %w; chive fleet credentials makes it", err)
	}
	options := append(credential(node, key), nats.Name("chive "+b.o.Recorder.Node()),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), nats.ReconnectBufSize(uplinkBuffer), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2), nats.FlusherTimeout(uplinkWrite), nats.Timeout(5*time.Second),
		nats.ConnectHandler(func(*nats.Conn) { b.o.Log.Info("NATS server connected", "option", "NatsUrl") }),
		nats.ReconnectHandler(func(*nats.Conn) { fleet.Notice(b.o.Log, "NATS server is there again", "option", "NatsUrl") }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil { // the node has left
				return
			}
			b.o.Log.Warn("NATS server is away: the node goes on without its fleet", "option", "NatsUrl", "err", err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.o.Log.Warn("NATS server", "option", "NatsUrl", "err", err)
		}))
	if ca := b.o.TLS.CA; ca != "" {
		pool, err := authorities(ca)
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	var urls string
	for i, u := range b.o.URLs {
		if i > 0 {
			urls += ","
		}
		urls += u
	}
	nc, err := nats.Connect(urls, options...)
	if err != nil {
		return nil, fmt.Errorf("NatsUrl: %w", err)
	}
	return nc, nil
}

func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("NatsTLSCA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("NatsTLSCA %s: no certificate in PEM is in it", file)
	}
	return pool, nil
}

// offer hands an event over, or drops and counts it.
func (u *uplink) offer(subject string, wire []byte) {
	select {
	case u.queue <- item{subject, wire}:
	default:
		u.dropped.Add(1)
	}
}

func (u *uplink) run() {
	defer close(u.done)
	for {
		select {
		case i := <-u.queue:
			u.publish(i)
		case <-u.quit:
			for {
				select {
				case i := <-u.queue:
					u.publish(i)
				default:
					return
				}
			}
		}
	}
}

func (u *uplink) publish(i item) {
	if u.nc.Publish(i.subject, i.wire) != nil { // away, and its buffer is full
		u.dropped.Add(1)
	}
}

// close sends what waits, for a short time if the server is there, and ends.
func (u *uplink) close() error {
	close(u.quit)
	late := time.NewTimer(u.flush)
	defer late.Stop()
	select {
	case <-u.done:
	case <-late.C: // a server that does not read
	}
	var err error
	if u.nc.IsConnected() {
		err = errors.Join(u.service.Stop(), u.nc.FlushTimeout(u.flush))
	}
	u.nc.Close() // ends a publish that waits
	<-u.done
	return err
}
