package chive_test

import (
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"

	"chive"
)

// A web client over Tor. It needs the network, so it is compiled and not run.
func Example() {
	ctx := context.Background()
	dir, err := os.UserConfigDir()
	if err != nil {
		log.Fatal(err)
	}
	c, err := chive.New(ctx, chive.WithDataDirectory(dir+"/my-program/chive"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	web := &http.Client{Transport: &http.Transport{DialContext: c.DialContext}}
	res, err := web.Get("https://check.torproject.org/api/ip")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(os.Stdout, res.Body)
}

// Two accounts that no exit sees together: each has a View, and a Transport of its own.
func ExampleClient_Isolated() {
	var c *chive.Client // from New
	accounts := map[string]*http.Client{}
	for _, name := range []string{"alice", "bob"} {
		accounts[name] = &http.Client{Transport: &http.Transport{DialContext: c.Isolated(name).DialContext}}
	}
}

// A web server that is an onion service, and ends in order. It needs the network, so it is
// compiled and not run.
func ExampleClient_Listen() {
	var c *chive.Client // from New
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ln, err := c.Listen(ctx, chive.Service{Folder: "/var/lib/my-program/site"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + ln.Addr().String())
	server := &http.Server{Handler: http.FileServer(http.Dir("/srv/site")), ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = server.Shutdown(patience) // what was accepted goes on until it is done
	}()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// A service for two clients, on whose machines are the private keys. It has no folder: when
// it is closed nothing of it is left.
func ExampleListener_Allow() {
	var c *chive.Client            // from New
	var alice, bob *ecdh.PublicKey // X25519
	ctx := context.Background()
	ln, err := c.Listen(ctx, chive.Service{Clients: []*ecdh.PublicKey{alice}})
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	if err := ln.Published(ctx); err != nil { // nobody is kept waiting without it
		log.Fatal(err)
	}
	if err := ln.Allow([]*ecdh.PublicKey{alice, bob}); err != nil {
		log.Fatal(err)
	}
}

// A client of NATS over Tor: the Client is its dialler, and the name goes to the exit as it is.
func ExampleClient_Dial() {
	var c *chive.Client // from New
	nc, err := nats.Connect("nats://demo.example:4222", nats.SetCustomDialer(c), nats.SkipHostLookup())
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
}

// Why an onion service is not reached.
func ExampleOnionError() {
	var c *chive.Client // from New
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := c.DialContext(ctx, "tcp", "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:443")
	var onion *chive.OnionError
	switch {
	case errors.As(err, &onion) && onion.Code == chive.OnionNotFound:
		fmt.Println("it is down")
	case errors.Is(err, chive.ErrNotReady):
		fmt.Println("no way into the network in a minute")
	}
}

// An error says its kind, and names no target.
func ExampleError() {
	dir, err := os.MkdirTemp("", "chive")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	c, err := chive.New(ctx, chive.WithDataDirectory(dir), chive.WithLines( // a network that is away
		"DirAuthority away orport=1 v3ident=0123456789012345678901234567890123456789 127.0.0.1:1 0123456789012345678901234567890123456789"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	_, err = c.DialContext(ctx, "tcp", "192.168.0.1:80")
	var e *chive.Error
	if errors.As(err, &e) {
		fmt.Println(errors.Is(err, chive.ErrNotAllowed), e)
	}
	// Output: true chive: not allowed, by this node's rules or those of exits (refused)
}
