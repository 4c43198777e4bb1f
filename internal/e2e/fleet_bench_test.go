package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/messages"
)

// report gives the median, the 99th percentile and the most of what was measured.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(ms(took[len(took)-1]), "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkConfigTo25Nodes is from publishing a configuration until each of 25 nodes
// of one NATS server has applied and acknowledged it. The nodes share a process.
func BenchmarkConfigTo25Nodes(b *testing.B) {
	const nodes = 25
	n := network(b)
	h := startHubsFor(b, 1, "256MB", nodes)
	for i := range nodes {
		c, err := launch(b, b.TempDir(), nil, append(n.ClientTorrc(), h.torrc(i)...)...)
		if err != nil {
			b.Fatal(err)
		}
		c.await(b)
	}
	_, client := h.as(b, bridge.RoleConfigure)
	p := &publisher{client, h.signer}
	p.acknowledged(b, p.publish(b, nil, line("MaxCircuitDirtiness", "1 minutes")), nodes, messages.FleetApplied)
	acks := make(chan messages.FleetAck, 4*nodes)
	stop, err := client.FollowAcks(func(a messages.FleetAck) { acks <- a })
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		begun := time.Now()
		number := p.publish(b, nil, line("MaxCircuitDirtiness", fmt.Sprint(2+i%50, " minutes")))
		for heard := 0; heard < nodes; {
			select {
			case a := <-acks:
				if a.Publication == number && a.State == messages.FleetApplied {
					took = append(took, time.Since(begun))
					heard++
				}
			case <-time.After(60 * time.Second):
				b.Fatalf("%d of %d nodes", heard, nodes)
			}
		}
	}
	report(b, took)
}

// BenchmarkEventToSubscriber is from an event's time to its arrival at a subscriber of
// the node's NATS listener, while requests make events.
func BenchmarkEventToSubscriber(b *testing.B) {
	n := network(b)
	credential := b.TempDir() + "/observer.nk"
	where := freePort(b)
	c := start(b, n, "NatsListen "+where, "NatsCredentialFile "+credential)
	nc, _ := dialAs(b, "nats://"+where, credential)
	var mu sync.Mutex
	var took []time.Duration
	if _, err := nc.Subscribe("chive.v1.*.*.evt.>", func(m *nats.Msg) {
		now := time.Now()
		e, err := messages.Decode(m.Data)
		if err != nil {
			b.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, now.Sub(e.GetTime().AsTime()))
	}); err != nil {
		b.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.fetch(b, resource(n, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	report(b, took)
}

// fetch makes one request.
func (c *client) fetch(b *testing.B, target string) error {
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5h", Host: c.socks}), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(target)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

// BenchmarkNodeFromSharedDirectory is from the start of a node that has nothing, in a
// fleet the nodes of which have left the directory, until its first bytes through Tor.
func BenchmarkNodeFromSharedDirectory(b *testing.B) {
	n := network(b)
	h := startHubs(b, 1, "256MB")
	start(b, n, h.torrc(0)...)
	nc, _ := dialAs(b, h.urls[0], h.file("n2"))
	reader, err := fleet.New(fleet.Options{Conn: nc, Fleet: "f", Node: "n2", Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "a shared directory", func() error {
		_, err := reader.FetchDirectory(b.Context())
		return err
	})
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		c := start(b, n, h.torrc(1)...)
		if err := c.fetch(b, resource(n, 1000)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		c.stop()
	}
	report(b, took)
}
