package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"chive/actors/keystore"
)

// onionAuth is about the keys with which this node's programs find services that not everybody may.
type onionAuth struct {
	Add onionAuthAdd `cmd:"" help:"Make a key to find a service with, and print what its operator needs."`
	Rm  onionAuthRm  `cmd:"" help:"Delete the key for a service."`
	Ls  onionAuthLs  `cmd:"" help:"List the services there are keys for."`
}

type onionAuthAdd struct {
	Folder  string `arg:"" type:"path" help:"The folder of keys (ClientOnionAuthDir); it is made if it is not there."`
	Address string `arg:"" help:"The service's address, with or without .onion."`
	Replace bool   `help:"Make another key for a service that there is one for."`
}

// Help is printed by chive onion auth add --help.
func (onionAuthAdd) Help() string {
	return `Makes a key pair, keeps the private key in the folder, in the file that C tor would name, and
prints the public one: the service's operator needs that line (chive onion client add, or a file
of authorized_clients). The private key never has to leave this machine. chive reload has the
running node take it up, if its ClientOnionAuthDir is that folder.

Examples:
  chive onion auth add ~/onion-keys 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion`
}

// Run makes the key.
func (c onionAuthAdd) Run(std streams) error {
	public, err := keystore.NewClientAuth(c.Folder, c.Address, rand.Reader, c.Replace)
	if errors.Is(err, keystore.ErrAddress) {
		return usage("%s: %w", printable(c.Address), err)
	}
	if errors.Is(err, keystore.ErrHasKey) {
		return fmt.Errorf("%w (chive onion auth ls shows what its operator needs; --replace makes another, which he has to be told)", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, keystore.ClientLine(public))
	_, err = fmt.Fprintf(std.err, "chive: give that line to the service's operator; a node with ClientOnionAuthDir %s uses the key from the next chive reload on\n", printable(c.Folder))
	return err
}

type onionAuthRm struct {
	Folder  string `arg:"" type:"path" help:"The folder of keys (ClientOnionAuthDir)."`
	Address string `arg:"" help:"The service's address, with or without .onion."`
}

// Run deletes the key.
func (c onionAuthRm) Run(std streams) error {
	err := keystore.RemoveClientAuth(c.Folder, c.Address)
	switch {
	case errors.Is(err, keystore.ErrAddress):
		return usage("%s: %w", printable(c.Address), err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s has no key for %s (chive onion auth ls)", c.Folder, printable(c.Address))
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(std.out, "the key for %s is deleted; chive reload has the node forget it\n", printable(c.Address))
	return err
}

type onionAuthLs struct {
	Folder string `arg:"" type:"path" help:"The folder of keys (ClientOnionAuthDir)."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// auth is a row of chive onion auth ls.
type auth struct {
	Address string `json:"address"`
	Key     string `json:"key"` // the public one
}

// Run reads the folder.
func (c onionAuthLs) Run(std streams) error {
	keys, skipped, err := keystore.ListClientAuths(c.Folder)
	if err != nil {
		return err
	}
	rows := []auth{}
	for _, k := range keys {
		rows = append(rows, auth{k.Host, keystore.ClientLine(k.Public)})
	}
	passedOver(std, skipped)
	return table[auth]{
		head: "ADDRESS\tPUBLIC KEY", none: "keys",
		row: func(r auth, _ time.Time) string { return cells(r.Address, r.Key) },
	}.print(std, c.Output, rows, time.Time{})
}
