package chive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

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
