package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"chive/actors/keystore"
)

// onionClient is about who may find a service: files beside its keys, for the node that hosts it.
type onionClient struct {
	Add onionClientAdd `cmd:"" help:"Let a client find a service; nobody else finds it then."`
	Rm  onionClientRm  `cmd:"" help:"Let a client find a service no longer."`
	Ls  onionClientLs  `cmd:"" help:"List the clients who may find a service."`
}

type onionClientAdd struct {
	Folder  string `arg:"" type:"path" help:"The service's folder (HiddenServiceDir)."`
	Name    string `arg:"" help:"A name for the client: his file's, and what chive reload calls him."`
	Key     string `arg:"" help:"His public key, as chive onion auth add prints it: descriptor:x25519:…"`
	Replace bool   `help:"Change the key of a client who has one."`
}

// Help is printed by chive onion client add --help.
func (onionClientAdd) Help() string {
	return `Writes NAME.auth into the folder's authorized_clients, as C tor reads it; chive reload has the
running node take it up. With the first client the service's descriptor becomes readable for him
alone. The client has the private key (chive onion auth add); the public one is no secret.

Examples:
  chive onion client add /var/lib/chive/site alice descriptor:x25519:ZDUVQQ7IKBXSGR2WWOBNM3VP5ELNOYSSINDK7CAUN2WD7A3EKZWQ`
}

// Run writes the file.
func (c onionClientAdd) Run(std streams) error {
	public, err := keystore.ClientKey(c.Key)
	if err != nil {
		return usage("%w", err)
	}
	first, err := keystore.AddClient(c.Folder, c.Name, public, c.Replace)
	if err := clientError(c.Folder, err); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s may find the service from the next chive reload on\n", c.Name)
	if first {
		fmt.Fprintln(std.out, "nobody else will find it then: he is the first client, and until now everybody did who knew the address")
	}
	return nil
}

// clientError says what to do about an error of the keystore.
func clientError(folder string, err error) error {
	switch {
	case errors.Is(err, keystore.ErrName):
		return usage("%w", err)
	case errors.Is(err, keystore.ErrHasKey):
		return fmt.Errorf("%w (--replace changes it)", err)
	case errors.Is(err, keystore.ErrLastClient):
		return fmt.Errorf("%w (--open says that it may)", err)
	case errors.Is(err, keystore.ErrNoKeys):
		return fmt.Errorf("%s is no folder of an onion service: it holds no keys", folder)
	}
	return err
}

type onionClientRm struct {
	Folder string `arg:"" type:"path" help:"The service's folder (HiddenServiceDir)."`
	Name   string `arg:"" help:"The client's name."`
	Open   bool   `help:"Also if he is the last: everybody who knows the address finds the service then."`
}

// Help is printed by chive onion client rm --help.
func (onionClientRm) Help() string {
	return `chive reload has the running node take it up: all introduction points are given up and every
client's circuit is closed then, for nobody can tell whose each is; the others find the service
again within seconds.

Examples:
  chive onion client rm /var/lib/chive/site alice`
}

// Run removes the file.
func (c onionClientRm) Run(std streams) error {
	err := keystore.RemoveClient(c.Folder, c.Name, c.Open)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no client %s (chive onion client ls)", c.Folder, printable(c.Name))
	}
	if err := clientError(c.Folder, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s may not find the service any more from the next chive reload on\n", c.Name)
	return err
}

type onionClientLs struct {
	Folder string `arg:"" type:"path" help:"The service's folder (HiddenServiceDir)."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// client is a row of chive onion client ls.
type client struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Run reads the folder.
func (c onionClientLs) Run(std streams) error {
	survey, err := keystore.SurveyService(c.Folder, true, false)
	if err := clientError(c.Folder, err); err != nil {
		return err
	}
	rows := []client{}
	for _, name := range slices.Sorted(maps.Keys(survey.Clients)) {
		rows = append(rows, client{name, keystore.ClientLine(survey.Clients[name])})
	}
	passedOver(std, survey.Skipped)
	return table[client]{
		head: "NAME\tPUBLIC KEY", none: "authorised clients",
		hint: ": " + map[bool]string{true: "nobody finds the service", false: "everybody who knows the address finds the service"}[survey.Restricted()],
		row:  func(r client, _ time.Time) string { return cells(r.Name, r.Key) },
	}.print(std, c.Output, rows, time.Time{})
}

// passedOver names files of a folder of keys that hold none.
func passedOver(std streams, files []keystore.Skipped) {
	for _, s := range files {
		fmt.Fprintln(std.err, printable(fmt.Sprintf("chive: %s is passed over: %s", s.File, s.Why)))
	}
}
